/* SPDX-License-Identifier: MIT */
/*
 * What in a trace deserves attention: facts about the address space at the end, and about how far
 * the trace can be trusted.
 */
#ifndef VMTRACE_ANALYZER_FINDINGS_H
#define VMTRACE_ANALYZER_FINDINGS_H

#include "summary.h"

enum finding_level { FINDING_INFO, FINDING_WARNING, FINDING_ERROR };

struct finding {
	enum finding_level severity;
	const char *kind;		/* a word for programs */
	char *text;
	bool has_range;
	uint64_t start, end;
	uint64_t count;			/* 0: none */
	const struct heap_finding *free;	/* the trace's, or NULL */
};

struct findings {
	struct finding *list;
	size_t nr, cap;
};

void findings_collect(struct findings *findings, struct trace *tr, const struct summary *s);
void findings_fini(struct findings *findings);
const char *finding_severity(const struct finding *f);
struct json_t *finding_json(const struct finding *f);

#endif
