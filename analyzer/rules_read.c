/* SPDX-License-Identifier: MIT */
/*
 * Rules files: every member is known, in range and makes sense beside the others, or the file is
 * refused with the place. A gate whose rules are not what their author believes is worse than none.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "rules.h"
#include "suggest.h"

/* What is being read, and where in it. */
struct reading {
	struct rules *rules;
	const char *file;
	char place[64];			/* "rules[3]: ", or "" */
	size_t first;			/* of this file in rules->list */
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 2, 3)))
static int refuse(const struct reading *r, const char *format, ...)
{
	int n = snprintf(r->err, r->err_size, "%s: %s", r->file, r->place);
	va_list ap;

	va_start(ap, format);
	if (n >= 0 && (size_t)n < r->err_size)
		vsnprintf(r->err + n, r->err_size - n, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int refuse_word(const struct reading *r, const char *what, const char *word,
		       const struct suggestion *best)
{
	if (best->word)
		return refuse(r, "unknown %s '%s'; did you mean '%s'?", what, word, best->word);
	return refuse(r, "unknown %s '%s'", what, word);
}

/* Index of @word in @words (ended by NULL), or -EINVAL after a message. */
static int find_word(const struct reading *r, const char *what, const char *word,
		     const char *const *words)
{
	struct suggestion best = SUGGESTION_NONE;
	int i;

	for (i = 0; words[i]; i++) {
		if (!strcmp(words[i], word))
			return i;
		suggest(&best, word, words[i]);
	}
	return refuse_word(r, what, word, &best);
}

/* Every member of @obj must be one of @known (ended by NULL). */
static int check_members(const struct reading *r, struct json_t *obj, const char *const *known)
{
	void *it;

	for (it = js_iter(obj); it; it = js_next(obj, it))
		if (find_word(r, "member", js_key(it), known) < 0)
			return -EINVAL;
	return 0;
}

/* "64 MiB", "512 B", "1.5 GiB". */
static int parse_bytes(const char *text, uint64_t *ret)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t digits = strspn(text, "0123456789."), u;
	double n;
	char *end;

	n = strtod(text, &end);
	if (!digits || end != text + digits || *text == '.')
		return -EINVAL;
	while (*end == ' ')
		end++;
	for (u = 0; u < sizeof(units) / sizeof(units[0]); u++)
		if (!strcmp(end, units[u])) {
			n = ldexp(n, 10 * u);
			if (n > 0x1p62)
				return -EINVAL;
			*ret = (uint64_t)n;
			return 0;
		}
	return -EINVAL;
}

static int parse_percent(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || strcmp(end, "%") || errno || *ret > INT32_MAX ?
		       -EINVAL : 0;
}

/* A number of the rule's unit, or a string with its unit. Does nothing if @v is NULL. */
static int read_number(const struct reading *r, struct json_t *v, const char *member,
		       enum rule_unit unit, struct rule_number *ret)
{
	static const char *const wanted[] = {
		"a number", "a number of bytes or a string like \"64 MiB\"",
		"a percentage like \"80%\"",
	};
	uint64_t value = 0;
	int err;

	if (!v)
		return 0;
	err = js_u64(v, &value);
	if (err && js_str(v) && unit == RULE_BYTES)
		err = parse_bytes(js_str(v), &value);
	else if (err && js_str(v) && unit == RULE_PERCENT)
		err = parse_percent(js_str(v), &value);
	if (err)
		return refuse(r, "\"%s\" must be %s", member, wanted[unit]);
	if (unit == RULE_PERCENT && value > INT32_MAX)
		return refuse(r, "\"%s\" is out of range", member);
	*ret = (struct rule_number){ true, value };
	return 0;
}

static int read_tolerance(const struct reading *r, struct json_t *v, enum rule_unit unit,
			  struct rule_terms *terms)
{
	static const char *const known[] = { "percent", "absolute", NULL };

	if (!v)
		return 0;
	if (js_str(v))
		return read_number(r, v, "tolerance", RULE_PERCENT, &terms->percent);
	if (!js_is_object(v))
		return refuse(r, "\"tolerance\" must be a string like \"10%%\" or an object with "
				 "\"percent\" and \"absolute\"");
	if (check_members(r, v, known) ||
	    read_number(r, js_get(v, "percent"), "percent", RULE_PERCENT, &terms->percent) ||
	    read_number(r, js_get(v, "absolute"), "absolute", unit, &terms->absolute))
		return -EINVAL;
	if (!terms->percent.is_set && !terms->absolute.is_set)
		return refuse(r, "\"tolerance\" says nothing");
	return 0;
}

static int read_pattern(const struct reading *r, struct json_t *obj, const char *member, char **ret)
{
	struct json_t *v = js_get(obj, member);

	if (!v)
		return 0;
	if (!js_str(v) || !*js_str(v))
		return refuse(r, "\"%s\" must be a pattern", member);
	*ret = alloc_string(js_str(v));
	return 0;
}

static int read_role(const struct reading *r, struct json_t *v, int *ret)
{
	const char *names[LAYOUT_NR_ROLES + 1];

	if (!v)
		return 0;
	if (!js_str(v))
		return refuse(r, "\"role\" must be a string");
	memcpy(names, layout_role_names, sizeof(layout_role_names));
	names[LAYOUT_NR_ROLES] = NULL;
	*ret = find_word(r, "role", js_str(v), names);
	return *ret < 0 ? -EINVAL : 0;
}

static int read_exemption(const struct reading *r, struct json_t *v, struct rule_allow *a)
{
	static const char *const known[] = { "role", "name", "site", NULL };

	if (!js_is_object(v) || check_members(r, v, known))
		return js_is_object(v) ? -EINVAL : refuse(r, "\"allow\" must list objects");
	if (read_role(r, js_get(v, "role"), &a->role) || read_pattern(r, v, "name", &a->name) ||
	    read_pattern(r, v, "site", &a->site))
		return -EINVAL;
	if (a->role < 0 && !a->name && !a->site)
		return refuse(r, "an exemption from everything; set \"severity\" to \"off\"");
	return 0;
}

static int read_allow(const struct reading *r, struct json_t *list, struct rule *rule)
{
	size_t i;

	if (!list)
		return 0;
	if (!js_is_array(list))
		return refuse(r, "\"allow\" must be a list");
	for (i = 0; i < js_len(list); i++) {
		rule->allow = alloc_grow(rule->allow, rule->nr_allow, &rule->cap_allow,
					 sizeof(*rule->allow));
		rule->allow[rule->nr_allow] = (struct rule_allow){ .role = -1 };
		if (read_exemption(r, js_at(list, i), &rule->allow[rule->nr_allow++]))
			return -EINVAL;
	}
	return 0;
}

static int read_severity(const struct reading *r, struct json_t *v, struct rule_terms *terms)
{
	const char *names[NR_SEVERITIES + 1];
	int found;

	if (!v)
		return 0;
	if (!js_str(v))
		return refuse(r, "\"severity\" must be a string");
	memcpy(names, severity_names, sizeof(severity_names));
	names[NR_SEVERITIES] = NULL;
	found = find_word(r, "severity", js_str(v), names);
	if (found < 0)
		return -EINVAL;
	terms->has_severity = true;
	terms->severity = found;
	return 0;
}

static int read_always(const struct reading *r, struct json_t *v, struct rule_terms *terms)
{
	if (!v)
		return 0;
	if (!js_is_bool(v))
		return refuse(r, "\"always\" must be true or false");
	terms->has_always = true;
	terms->always = js_is_true(v);
	return 0;
}

static int read_rule_id(const struct reading *r, struct json_t *v, enum rule_id *ret)
{
	const char *names[NR_RULES + 1] = { NULL };
	int i;

	if (!js_str(v))
		return refuse(r, "\"rule\" must name a rule");
	for (i = 0; i < NR_RULES; i++)
		names[i] = rule_infos[i].name;
	i = find_word(r, "rule", js_str(v), names);
	if (i < 0)
		return -EINVAL;
	*ret = i;
	return 0;
}

/* A member that the rule has no use for is a misunderstanding. */
static int check_takes(const struct reading *r, struct json_t *v, enum rule_id id)
{
	static const struct {
		const char *member;
		unsigned int takes;
	} members[] = {
		{ "max", RULE_TAKES_LIMITS }, { "min", RULE_TAKES_LIMITS },
		{ "tolerance", RULE_TAKES_TOLERANCE }, { "allow", RULE_TAKES_ALLOW },
		{ "always", RULE_TAKES_ALWAYS },
	};
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (js_get(v, members[i].member) && !(rule_infos[id].takes & members[i].takes))
			return refuse(r, "%s takes no \"%s\"", rule_infos[id].name,
				      members[i].member);
	if (id == RULE_HEAP_SITE && js_get(v, "min"))
		return refuse(r, "%s takes no \"min\"", rule_infos[id].name);
	return 0;
}

static bool is_same_program(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* What @rule and those before it that speak of its programs, too, say together. */
static struct rule_terms terms_with(const struct reading *r, const struct rule *rule)
{
	struct rule_terms terms = { 0 };
	size_t i;

	for (i = 0; i < r->rules->nr; i++) {
		const struct rule *earlier = &r->rules->list[i];

		if (earlier->id == rule->id &&
		    (!earlier->program || is_same_program(earlier->program, rule->program)))
			rule_terms_refine(&terms, &earlier->terms);
	}
	rule_terms_refine(&terms, &rule->terms);
	return terms;
}

static int check_sense(const struct reading *r, const struct rule *rule)
{
	const struct rule_info *info = &rule_infos[rule->id];
	struct rule_terms terms = terms_with(r, rule);
	bool is_off = terms.has_severity && terms.severity == SEVERITY_OFF;
	size_t i;

	for (i = r->first; i < r->rules->nr; i++)
		if (r->rules->list[i].id == rule->id &&
		    is_same_program(r->rules->list[i].program, rule->program))
			return refuse(r, "%s is already in rules[%zu]%s", info->name, i - r->first,
				      rule->program ? ", for the same programs" : "");
	if (terms.max.is_set && terms.min.is_set && terms.max.value < terms.min.value)
		return refuse(r, "\"max\" is less than \"min\"");
	if (is_off && rule->nr_allow)
		return refuse(r, "%s is off: there is nothing to allow", info->name);
	if (!is_off && rule->id >= RULE_BUDGET_FIRST && !terms.max.is_set && !terms.min.is_set &&
	    !terms.percent.is_set && !terms.absolute.is_set)
		return refuse(r, "%s is a budget without \"max\", \"min\"%s", info->name,
			      info->takes & RULE_TAKES_TOLERANCE ? " or \"tolerance\"" : "");
	return 0;
}

static int read_rule(const struct reading *r, struct json_t *v, struct rule *rule)
{
	static const char *const known[] = {
		"rule", "program", "severity", "max", "min", "tolerance", "allow", "always", NULL,
	};
	enum rule_unit unit;

	if (!js_is_object(v))
		return refuse(r, "not an object");
	if (check_members(r, v, known) || read_rule_id(r, js_get(v, "rule"), &rule->id) ||
	    check_takes(r, v, rule->id))
		return -EINVAL;
	unit = rule_infos[rule->id].unit;
	if (read_pattern(r, v, "program", &rule->program) ||
	    read_severity(r, js_get(v, "severity"), &rule->terms) ||
	    read_always(r, js_get(v, "always"), &rule->terms) ||
	    read_number(r, js_get(v, "max"), "max", unit, &rule->terms.max) ||
	    read_number(r, js_get(v, "min"), "min", unit, &rule->terms.min) ||
	    read_tolerance(r, js_get(v, "tolerance"), unit, &rule->terms) ||
	    read_allow(r, js_get(v, "allow"), rule))
		return -EINVAL;
	return check_sense(r, rule);
}

static int read_rules(struct reading *r, struct json_t *list)
{
	size_t i;

	r->first = r->rules->nr;
	for (i = 0; i < js_len(list); i++) {
		struct rule rule = { 0 };

		snprintf(r->place, sizeof(r->place), "rules[%zu]: ", i);
		if (read_rule(r, js_at(list, i), &rule)) {
			rule_fini(&rule);
			return -EINVAL;
		}
		r->rules->list = alloc_grow(r->rules->list, r->rules->nr, &r->rules->cap,
					    sizeof(*r->rules->list));
		r->rules->list[r->rules->nr++] = rule;
	}
	return 0;
}

static int read_extends(struct reading *r, struct json_t *list)
{
	size_t i, nr = list ? js_len(list) : 1;

	if (list && !js_is_array(list))
		return refuse(r, "\"extends\" must be a list");
	for (i = 0; i < nr; i++) {
		const char *name = list ? js_str(js_at(list, i)) : "default";

		snprintf(r->place, sizeof(r->place), "extends[%zu]: ", i);
		if (!name)
			return refuse(r, "not a string");
		if (find_word(r, "set", name, rules_set_names) < 0 ||
		    rules_add_text(r->rules, name, rules_set_text(name), r->err, r->err_size))
			return -EINVAL;
	}
	*r->place = '\0';
	return 0;
}

static int read_document(struct reading *r, struct json_t *doc)
{
	static const char *const known[] = { "$schema", "rules_version", "extends", "rules", NULL };
	uint64_t version;

	if (!js_is_object(doc))
		return refuse(r, "not an object");
	if (check_members(r, doc, known))
		return -EINVAL;
	if (js_u64(js_get(doc, "rules_version"), &version))
		return refuse(r, "\"rules_version\" must be 1");
	if (version != 1)
		return refuse(r, "rules of version %ju; version 1 is known", (uintmax_t)version);
	if (!js_is_array(js_get(doc, "rules")))
		return refuse(r, "\"rules\" must be a list");
	if (read_extends(r, js_get(doc, "extends")))
		return -EINVAL;
	return read_rules(r, js_get(doc, "rules"));
}

/* Takes over @doc; all of it or nothing. */
static int add_document(struct rules *rules, const char *name, struct json_t *doc, char *err,
			size_t err_size)
{
	struct reading r = { .rules = rules, .file = name, .err = err, .err_size = err_size };
	size_t nr = rules->nr;
	int status = read_document(&r, doc);

	js_free(doc);
	while (status && rules->nr > nr)
		rule_fini(&rules->list[--rules->nr]);
	return status;
}

int rules_add_text(struct rules *rules, const char *name, const char *text, char *err,
		   size_t err_size)
{
	struct json_t *doc = js_load_text(name, text, strlen(text), err, err_size);

	return doc ? add_document(rules, name, doc, err, err_size) : -EINVAL;
}

int rules_add(struct rules *rules, const char *what, char *err, size_t err_size)
{
	const char *set = rules_set_text(what);
	struct json_t *doc;

	if (set)
		return rules_add_text(rules, what, set, err, err_size);
	doc = js_load(what, err, err_size);
	return doc ? add_document(rules, what, doc, err, err_size) : -EINVAL;
}
