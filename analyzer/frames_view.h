/* SPDX-License-Identifier: MIT */
/*
 * What the view of frames has computed, for those who show it.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_VIEW_H
#define VMTRACE_ANALYZER_FRAMES_VIEW_H

#include "frames_churn.h"
#include "frames_sum.h"
#include "report.h"

/* A vma and what of it is resident or in swap. */
struct frames_rank {
	size_t vma;			/* index in the map */
	uint64_t pages;
};

struct frames_view {
	struct physmaps maps;

	struct frames_source source;
	struct frames_sum all;
	uint64_t own_pages;		/* present, vmtrace's */
	struct frames_rank *ranks;	/* of all vmas, the largest first */
	struct frames_churn churn;
	bool has_churn;
};

/* The frames_end line counted other pages than the lines have. */
bool frames_is_incomplete(const struct frames_view *view);

void frames_print(struct trace *trace, const struct frames_view *view);
struct json_t *frames_build_json(struct trace *trace, const struct frames_view *view);

#endif
