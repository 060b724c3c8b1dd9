/* SPDX-License-Identifier: MIT */
/*
 * Inside check: one program being judged, and how a finding comes to be.
 */
#ifndef VMTRACE_ANALYZER_CHECK_JUDGE_H
#define VMTRACE_ANALYZER_CHECK_JUDGE_H

#include "check_run.h"

struct judge {
	struct check *check;
	const struct rules *rules;
	const char *program;
	const struct layout_program *before, *after;	/* before: NULL without a baseline */
};

/* What a finding is about. */
struct judge_subject {
	bool has_region;
	enum layout_role role;
	enum layout_section section;
	const char *name;
	const struct layout_site *site;
};

/* How it can be accepted. */
enum judge_accept {
	ACCEPT_UPDATE = 1u << 0,	/* with a new baseline */
	ACCEPT_ALLOW = 1u << 1,		/* with an exemption */
	ACCEPT_MAX = 1u << 2,		/* with "max": to */
	ACCEPT_MIN = 1u << 3,		/* with "min": to */
	ACCEPT_TOLERANCE = 1u << 4,	/* with a tolerance that covers from → to */
};

/* The rest of a finding; texts are allocated and taken over. */
struct judge_change {
	char *before, *after;
	bool has_numbers;
	uint64_t from, to, limit;	/* limit: of @to */
	unsigned int accept;
};

/**
 * judge_tell() - Add a finding of @rule unless it is off or the subject is exempt.
 *
 * Return: whether the matter is settled: told, or exempt. False: the rule is off.
 */
bool judge_tell(struct judge *j, enum rule_id rule, const struct judge_subject *subject,
		struct judge_change change);

static inline struct rule_terms judge_terms(const struct judge *j, enum rule_id rule)
{
	return rules_terms(j->rules, rule, j->program);
}

/*
 * The greatest figure that is no finding if the baseline has @from. What varied from trace to trace
 * there may vary twice as much: a few runs seldom show both ends. Not where the tolerance is 0 %.
 */
uint64_t judge_bound(const struct rule_terms *terms, struct span from);

/* "3.0 MiB", "17", "81%"; "2 to 5" if the span's ends differ. Allocated. */
char *judge_figure(enum rule_unit unit, struct span figure);
__attribute__((format(printf, 1, 2))) char *judge_text(const char *format, ...);

/* A cause was told that raises @total by @amount. */
static inline void explain(uint64_t explained[LAYOUT_NR_TOTALS], enum layout_total total,
			   uint64_t amount)
{
	explained[total] = add_capped(explained[total], amount);
}

/* Facts, regions and sites, with or without a baseline; then totals less what was told of them. */
void judge_regions(struct judge *j, uint64_t explained[LAYOUT_NR_TOTALS]);
void judge_totals(struct judge *j, uint64_t explained[LAYOUT_NR_TOTALS]);

#endif
