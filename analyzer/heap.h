/* SPDX-License-Identifier: MIT */
/*
 * The heap of a trace: operations of all threads in the order of time, and what they add up to.
 *
 *   pass 1   heap lines are located: (offset, length) in one list for each thread
 *   pass 2   one cursor for each thread ──▶ merged by time ──▶ live blocks, sites, peak
 *
 * One line for each thread is in memory at a time. A realloc is two steps of its thread: the old
 * block is released when the call began, the new one acquired when it was back; in between another
 * thread may own the old address.
 *
 * Pass 2 may be run again, to another moment.
 */
#ifndef VMTRACE_ANALYZER_HEAP_H
#define VMTRACE_ANALYZER_HEAP_H

#include "heap_blocks.h"
#include "heap_series.h"
#include "heap_watch.h"
#include "reader.h"
#include "table.h"

enum { HEAP_SIZE_CLASSES = 65, HEAP_FINDINGS_MAX = 64 };

/* What is estimated from a sample. */
enum heap_figure {
	HEAP_ALLOCATIONS, HEAP_BYTES,
	HEAP_LIVE_BLOCKS, HEAP_LIVE_BYTES,
	HEAP_PEAK_BLOCKS, HEAP_PEAK_BYTES,
	HEAP_NR_FIGURES
};

/**
 * struct heap_estimate - What a sample stands for.
 * @value:    each recorded block counted as 1/p, p being the probability with which it was recorded.
 * @variance: of @value; its square root is the standard error.
 */
struct heap_estimate {
	double value[HEAP_NR_FIGURES], variance[HEAP_NR_FIGURES];
};

/**
 * struct heap_sum - What the blocks of one call stack, or of one size class, add up to.
 * @allocations, @bytes:       in all; realloc counts as one.
 * @frees, @freed_bytes:       of these blocks, whoever freed them.
 * @peak_blocks, @peak_bytes:  live when the whole heap was at its peak.
 * @temporary:                 freed by the thread that allocated them, before it allocated again.
 * @epoch:                     of the peak that @peak_blocks and @peak_bytes belong to.
 * @live_blocks, @live_bytes:  at the end; filled in when heap_run() is back.
 * @failed:                    allocations that failed; not counted elsewhere.
 * @estimate:                  of a sampled trace: what the above stands for; else NULL.
 * @stack:                     id of the call stack; 0 in a size class.
 */
struct heap_sum {
	uint64_t allocations, bytes;
	uint64_t frees, freed_bytes;
	uint64_t peak_blocks, peak_bytes;
	uint64_t temporary;
	uint64_t epoch;
	uint64_t live_blocks, live_bytes;
	uint64_t failed;
	struct heap_estimate *estimate;
	uint32_t stack;
};

struct heap_cursor;

/**
 * struct heap_thread - What one thread did.
 * @allocations, @bytes:       made by it.
 * @frees:                     made by it, of blocks known to the trace, whoever allocated them.
 * @live_blocks, @live_bytes:  of what it allocated, whoever frees it, at the end.
 * @peak_bytes:                the greatest @live_bytes, at whatever time that was.
 * @temporary, @failed, @estimate: as in struct heap_sum; the peak of the estimate is its own, too.
 */
struct heap_thread {
	int64_t tid;
	uint64_t allocations, bytes;
	uint64_t frees;
	uint64_t live_blocks, live_bytes;
	uint64_t peak_bytes;
	uint64_t temporary, failed;
	struct heap_estimate *estimate;
	struct heap_cursor *cursor;		/* where pass 2 stands in its lines */
};

enum heap_finding_kind {
	HEAP_DOUBLE_FREE,		/* of a block that had been freed and not been allocated again */
	HEAP_INVALID_FREE,		/* of an address inside a live block */
};

/**
 * struct heap_finding - A free that can't be right.
 * @t, @tid, @addr: of the free.
 * @block, @size, @stack: the block that was there (double) or that @addr lies in (invalid), and who
 *          allocated it.
 * @block_t, @block_tid: when and by whom it was freed first (double) or allocated (invalid).
 */
struct heap_finding {
	enum heap_finding_kind kind;
	uint64_t t, addr;
	int64_t tid;
	uint64_t block, size, block_t;
	int64_t block_tid;
	uint32_t stack;
};

/**
 * struct heap - All of it.
 *
 * Double and invalid frees are told from other unknown ones only where the trace holds every
 * operation: none lost, none left out by sampling, no torn line. Missed are a double free whose
 * block was forgotten in between (the table of blocks forgets freed ones when it is full: not before
 * half as many other addresses were used for the first time as there are live blocks), and invalid
 * frees after the searches for them have used up their budget; @unchecked_frees counts those.
 */
struct heap {
	/* pass 1 */
	struct heap_thread *threads;
	size_t nr_threads, cap_threads;
	struct table thread_of_tid;
	uint64_t sample_bytes;			/* mean distance between recorded bytes; 0: all are */
	bool has_lost;				/* operations that could not be recorded */
	struct heap_watch *watches;		/* the caller's; filled in by pass 2 */
	size_t nr_watches;

	/* pass 2 */
	struct heap_blocks blocks;		/* the live ones */
	struct heap_sum *sites;			/* one for each call stack that allocated */
	size_t nr_sites, cap_sites;
	struct heap_sum classes[HEAP_SIZE_CLASSES];	/* by bit length of the size */
	struct heap_series series;		/* how it went, over time */

	uint64_t allocations, frees;		/* realloc counts as one of each */
	uint64_t reallocations, failed;
	uint64_t temporary;
	uint64_t unknown_frees;			/* of blocks from before the trace; see below */
	uint64_t overwritten;			/* allocated where a block was live: its free was lost */
	uint64_t bytes;				/* asked for in all */
	uint64_t live_blocks, live_bytes;
	uint64_t peak_bytes, peak_blocks, peak_t;
	uint64_t thread_peaks_bytes;		/* each thread's own peak, added up: no chance in it */
	struct heap_estimate estimate;		/* of the whole, if sampled */
	uint64_t epoch;				/* how often a new peak was reached */

	uint64_t double_frees, invalid_frees;	/* not among unknown_frees */
	uint64_t unchecked_frees;		/* among unknown_frees: could have been invalid */
	struct heap_finding findings[HEAP_FINDINGS_MAX];	/* the first of them */
	size_t nr_findings;

	struct heap_pass *pass;			/* pass 2's own, while it runs */
};

/* A live block, as heap_next_block() hands it out. */
struct heap_live {
	uint64_t addr, size;
	uint64_t t;				/* when it was allocated */
	int64_t tid;				/* and by whom */
	uint32_t stack;
};

void heap_init(struct heap *heap);
void heap_fini(struct heap *heap);

/**
 * heap_locate() - Pass 1: any record of the trace, in its order.
 *
 * Notes where heap lines are, and what header and lost lines say about the heap.
 */
void heap_locate(struct heap *heap, const struct record *rec);

/**
 * heap_run() - Pass 2, all of it.
 *
 * Return: 0, or an error of the reader, with everything up to that moment counted.
 */
int heap_run(struct heap *heap, struct reader *reader);

/* The same up to the moment @t: operations with a later stamp are not done. */
int heap_run_until(struct heap *heap, struct reader *reader, uint64_t t);

/* The same up to the peak: what was live then is what is live after it. Runs pass 2 twice. */
int heap_run_until_peak(struct heap *heap, struct reader *reader);

/**
 * heap_next_block() - One live block after the other, after a run; in no order.
 * @pos: 0 for the first; moved on.
 *
 * Return: false when there are no more, @ret is untouched then.
 */
bool heap_next_block(const struct heap *heap, size_t *pos, struct heap_live *ret);

#endif
