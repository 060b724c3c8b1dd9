/* SPDX-License-Identifier: MIT */
/*
 * The peak by site costs O(1) an operation: each new peak only counts up an epoch; a site that
 * changes for the first time in an epoch first puts away the figures it had at the peak.
 */
#include "heap.h"

#include <string.h>

#include "alloc.h"

struct heap_line {
	uint64_t offset, line;
	size_t length;
};

struct heap_thread {
	int64_t tid;
	struct heap_line *lines;
	size_t nr_lines, cap_lines;

	/* the cursor of pass 2 */
	size_t next_line;
	struct heap_ops ops;
	size_t i;
	bool is_released;		/* ops.list[i] is a realloc and its first half was done */
	uint64_t live_bytes, peak_bytes;	/* of what it allocated, whoever frees it */
};

void heap_init(struct heap *h)
{
	memset(h, 0, sizeof(*h));
	table_init(&h->thread_of_tid, sizeof(uint64_t));
	table_init(&h->blocks, sizeof(struct heap_block));
	table_init(&h->site_of_stack, sizeof(uint64_t));
}

void heap_fini(struct heap *h)
{
	size_t i;

	for (i = 0; i < h->nr_threads; i++) {
		alloc_free(h->threads[i].lines);
		alloc_free(h->threads[i].ops.list);
	}
	alloc_free(h->threads);
	alloc_free(h->sites);
	table_fini(&h->thread_of_tid);
	table_fini(&h->blocks);
	table_fini(&h->site_of_stack);
}

void heap_locate(struct heap *h, const struct record *rec)
{
	struct heap_thread *th;
	uint64_t *index;
	bool is_new;

	index = table_put(&h->thread_of_tid, rec->heap.tid, &is_new);
	if (is_new) {
		*index = h->nr_threads;
		h->threads = alloc_grow(h->threads, h->nr_threads, &h->cap_threads,
					sizeof(*h->threads));
		h->threads[h->nr_threads++] = (struct heap_thread){ .tid = rec->heap.tid };
	}
	th = &h->threads[*index];
	th->lines = alloc_grow(th->lines, th->nr_lines, &th->cap_lines, sizeof(*th->lines));
	th->lines[th->nr_lines++] = (struct heap_line){
		.offset = rec->heap.offset, .line = rec->line, .length = rec->heap.length,
	};
}

static struct heap_site *site_of(struct heap *h, uint32_t stack, uint32_t *ret_index)
{
	bool is_new;
	uint64_t *index = table_put(&h->site_of_stack, stack, &is_new);

	if (is_new) {
		*index = h->nr_sites;
		h->sites = alloc_grow(h->sites, h->nr_sites, &h->cap_sites, sizeof(*h->sites));
		h->sites[h->nr_sites++] = (struct heap_site){ .stack = stack };
	}
	*ret_index = *index;
	return &h->sites[*index];
}

/* Call before a site's live figures change. */
static void keep_peak(const struct heap *h, struct heap_site *site)
{
	if (site->epoch == h->epoch)
		return;
	site->peak_bytes = site->live_bytes;
	site->peak_blocks = site->live_blocks;
	site->epoch = h->epoch;
}

static void drop_block(struct heap *h, const struct heap_block *block)
{
	struct heap_site *site = &h->sites[block->site];

	keep_peak(h, site);
	site->live_blocks--;
	site->live_bytes -= block->size;
	h->live_blocks--;
	h->live_bytes -= block->size;
	h->threads[block->thread].live_bytes -= block->size;
	h->frees++;
}

static void release(struct heap *h, uint64_t addr)
{
	struct heap_block block;

	if (table_remove(&h->blocks, addr, &block))
		drop_block(h, &block);
	else
		h->unknown_frees++;
}

static void acquire(struct heap *h, uint32_t thread, const struct heap_op *op)
{
	unsigned int class = op->size ? 64 - __builtin_clzll(op->size) : 0;
	struct heap_block *block, new = { .size = op->size, .thread = thread };
	struct heap_site *site = site_of(h, op->stack, &new.site);
	struct heap_thread *th = &h->threads[thread];
	bool is_new;

	block = table_put(&h->blocks, op->addr, &is_new);
	if (!is_new) {
		h->overwritten++;
		drop_block(h, block);
	}
	*block = new;
	keep_peak(h, site);
	site->allocations++;
	site->bytes += op->size;
	site->live_blocks++;
	site->live_bytes += op->size;
	h->classes[class].allocations++;
	h->classes[class].bytes += op->size;
	h->allocations++;
	h->bytes += op->size;
	h->live_blocks++;
	h->live_bytes += op->size;
	th->live_bytes += op->size;
	if (th->live_bytes > th->peak_bytes)
		th->peak_bytes = th->live_bytes;
	if (h->live_bytes > h->peak_bytes) {
		h->peak_bytes = h->live_bytes;
		h->peak_blocks = h->live_blocks;
		h->peak_t = op->t;
		h->epoch++;
	}
}

/* Read on until the cursor stands on an operation. Return: 1, 0 at the thread's end, -errno. */
static int cursor_load(struct heap_thread *th, struct reader *reader)
{
	while (th->i == th->ops.nr) {
		const struct heap_line *line;
		int err;

		if (th->next_line == th->nr_lines)
			return 0;
		line = &th->lines[th->next_line++];
		th->i = 0;
		err = reader_heap_line(reader, line->line, line->offset, line->length, &th->ops);
		if (err)
			return err;
	}
	return 1;
}

/* When the cursor's next step happened; releases come first where stamps are equal. */
struct step {
	uint64_t t;
	uint32_t thread;
	bool acquires;
};

static struct step cursor_step(const struct heap *h, uint32_t thread)
{
	const struct heap_thread *th = &h->threads[thread];
	const struct heap_op *op = &th->ops.list[th->i];

	if (op->kind == HEAP_REALLOC && !th->is_released)
		return (struct step){ op->released, thread, false };
	return (struct step){ op->t, thread, op->kind != HEAP_FREE };
}

/* Do the step the cursor stands on and move it. */
static void cursor_do(struct heap *h, uint32_t thread)
{
	struct heap_thread *th = &h->threads[thread];
	const struct heap_op *op = &th->ops.list[th->i];

	if (op->kind == HEAP_REALLOC && !th->is_released) {
		release(h, op->old);
		h->reallocations++;
		th->is_released = true;
		return;
	}
	if (op->kind == HEAP_FREE)
		release(h, op->addr);
	else if (op->kind == HEAP_FAILED)
		h->failed++;
	else
		acquire(h, thread, op);
	th->is_released = false;
	th->i++;
}

static bool step_before(const struct step *a, const struct step *b)
{
	if (a->t != b->t)
		return a->t < b->t;
	return a->acquires != b->acquires ? b->acquires : a->thread < b->thread;
}

/* Restore the order of the binary heap @steps below @i. */
static void sift_down(struct step *steps, size_t nr, size_t i)
{
	for (;;) {
		size_t least = i, child = 2 * i + 1;
		struct step tmp;

		if (child < nr && step_before(&steps[child], &steps[least]))
			least = child;
		if (child + 1 < nr && step_before(&steps[child + 1], &steps[least]))
			least = child + 1;
		if (least == i)
			return;
		tmp = steps[i];
		steps[i] = steps[least];
		steps[least] = tmp;
		i = least;
	}
}

static int merge(struct heap *h, struct reader *reader, struct step *steps, size_t nr)
{
	size_t i;

	for (i = nr; i-- > 0;)
		sift_down(steps, nr, i);
	while (nr) {
		uint32_t thread = steps[0].thread;
		int more;

		cursor_do(h, thread);
		more = cursor_load(&h->threads[thread], reader);
		if (more < 0)
			return more;
		if (more)
			steps[0] = cursor_step(h, thread);
		else
			steps[0] = steps[--nr];
		sift_down(steps, nr, 0);
	}
	return 0;
}

int heap_run(struct heap *h, struct reader *reader)
{
	struct step *steps = alloc_array(h->nr_threads, sizeof(*steps));
	size_t i, nr = 0;
	int err = 0;

	for (i = 0; i < h->nr_threads && err >= 0; i++) {
		err = cursor_load(&h->threads[i], reader);
		if (err > 0)
			steps[nr++] = cursor_step(h, i);
	}
	if (err >= 0)
		err = merge(h, reader, steps, nr);
	for (i = 0; i < h->nr_sites; i++)
		keep_peak(h, &h->sites[i]);
	for (i = 0; i < h->nr_threads; i++)
		h->thread_peaks_bytes += h->threads[i].peak_bytes;
	alloc_free(steps);
	return err;
}
