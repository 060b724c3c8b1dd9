/* SPDX-License-Identifier: MIT */
/*
 * The part of the view mm that is about the last complete checkpoint with frames: page tables, RSS
 * counters, and what the address space costs the kernel.
 */
#ifndef VMTRACE_ANALYZER_MM_PHYSICAL_H
#define VMTRACE_ANALYZER_MM_PHYSICAL_H

#include <stdio.h>

#include "mm_cost.h"
#include "page_tables.h"

struct trace;

struct mm_physical {
	struct physmaps maps;
	struct emptied emptied;
	bool is_forked;			/* the trace is of a fork's child */

	/* Of the last checkpoint that is complete; maps.now may be of one after it that is not. */
	bool is_known;
	uint64_t t;
	char why[16];
	struct rec_figures kernel;
	struct rec_frames_end end;
	struct page_tables tables;
	struct page_counts counts;
	struct mm_cost cost;
	char *unreadable;		/* cost's */
	uint64_t unaccounted;		/* pages that the shadow knows no vma for */
};

/* By enum rss_counter: the kernel's figure of the same. */
extern const enum rec_figure mm_physical_figures[NR_RSS_COUNTERS];

void mm_physical_init(struct mm_physical *p);
void mm_physical_fini(struct mm_physical *p);
void mm_physical_record(struct mm_physical *p, struct trace *trace, const struct record *rec);

void mm_physical_print(const struct mm_physical *p, FILE *out);

/* The member "pages" of @obj; none without frames. */
void mm_physical_json(struct json_t *obj, const struct mm_physical *p);

#endif
