/* SPDX-License-Identifier: MIT */
/* Programs, one after the other: which rules concern them, and what these say. */
#include "check_run.h"

#include <inttypes.h>

#include "alloc.h"
#include "check_judge.h"
#include "hash.h"

/* Whether @rule can say anything about a program. */
static bool is_checked(const struct judge *j, enum rule_id rule)
{
	struct rule_terms t = judge_terms(j, rule);
	bool has_limit = t.max.is_set || t.min.is_set;

	if (t.severity == SEVERITY_OFF || rule == RULE_PROGRAM_REMOVED)
		return false;
	if (rule < RULE_FACT_FIRST + LAYOUT_NR_FACTS || rule == RULE_INCOMPLETE)
		return true;
	if (rule >= RULE_BUDGET_FIRST)
		return has_limit || (j->before && (t.percent.is_set || t.absolute.is_set));
	return j->before || has_limit;
}

static struct check_program *add_program(struct check *c, const char *name, bool has_baseline)
{
	c->programs = alloc_grow(c->programs, c->nr_programs, &c->cap_programs,
				 sizeof(*c->programs));
	c->programs[c->nr_programs] =
		(struct check_program){ .name = name, .has_baseline = has_baseline };
	return &c->programs[c->nr_programs++];
}

static void judge_presence(struct judge *j, enum rule_id rule, const char *before,
			   const char *after)
{
	static const struct judge_subject whole = { .has_region = false };

	judge_tell(j, rule, &whole, (struct judge_change){
		.before = judge_text("%s", before), .after = judge_text("%s", after),
		.accept = ACCEPT_UPDATE,
	});
}

static void judge_program(struct judge *j, bool has_baseline)
{
	struct check_program *p = add_program(j->check, j->program, j->before);
	uint64_t explained[LAYOUT_NR_TOTALS] = { 0 };
	int rule;

	for (rule = 0; rule < NR_RULES; rule++)
		p->checked[rule] = is_checked(j, rule);
	if (has_baseline && judge_terms(j, RULE_PROGRAM_ADDED).severity != SEVERITY_OFF) {
		p->checked[RULE_PROGRAM_ADDED] = true;
		if (!j->before)
			judge_presence(j, RULE_PROGRAM_ADDED, "not there", "runs");
	}
	judge_regions(j, explained);
	judge_totals(j, explained);
}

void check_run(struct check *c, const struct layout *baseline, const struct layout *current,
	       const struct rules *rules)
{
	struct judge j = { .check = c, .rules = rules };
	size_t i;

	*c = (struct check){ 0 };
	for (i = 0; i < current->nr_programs; i++) {
		j.after = &current->programs[i];
		j.program = j.after->name;
		j.before = baseline ? layout_find(baseline, j.program) : NULL;
		judge_program(&j, baseline);
	}
	for (i = 0; baseline && i < baseline->nr_programs; i++) {
		j.program = baseline->programs[i].name;
		if (layout_find(current, j.program) ||
		    judge_terms(&j, RULE_PROGRAM_REMOVED).severity == SEVERITY_OFF)
			continue;
		add_program(c, j.program, true)->checked[RULE_PROGRAM_REMOVED] = true;
		judge_presence(&j, RULE_PROGRAM_REMOVED, "runs", "not there");
	}
}

void check_fini(struct check *c)
{
	size_t i;

	for (i = 0; i < c->nr; i++) {
		struct check_finding *f = &c->findings[i];

		alloc_free(f->region);
		alloc_free(f->before);
		alloc_free(f->after);
		alloc_free(f->message);
		alloc_free(f->accept);
	}
	alloc_free(c->findings);
	alloc_free(c->programs);
	*c = (struct check){ 0 };
}

bool check_is_failed(const struct check *c, const struct check_context *ctx)
{
	return c->count[SEVERITY_ERROR] || (ctx->is_strict && c->count[SEVERITY_WARNING]);
}

void check_fingerprint(const struct check_finding *f, char ret[17])
{
	uint64_t hash = HASH_START;

	hash = hash_line(hash, rule_infos[f->rule].name);
	hash = hash_line(hash, f->program);
	hash = hash_line(hash, f->has_region ? layout_role_names[f->role] : "");
	hash = hash_line(hash, f->has_region ? layout_section_names[f->section] : "");
	hash = hash_line(hash, f->name);
	hash = hash_line(hash, f->site ? f->site->id : "");
	snprintf(ret, 17, "%016" PRIx64, hash);
}
