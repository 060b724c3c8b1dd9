/* SPDX-License-Identifier: MIT */
/*
 * What the parts of pass 2 share: the cursors, and what happens only now and then.
 */
#ifndef VMTRACE_ANALYZER_HEAP_PASS_H
#define VMTRACE_ANALYZER_HEAP_PASS_H

#include "heap.h"

static inline struct heap_sum *heap_class_of(struct heap *heap, uint64_t size)
{
	return &heap->classes[size ? 64 - __builtin_clzll(size) : 0];
}

/* Where one thread's lines are and which operation is next. */
struct heap_cursor {
	struct heap_line *lines;
	size_t nr_lines, cap_lines;

	size_t next_line;
	struct heap_ops ops;
	size_t i;
	uint64_t last_addr;		/* of its last allocation, */
	bool has_last;			/* if that was not freed yet */
};

struct heap_pass {
	uint64_t until_t, until_epoch;	/* the end; UINT64_MAX for none */
	uint64_t limit_t;		/* the cursor in turn goes on below it */
	uint64_t bucket_max;		/* most live bytes in the series' last bucket, */
	uint64_t bucket_end;		/* which lasts until then */
	uint32_t *ends;			/* the scanner's, for one line of one thread at a time */
	size_t cap_ends;
	uint32_t *site_of_stack;	/* index + 1; of small ids, */
	size_t nr_site_of_stack;
	struct table site_of_large;	/* of the others, which only a damaged trace has */
	bool is_complete;		/* every operation is in the trace */
	uint64_t search_budget;		/* slots that may still be looked at for invalid frees */
};

/* More is live than ever before. */
static inline void heap_note_peak(struct heap *heap, uint64_t t)
{
	heap->peak_bytes = heap->live_bytes;
	heap->peak_t = t;
	if (++heap->epoch == heap->pass->until_epoch)
		heap->pass->limit_t = 0;
}

/* A free of @addr by thread number @thread that hit no live block. @slot: of @addr. */
void heap_note_bad_free(struct heap *heap, uint32_t thread, uint64_t t, uint64_t addr,
			const struct heap_block *slot);

/* A sampled block came or went: the estimates of what it belongs to, and the heap's peak. */
void heap_sample_add(struct heap *heap, struct heap_sum *site, struct heap_thread *thread,
		     const struct heap_op *op);
void heap_sample_drop(struct heap *heap, struct heap_sum *site, struct heap_thread *thread,
		      uint64_t size);

/* Room for a sum's estimate, if the trace is a sample. */
struct heap_estimate *heap_sample_new(const struct heap *heap);

/* What was live becomes what was live at the peak. */
void heap_sample_keep_peak(struct heap_estimate *estimate);

/* Read the cursor's next line. Return: 0 or -errno. */
int heap_read_line(struct heap *heap, struct heap_cursor *cursor, struct reader *reader);

/* Nothing more will happen to @sum: fill in what was left out on the way. */
void heap_finish_sum(const struct heap *heap, struct heap_sum *sum);

/* Do what the cursors hold until the pass is to end. */
int heap_merge(struct heap *heap, struct reader *reader);

#endif
