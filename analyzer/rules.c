/* SPDX-License-Identifier: MIT */
/* The table of rules, and what the entries for a rule say together. */
#include "rules.h"

#include <fnmatch.h>
#include <string.h>

#include "alloc.h"

_Static_assert(RULE_FACT_FIRST + LAYOUT_FACT_DELETED == RULE_DELETED, "facts and rules differ");
_Static_assert(RULE_BUDGET_FIRST + LAYOUT_lost == RULE_lost, "totals and rules differ");

#define FACT(symbol, name, text) \
	[RULE_##symbol] = { name, text, RULE_TAKES_ALLOW | RULE_TAKES_ALWAYS, RULE_COUNT },
#define NOTHING RULE_TAKES_NOTHING
#define ALLOW RULE_TAKES_ALLOW
#define TOLERANCE RULE_TAKES_TOLERANCE
#define LIMITS RULE_TAKES_LIMITS
#define CHANGE(symbol, name, takes, unit, text) [RULE_##symbol] = { name, text, takes, RULE_##unit },
#define BUDGET(symbol, name, unit, text) \
	[RULE_##symbol] = { name, text, LIMITS | TOLERANCE, RULE_##unit },
#define SHARE(symbol, name, text) [RULE_##symbol] = { name, text, LIMITS, RULE_PERCENT },

const struct rule_info rule_infos[NR_RULES] = {
	RULES_FACTS(FACT) RULES_CHANGES(CHANGE) RULES_BUDGETS(BUDGET) RULES_SHARES(SHARE)
};

const char *const severity_names[NR_SEVERITIES] = { "off", "note", "warning", "error" };

void rules_init(struct rules *rules)
{
	*rules = (struct rules){ 0 };
}

void rule_fini(struct rule *rule)
{
	size_t i;

	for (i = 0; i < rule->nr_allow; i++) {
		alloc_free(rule->allow[i].name);
		alloc_free(rule->allow[i].site);
	}
	alloc_free(rule->allow);
	alloc_free(rule->program);
	*rule = (struct rule){ 0 };
}

void rules_fini(struct rules *rules)
{
	size_t i;

	for (i = 0; i < rules->nr; i++)
		rule_fini(&rules->list[i]);
	alloc_free(rules->list);
	rules_init(rules);
}

void rules_set_severity(struct rules *rules, enum rule_id id, enum severity severity)
{
	rules->list = alloc_grow(rules->list, rules->nr, &rules->cap, sizeof(*rules->list));
	rules->list[rules->nr++] = (struct rule){
		.id = id, .terms = { .has_severity = true, .severity = severity },
	};
}

static void refine_number(struct rule_number *into, const struct rule_number *by)
{
	if (by->is_set)
		*into = *by;
}

void rule_terms_refine(struct rule_terms *into, const struct rule_terms *by)
{
	if (by->has_severity) {
		into->has_severity = true;
		into->severity = by->severity;
	}
	if (by->has_always) {
		into->has_always = true;
		into->always = by->always;
	}
	refine_number(&into->max, &by->max);
	refine_number(&into->min, &by->min);
	refine_number(&into->percent, &by->percent);
	refine_number(&into->absolute, &by->absolute);
}

static bool is_for(const struct rule *rule, enum rule_id id, const char *program)
{
	return rule->id == id && (!rule->program || !fnmatch(rule->program, program, 0));
}

struct rule_terms rules_terms(const struct rules *rules, enum rule_id id, const char *program)
{
	struct rule_terms terms = { .severity = SEVERITY_OFF };
	bool is_named = false;
	size_t i;

	for (i = 0; i < rules->nr; i++) {
		if (!is_for(&rules->list[i], id, program))
			continue;
		is_named = true;
		rule_terms_refine(&terms, &rules->list[i].terms);
	}
	if (is_named && !terms.has_severity)
		terms.severity = SEVERITY_ERROR;
	if (terms.percent.is_set && rules->percent.is_set)
		terms.percent = rules->percent;
	return terms;
}

/* A pattern names a function, or a whole frame "function (module)". */
static bool is_frame_match(const char *pattern, const char *frame)
{
	const char *module = strrchr(frame, '(');
	char function[512];

	if (!fnmatch(pattern, frame, 0))
		return true;
	if (!module || module == frame || module[-1] != ' ')
		return false;
	snprintf(function, sizeof(function), "%.*s", (int)(module - 1 - frame), frame);
	return !fnmatch(pattern, function, 0);
}

static bool is_site_match(const char *pattern, const struct layout_site *site)
{
	size_t i;

	for (i = 0; site && i < site->nr_frames; i++)
		if (is_frame_match(pattern, site->frames[i]))
			return true;
	return false;
}

bool rules_allow(const struct rules *rules, enum rule_id id, const char *program,
		 enum layout_role role, const char *name, const struct layout_site *site)
{
	size_t i, k;

	for (i = 0; i < rules->nr; i++) {
		const struct rule *rule = &rules->list[i];

		for (k = 0; is_for(rule, id, program) && k < rule->nr_allow; k++) {
			const struct rule_allow *a = &rule->allow[k];

			if ((a->role < 0 || a->role == (int)role) &&
			    (!a->name || !fnmatch(a->name, name ? name : "", 0)) &&
			    (!a->site || is_site_match(a->site, site)))
				return true;
		}
	}
	return false;
}
