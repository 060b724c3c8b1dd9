/* SPDX-License-Identifier: MIT */
/*
 * How contiguous memory is: pages one behind the other whose frames are so as well, whatever their
 * classes, counted by the order of their number.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_CONTIG_H
#define VMTRACE_ANALYZER_FRAMES_CONTIG_H

#include <stddef.h>
#include <stdint.h>

enum {
	CONTIG_ORDERS = 11,		/* 1, 2, 4 … 1024 pages or more: as the buddy allocator has */
	CONTIG_LARGEST = 5,
};

struct contig_run {
	uint64_t va, pfn, pages;
};

struct frames_contig {
	uint64_t runs[CONTIG_ORDERS], pages[CONTIG_ORDERS];
	uint64_t nr_runs, nr_pages;
	struct contig_run largest[CONTIG_LARGEST];	/* the largest first */
	size_t nr_largest;
	struct contig_run open;		/* not counted yet */
};

/* By address; a run that continues the one before is part of it. */
void contig_add(struct frames_contig *contig, const struct contig_run *run);

/* The mapping ends: what comes next continues nothing. */
void contig_close(struct frames_contig *contig);

#endif
