/* SPDX-License-Identifier: MIT */
/*
 * The heap of a trace: operations of all threads in the order of time, and what they add up to.
 *
 *   pass 1   heap lines are located: (offset, t0) in one list for each thread
 *   pass 2   one cursor for each thread ──▶ merged by time ──▶ live blocks, sites, peak
 *
 * One line for each thread is in memory at a time. A realloc is two steps of its thread: the old
 * block is released when the call began, the new one acquired when it was back; in between another
 * thread may own the old address.
 */
#ifndef VMTRACE_ANALYZER_HEAP_H
#define VMTRACE_ANALYZER_HEAP_H

#include "reader.h"
#include "table.h"

enum { HEAP_SIZE_CLASSES = 65 };

/* What one call stack allocated. */
struct heap_site {
	uint32_t stack;
	uint64_t allocations, bytes;		/* in all */
	uint64_t live_blocks, live_bytes;	/* at the end */
	uint64_t peak_bytes, peak_blocks;	/* when all sites together were at their peak */
	uint64_t epoch;				/* of the peak that the two above belong to */
};

struct heap_class {
	uint64_t allocations, bytes;
};

struct heap_thread;				/* located lines of one thread */

struct heap {
	/* pass 1 */
	struct heap_thread *threads;
	size_t nr_threads, cap_threads;
	struct table thread_of_tid;

	/* pass 2 */
	struct table blocks;			/* address -> struct heap_block */
	struct table site_of_stack;
	struct heap_site *sites;
	size_t nr_sites, cap_sites;
	struct heap_class classes[HEAP_SIZE_CLASSES];	/* by bit length of the size */

	uint64_t allocations, frees;		/* realloc counts as one of each */
	uint64_t reallocations, failed;
	uint64_t unknown_frees;			/* of blocks from before the trace */
	uint64_t overwritten;			/* allocated where a block was live: its free was lost */
	uint64_t bytes;				/* asked for in all */
	uint64_t live_blocks, live_bytes;
	uint64_t peak_bytes, peak_blocks, peak_t;
	uint64_t thread_peaks_bytes;		/* each thread's own peak, added up: no chance in it */
	uint64_t epoch;
};

struct heap_block {
	uint64_t size;
	uint32_t site;
	uint32_t thread;			/* index */
};

void heap_init(struct heap *heap);
void heap_fini(struct heap *heap);

/* Pass 1: a heap line was met. */
void heap_locate(struct heap *heap, const struct record *rec);

/**
 * heap_run() - Pass 2.
 *
 * Return: 0, or an error of the reader, with everything up to that moment counted.
 */
int heap_run(struct heap *heap, struct reader *reader);

#endif
