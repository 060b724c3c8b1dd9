/* SPDX-License-Identifier: MIT */
/*
 * What the summary collects, shared with the findings that are drawn from it.
 */
#ifndef VMTRACE_ANALYZER_SUMMARY_H
#define VMTRACE_ANALYZER_SUMMARY_H

#include "report.h"

struct summary {
	uint64_t by_call[MM_OP_COUNT], by_origin[TRACE_NR_ORIGINS];
	uint64_t failed, lost, threads;
	uint64_t predicted, predicted_right;
	uint64_t differences[TRACE_NR_CAUSES], checks;
	uint64_t frame_pages[TRACE_NR_FRAME_CAUSES];	/* that contradict the shadow, at most at once */
	uint64_t frame_pages_now[TRACE_NR_FRAME_CAUSES];	/* of the checkpoint being read */
	struct rec_figures shadow, kernel;	/* of the last mm line */
	bool has_mm;
	uint64_t peak_rss;
	uint64_t resident, swapped;		/* pages at the last checkpoint with frames */
	bool is_new_checkpoint;
	bool ends_with_exec;
	char how[16];				/* of the last end line, "" if there was none */
	const char *end_how;
	bool end_has_status;
	int64_t status;
	bool has_cost;
	uint64_t cost_resident, cost_trace;
};

/* Fill in what @f does not know from the replayed @mm. */
void summary_fill_shadow(struct rec_figures *f, const struct mm *mm);

void summary_print(struct trace *tr, const struct summary *s);
struct json_t *summary_build(struct trace *tr, const struct summary *s);

/**
 * verify_score() - Share of the comparisons that found no defect.
 * @differences: by enum trace_cause; unexplained ones and changes not captured are defects.
 */
double verify_score(const uint64_t *differences, uint64_t checks);

#endif
