/* SPDX-License-Identifier: MIT */
/*
 * Findings as SARIF 2.1.0. A layout has no lines of source: the place of a result is the baseline that
 * would have to change, and in it the functions of the call stack.
 */
#include <string.h>

#include "alloc.h"
#include "check_run.h"
#include "json.h"

static const char schema_uri[] =
	"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

static struct json_t *text_json(const char *text)
{
	struct json_t *obj = js_object();

	js_set_str(obj, "text", text);
	return obj;
}

/* In a message "[text](target)" is a link: no name may make one. */
static struct json_t *message_json(const char *message)
{
	char *text = alloc_array(strlen(message) + 1, 2), *p = text;
	bool has_link = strstr(message, "](") != NULL;
	struct json_t *v;

	for (; *message; message++) {
		if (has_link && strchr("[]\\", *message))
			*p++ = '\\';
		*p++ = *message;
	}
	v = text_json(text);
	alloc_free(text);
	return v;
}

static struct json_t *rule_json(int rule)
{
	struct json_t *obj = js_object();

	js_set_str(obj, "id", rule_infos[rule].name);
	js_set(obj, "shortDescription", text_json(rule_infos[rule].text));
	return obj;
}

/* A path as the reference of an artifact. */
static struct json_t *uri_json(const char *path)
{
	static const char hex[] = "0123456789ABCDEF";
	char *uri = alloc_array(strlen(path) + 8, 3), *p = uri;
	struct json_t *v;

	if (*path == '/')
		p = stpcpy(p, "file://");
	for (; *path; path++) {
		unsigned char c = *path;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    strchr("-._~/", c)) {
			*p++ = c;
		} else {
			*p++ = '%';
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		}
	}
	v = js_string(uri);
	alloc_free(uri);
	return v;
}

static struct json_t *logical_json(const char *name, const char *kind)
{
	struct json_t *obj = js_object();

	js_set_str(obj, "fullyQualifiedName", name);
	js_set_str(obj, "kind", kind);
	return obj;
}

static struct json_t *location_json(const struct check_finding *f, const struct check_context *ctx)
{
	struct json_t *obj = js_object(), *logical = js_array(), *physical, *artifact;
	struct json_t *line;
	size_t i;

	if (ctx->baseline) {
		artifact = js_object();
		js_set(artifact, "uri", uri_json(ctx->baseline));
		physical = js_object();
		js_set(physical, "artifactLocation", artifact);
		/* Viewers show nothing without a line. */
		line = js_object();
		js_set_u64(line, "startLine", 1);
		js_set(physical, "region", line);
		js_set(obj, "physicalLocation", physical);
	}
	for (i = 0; f->site && i < f->site->nr_frames; i++)
		js_append(logical, logical_json(f->site->frames[i], "function"));
	if (!i)
		js_append(logical, logical_json(f->program, "module"));
	js_set(obj, "logicalLocations", logical);
	return obj;
}

static struct json_t *result_json(const struct check_finding *f, const struct check_context *ctx)
{
	struct json_t *obj = js_object(), *list = js_array(), *prints = js_object();
	struct json_t *more = js_object();
	char id[17];

	js_set_str(obj, "ruleId", rule_infos[f->rule].name);
	js_set_u64(obj, "ruleIndex", f->rule);
	js_set_str(obj, "level", severity_names[f->severity]);
	js_set(obj, "message", message_json(f->message));
	js_append(list, location_json(f, ctx));
	js_set(obj, "locations", list);
	check_fingerprint(f, id);
	js_set_str(prints, "vmtraceFinding/v1", id);
	js_set(obj, "partialFingerprints", prints);
	js_set_str(more, "program", f->program);
	js_set_str(more, "region", f->region);
	js_set_str(more, "before", f->before);
	js_set_str(more, "after", f->after);
	js_set_str(more, "accept", f->accept);
	js_set(obj, "properties", more);
	return obj;
}

static struct json_t *driver_json(const struct check_context *ctx)
{
	struct json_t *driver = js_object(), *rules = js_array();
	int rule;

	js_set_str(driver, "name", "vmtrace");
	js_set_str(driver, "semanticVersion", ctx->version);
	for (rule = 0; rule < NR_RULES; rule++)
		js_append(rules, rule_json(rule));
	js_set(driver, "rules", rules);
	return driver;
}

void check_sarif(const struct check *c, const struct check_context *ctx, FILE *out)
{
	struct json_t *doc = js_object(), *runs = js_array(), *run = js_object();
	struct json_t *tool = js_object(), *results = js_array();
	size_t i;

	js_set_str(doc, "$schema", schema_uri);
	js_set_str(doc, "version", "2.1.0");
	js_set(tool, "driver", driver_json(ctx));
	js_set(run, "tool", tool);
	for (i = 0; i < c->nr; i++)
		js_append(results, result_json(&c->findings[i], ctx));
	js_set(run, "results", results);
	js_append(runs, run);
	js_set(doc, "runs", runs);
	js_print(doc, out, false);
	js_free(doc);
}
