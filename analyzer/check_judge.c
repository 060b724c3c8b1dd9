/* SPDX-License-Identifier: MIT */
/* From a judgement to a finding: its texts, and how to accept it. */
#include "check_judge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "out.h"

enum { SPREAD_TIMES = 2 };

char *judge_text(const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		alloc_failed();
	va_end(ap);
	return text;
}

static const char *figure(char *buf, enum rule_unit unit, uint64_t n)
{
	if (unit == RULE_BYTES)
		return out_size(buf, n);
	snprintf(buf, OUT_SIZE_MAX, "%" PRIu64 "%s", n, unit == RULE_PERCENT ? "%" : "");
	return buf;
}

char *judge_figure(enum rule_unit unit, struct span n)
{
	char min[OUT_SIZE_MAX], max[OUT_SIZE_MAX];

	figure(min, unit, n.min);
	figure(max, unit, n.max);
	return strcmp(min, max) ? judge_text("%s to %s", min, max) : judge_text("%s", max);
}

uint64_t judge_bound(const struct rule_terms *terms, struct span from)
{
	unsigned __int128 bound = from.max;

	if (terms->percent.is_set)
		bound += (unsigned __int128)from.max * terms->percent.value / 100;
	if (terms->percent.is_set && terms->percent.value)
		bound += (unsigned __int128)(from.max - from.min) * SPREAD_TIMES;
	if (terms->absolute.is_set)
		bound += terms->absolute.value;
	return bound > UINT64_MAX ? UINT64_MAX : (uint64_t)bound;
}

static char *describe(const struct judge_subject *s)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		alloc_failed();
	layout_describe(out, s->role, s->section, s->name);
	if (fclose(out))
		alloc_failed();
	return text;
}

/* A pattern that matches @text only. */
static struct json_t *pattern_of(const char *text)
{
	char *pattern = alloc_array(strlen(text) + 1, 2), *p = pattern;
	struct json_t *v;

	for (; *text; text++) {
		if (strchr("*?[]\\", *text))
			*p++ = '\\';
		*p++ = *text;
	}
	v = js_string(pattern);
	alloc_free(pattern);
	return v;
}

/* The innermost frame that says something: every mapping comes from libc's mmap(). */
static const char *frame_of(const struct layout_site *site)
{
	size_t i;

	for (i = 0; i < site->nr_frames; i++)
		if (!strstr(site->frames[i], "(libc.so") && !strstr(site->frames[i], "(ld-linux"))
			return site->frames[i];
	return site->frames[0];
}

static struct json_t *exemption(const struct judge_subject *s)
{
	struct json_t *list = js_array(), *a = js_object();

	if (s->has_region)
		js_set_str(a, "role", layout_role_names[s->role]);
	if (s->name && *s->name)
		js_set(a, "name", pattern_of(s->name));
	if (s->site && s->site->nr_frames)
		js_set(a, "site", pattern_of(frame_of(s->site)));
	js_append(list, a);
	return list;
}

/* The entry of a rules file that would let it pass. */
static struct json_t *entry_for(const struct judge *j, enum rule_id rule,
				const struct judge_subject *s, const struct judge_change *c)
{
	struct json_t *entry = js_object(), *tolerance;

	js_set_str(entry, "rule", rule_infos[rule].name);
	js_set(entry, "program", pattern_of(j->program));
	if (c->accept & ACCEPT_ALLOW) {
		js_set(entry, "allow", exemption(s));
	} else if (c->accept & (ACCEPT_MAX | ACCEPT_MIN)) {
		js_set_u64(entry, c->accept & ACCEPT_MAX ? "max" : "min", c->to);
	} else if (c->accept & ACCEPT_TOLERANCE) {
		tolerance = js_object();
		js_set_u64(tolerance, "absolute", c->to > c->from ? c->to - c->from : c->from - c->to);
		js_set(entry, "tolerance", tolerance);
	} else {
		js_set_str(entry, "severity", "note");
	}
	return entry;
}

static char *accept_text(const struct judge *j, enum rule_id rule, const struct judge_subject *s,
			 const struct judge_change *c)
{
	struct json_t *entry = entry_for(j, rule, s, c);
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		alloc_failed();
	if (c->accept & ACCEPT_UPDATE)
		fputs("take it into the baseline with --update, or ", out);
	fputs("add to the rules: ", out);
	js_print(entry, out, true);
	if (fclose(out))
		alloc_failed();
	js_free(entry);
	return text;
}

static char *message_of(const struct check_finding *f)
{
	const char *text = rule_infos[f->rule].text;
	const char *frame = f->site && f->site->nr_frames ? frame_of(f->site) : NULL;
	char *limit = NULL, *message;

	if (f->has_numbers)
		limit = judge_figure(rule_infos[f->rule].unit, (struct span){ f->limit, f->limit });
	message = judge_text("%s%s%s: %s -> %s%s%s%s%s", f->region ? f->region : "",
			     f->region ? ": " : "", text, f->before, f->after,
			     limit ? ", the limit is " : "", limit ? limit : "",
			     frame ? ", from " : "", frame ? frame : "");
	alloc_free(limit);
	return message;
}

bool judge_tell(struct judge *j, enum rule_id rule, const struct judge_subject *s,
		struct judge_change c)
{
	struct rule_terms terms = judge_terms(j, rule);
	struct check *check = j->check;
	struct check_finding *f;
	bool is_exempt = terms.severity != SEVERITY_OFF &&
			 rule_infos[rule].takes & RULE_TAKES_ALLOW &&
			 rules_allow(j->rules, rule, j->program, s->role, s->name, s->site);

	if (terms.severity == SEVERITY_OFF || is_exempt) {
		alloc_free(c.before);
		alloc_free(c.after);
		return is_exempt;
	}
	check->findings = alloc_grow(check->findings, check->nr, &check->cap,
				     sizeof(*check->findings));
	f = &check->findings[check->nr++];
	*f = (struct check_finding){
		.rule = rule, .severity = terms.severity, .program = j->program,
		.has_region = s->has_region, .role = s->role, .section = s->section,
		.name = s->name ? s->name : "", .region = s->has_region ? describe(s) : NULL,
		.site = s->site, .has_numbers = c.has_numbers, .from = c.from, .to = c.to,
		.limit = c.limit, .before = c.before, .after = c.after,
		.accept = accept_text(j, rule, s, &c),
	};
	f->message = message_of(f);
	check->count[f->severity]++;
	return true;
}
