/* SPDX-License-Identifier: MIT */
/*
 * A layout judged by rules, alone or beside a baseline.
 *
 *   baseline ─┐
 *   layout ───┼▶ check_run ─▶ list of findings ─▶ text, JSON, JUnit, SARIF, annotations
 *   rules ────┘
 *
 * One cause makes one finding. Of all that changed about a region the most telling is told, and what
 * the region added to the program's totals is taken off them before they are judged.
 */
#ifndef VMTRACE_ANALYZER_CHECK_RUN_H
#define VMTRACE_ANALYZER_CHECK_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "layout.h"
#include "rules.h"

struct check_finding {
	enum rule_id rule;
	enum severity severity;		/* never SEVERITY_OFF */
	const char *program;
	bool has_region;		/* else it is about the program as a whole */
	enum layout_role role;
	enum layout_section section;
	const char *name;		/* "" for none */
	char *region;			/* for people; NULL without a region */
	const struct layout_site *site;	/* NULL: none is known */
	bool has_numbers;		/* the next three, in the rule's unit */
	uint64_t from, to, limit;
	char *before, *after;		/* for people */
	char *message;			/* all in one line */
	char *accept;			/* how to make it pass */
};

/* What was judged of a program. */
struct check_program {
	const char *name;
	bool has_baseline;
	bool checked[NR_RULES];
};

/* Names and sites lie in the layouts, which must outlive it. */
struct check {
	struct check_finding *findings;	/* by program, each one's worst first */
	size_t nr, cap;
	struct check_program *programs;
	size_t nr_programs, cap_programs;
	size_t count[NR_SEVERITIES];
};

/* Judge @current; @baseline may be NULL. */
void check_run(struct check *check, const struct layout *baseline, const struct layout *current,
	       const struct rules *rules);
void check_fini(struct check *check);

/* A number that stays the same while rule, program, region and site do; hex, 17 bytes. */
void check_fingerprint(const struct check_finding *f, char ret[17]);

/* What check's output is about besides the findings. */
struct check_context {
	const char *version;		/* of the tool */
	const char *baseline;		/* path, NULL: none */
	bool is_strict;			/* warnings fail, too */
	bool colour;
};

bool check_is_failed(const struct check *check, const struct check_context *ctx);

void check_text(const struct check *check, const struct check_context *ctx, FILE *out);
void check_json(const struct check *check, const struct check_context *ctx, FILE *out);
void check_junit(const struct check *check, const struct check_context *ctx, FILE *out);
void check_sarif(const struct check *check, const struct check_context *ctx, FILE *out);
void check_github(const struct check *check, const struct check_context *ctx, FILE *out);

#endif
