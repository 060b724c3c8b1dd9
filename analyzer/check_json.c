/* SPDX-License-Identifier: MIT */
/* Findings as JSON. */
#include "check_run.h"
#include "json.h"

static struct json_t *site_json(const struct layout_site *site)
{
	struct json_t *obj = js_object(), *frames = js_array();
	size_t i;

	js_set_str(obj, "id", site->id);
	for (i = 0; i < site->nr_frames; i++)
		js_append(frames, js_string(site->frames[i]));
	js_set(obj, "frames", frames);
	return obj;
}

static struct json_t *region_json(const struct check_finding *f)
{
	struct json_t *obj = js_object();

	layout_set_place(obj, f->role, f->section, f->name);
	js_set_str(obj, "text", f->region);
	return obj;
}

static struct json_t *finding_json_of(const struct check_finding *f)
{
	static const char *const units[] = { "count", "bytes", "percent" };
	struct json_t *obj = js_object();
	char id[17];

	js_set_str(obj, "rule", rule_infos[f->rule].name);
	js_set_str(obj, "severity", severity_names[f->severity]);
	js_set_str(obj, "program", f->program);
	if (f->has_region)
		js_set(obj, "region", region_json(f));
	if (f->site)
		js_set(obj, "site", site_json(f->site));
	js_set_str(obj, "before", f->before);
	js_set_str(obj, "after", f->after);
	if (f->has_numbers) {
		js_set_str(obj, "unit", units[rule_infos[f->rule].unit]);
		js_set_u64(obj, "before_value", f->from);
		js_set_u64(obj, "after_value", f->to);
		js_set_u64(obj, "limit", f->limit);
	}
	js_set_str(obj, "message", f->message);
	js_set_str(obj, "accept", f->accept);
	check_fingerprint(f, id);
	js_set_str(obj, "fingerprint", id);
	return obj;
}

static struct json_t *program_json(const struct check_program *p)
{
	struct json_t *obj = js_object(), *rules = js_array();
	int rule;

	js_set_str(obj, "name", p->name);
	js_set_bool(obj, "baseline", p->has_baseline);
	for (rule = 0; rule < NR_RULES; rule++)
		if (p->checked[rule])
			js_append(rules, js_string(rule_infos[rule].name));
	js_set(obj, "rules", rules);
	return obj;
}

void check_json(const struct check *c, const struct check_context *ctx, FILE *out)
{
	struct json_t *doc = js_object(), *programs = js_array(), *findings = js_array();
	struct json_t *counts = js_object();
	size_t i;

	js_set_u64(doc, "check", 1);
	js_set_str(doc, "result", check_is_failed(c, ctx) ? "regression" : "clean");
	js_set_str(doc, "baseline", ctx->baseline);
	js_set_u64(counts, "error", c->count[SEVERITY_ERROR]);
	js_set_u64(counts, "warning", c->count[SEVERITY_WARNING]);
	js_set_u64(counts, "note", c->count[SEVERITY_NOTE]);
	js_set(doc, "counts", counts);
	for (i = 0; i < c->nr_programs; i++)
		js_append(programs, program_json(&c->programs[i]));
	js_set(doc, "programs", programs);
	for (i = 0; i < c->nr; i++)
		js_append(findings, finding_json_of(&c->findings[i]));
	js_set(doc, "findings", findings);
	js_print(doc, out, false);
	js_free(doc);
}
