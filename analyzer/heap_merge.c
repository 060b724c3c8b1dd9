/* SPDX-License-Identifier: MIT */
/*
 * The merge: operations of all threads in the order of their stamps, and what each one changes.
 *
 * One cursor is in turn until its next stamp reaches that of the second one; with one thread that is
 * never, so that merging costs nothing. Slots of blocks are asked for some operations ahead.
 *
 * The peak by site costs O(1) an operation: each new peak only counts up an epoch; a site that
 * changes for the first time in an epoch first puts away the figures it had at the peak. Figures of
 * the whole heap that are not needed on the way are added up at the end.
 */
#include <string.h>

#include "alloc.h"
#include "heap_pass.h"

enum { AHEAD = 16, SMALL_STACKS = 1 << 20 };

/* Call before a sum's live figures change. */
static inline void keep_peak(const struct heap *h, struct heap_sum *sum)
{
	if (sum->epoch == h->epoch)
		return;
	sum->peak_blocks = sum->allocations - sum->frees;
	sum->peak_bytes = sum->bytes - sum->freed_bytes;
	sum->epoch = h->epoch;
	if (sum->estimate)
		heap_sample_keep_peak(sum->estimate);
}

void heap_finish_sum(const struct heap *h, struct heap_sum *sum)
{
	keep_peak(h, sum);
	sum->live_blocks = sum->allocations - sum->frees;
	sum->live_bytes = sum->bytes - sum->freed_bytes;
}

static uint32_t new_site(struct heap *h, uint32_t stack)
{
	h->sites = alloc_grow(h->sites, h->nr_sites, &h->cap_sites, sizeof(*h->sites));
	h->sites[h->nr_sites] = (struct heap_sum){
		.stack = stack, .estimate = heap_sample_new(h),
	};
	return h->nr_sites++;
}

/* Index of the site of a stack that has none yet, or whose id is no small one. */
static uint32_t find_site(struct heap *h, uint32_t stack)
{
	struct heap_pass *pass = h->pass;
	size_t old = pass->nr_site_of_stack;
	uint64_t *index;
	bool is_new;

	if (stack < SMALL_STACKS) {
		while (stack >= pass->nr_site_of_stack)
			pass->site_of_stack =
				alloc_grow(pass->site_of_stack, pass->nr_site_of_stack,
					   &pass->nr_site_of_stack, sizeof(*pass->site_of_stack));
		memset(pass->site_of_stack + old, 0,
		       (pass->nr_site_of_stack - old) * sizeof(*pass->site_of_stack));
		pass->site_of_stack[stack] = new_site(h, stack) + 1;
		return pass->site_of_stack[stack] - 1;
	}
	index = table_put(&pass->site_of_large, stack, &is_new);
	if (is_new)
		*index = new_site(h, stack);
	return *index;
}

static inline uint32_t site_of(struct heap *h, uint32_t stack)
{
	const struct heap_pass *pass = h->pass;

	if (stack < pass->nr_site_of_stack && pass->site_of_stack[stack])
		return pass->site_of_stack[stack] - 1;
	return find_site(h, stack);
}

static inline void sum_drop(const struct heap *h, struct heap_sum *sum, uint64_t size)
{
	keep_peak(h, sum);
	sum->frees++;
	sum->freed_bytes += size;
}

static inline void sum_add(const struct heap *h, struct heap_sum *sum, uint64_t size)
{
	keep_peak(h, sum);
	sum->allocations++;
	sum->bytes += size;
}

static inline void drop_block(struct heap *h, const struct heap_block *block)
{
	struct heap_thread *owner = &h->threads[block->thread];

	sum_drop(h, &h->sites[block->site], block->size);
	sum_drop(h, heap_class_of(h, block->size), block->size);
	owner->live_blocks--;
	owner->live_bytes -= block->size;
	h->live_bytes -= block->size;
	if (h->sample_bytes)
		heap_sample_drop(h, &h->sites[block->site], owner, block->size);
}

static inline void release(struct heap *h, uint32_t thread, uint64_t t, uint64_t addr)
{
	struct heap_block *block = heap_blocks_find(&h->blocks, addr);
	struct heap_thread *th = &h->threads[thread];

	if (__builtin_expect(block->state != BLOCK_LIVE, 0)) {
		heap_note_bad_free(h, thread, t, addr, block);
		return;
	}
	if (th->cursor->has_last && th->cursor->last_addr == addr && block->thread == thread) {
		th->temporary++;
		h->sites[block->site].temporary++;
		heap_class_of(h, block->size)->temporary++;
		th->cursor->has_last = false;
	}
	drop_block(h, block);
	th->frees++;
	block->state = BLOCK_FREED;
	block->t = t;
	block->thread = thread;
}

/* More is live than ever in the last bucket. */
static void note_high(struct heap *h, uint64_t t)
{
	h->pass->bucket_max = h->live_bytes;
	if (h->live_bytes > h->peak_bytes && !h->sample_bytes)
		heap_note_peak(h, t);
}

static inline void acquire(struct heap *h, uint32_t thread, const struct heap_op *op)
{
	struct heap_block *block = heap_blocks_put(&h->blocks, op->addr);
	struct heap_thread *th = &h->threads[thread];
	uint32_t site = site_of(h, op->stack);

	if (__builtin_expect(block->state == BLOCK_LIVE, 0)) {
		h->overwritten++;
		drop_block(h, block);
	}
	*block = (struct heap_block){
		.addr = op->addr, .size = op->size, .t = op->t, .site = site,
		.state = BLOCK_LIVE, .thread = thread,
	};
	sum_add(h, &h->sites[site], op->size);
	sum_add(h, heap_class_of(h, op->size), op->size);
	th->allocations++;
	th->bytes += op->size;
	th->live_blocks++;
	th->live_bytes += op->size;
	if (th->live_bytes > th->peak_bytes)
		th->peak_bytes = th->live_bytes;
	th->cursor->last_addr = op->addr;
	th->cursor->has_last = true;
	h->live_bytes += op->size;
	if (h->live_bytes > h->pass->bucket_max)
		note_high(h, op->t);
	if (h->sample_bytes)
		heap_sample_add(h, &h->sites[site], th, op);
}

static void fail(struct heap *h, uint32_t thread, uint32_t stack)
{
	/* First: the array may move. */
	uint32_t site = site_of(h, stack);

	h->sites[site].failed++;
	h->threads[thread].failed++;
}

/* Close the buckets that end before @t; all figures are those before it. */
static void move_series(struct heap *h, uint64_t t)
{
	struct heap_bucket now = {
		.max_live_bytes = h->pass->bucket_max, .live_bytes = h->live_bytes,
	};
	size_t i;

	for (i = 0; i < HEAP_SIZE_CLASSES; i++) {
		now.allocations += h->classes[i].allocations;
		now.bytes += h->classes[i].bytes;
		now.live_blocks += h->classes[i].allocations - h->classes[i].frees;
	}
	h->pass->bucket_end = heap_series_move(&h->series, t, &now);
	h->pass->bucket_max = h->live_bytes;
}

static inline void do_op(struct heap *h, uint32_t thread, const struct heap_op *op)
{
	if (op->t >= h->pass->bucket_end)
		move_series(h, op->t);
	if (op->kind == HEAP_ALLOC) {
		acquire(h, thread, op);
	} else if (op->kind == HEAP_FAILED) {
		fail(h, thread, op->stack);
	} else {
		h->reallocations += op->kind == HEAP_REALLOC;
		release(h, thread, op->t, op->addr);
	}
}

/*
 * Where the block of operation @i will be looked for. Prefetched by the callers themselves: gcc takes
 * a function that does nothing else for one that has no effect.
 */
static inline const struct heap_block *slot_ahead(const struct heap *h, const struct heap_ops *ops,
						  size_t i)
{
	return heap_blocks_home(&h->blocks, ops->list[i < ops->nr ? i : ops->nr - 1].addr);
}

/* Read on until the cursor stands on an operation. Return: 1, 0 at the thread's end, -errno. */
static int cursor_load(struct heap *h, uint32_t thread, struct reader *reader)
{
	struct heap_cursor *c = h->threads[thread].cursor;
	size_t i;

	while (c->i == c->ops.nr) {
		int err;

		if (c->next_line == c->nr_lines)
			return 0;
		c->i = 0;
		err = heap_read_line(h, c, reader);
		if (err)
			return err;
		for (i = 0; i < AHEAD && i < c->ops.nr; i++)
			__builtin_prefetch(slot_ahead(h, &c->ops, i), 1);
	}
	return 1;
}

/* At least one operation, and on as long as the thread is in turn. */
static void cursor_run(struct heap *h, uint32_t thread)
{
	struct heap_cursor *c = h->threads[thread].cursor;
	const struct heap_pass *pass = h->pass;

	do {
		__builtin_prefetch(slot_ahead(h, &c->ops, c->i + AHEAD), 1);
		do_op(h, thread, &c->ops.list[c->i++]);
	} while (c->i < c->ops.nr && c->ops.list[c->i].t < pass->limit_t);
}

/* When the cursor's next operation happened; blocks go first where stamps are equal. */
struct step {
	uint64_t t;
	uint32_t thread;
	bool acquires;
};

static struct step cursor_step(const struct heap *h, uint32_t thread)
{
	const struct heap_cursor *c = h->threads[thread].cursor;
	const struct heap_op *op = &c->ops.list[c->i];

	return (struct step){
		op->t, thread, op->kind == HEAP_ALLOC || op->kind == HEAP_FAILED,
	};
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

/* The stamp up to which the first one may go on: that of the second one, or the pass's end. */
static uint64_t turn_end(const struct heap_pass *pass, const struct step *steps, size_t nr)
{
	uint64_t t = pass->until_t == UINT64_MAX ? UINT64_MAX : pass->until_t + 1;
	size_t i;

	for (i = 1; i < 3 && i < nr; i++)
		if (steps[i].t < t)
			t = steps[i].t;
	return t;
}

static int merge(struct heap *h, struct reader *reader, struct step *steps, size_t nr)
{
	struct heap_pass *pass = h->pass;
	size_t i;

	for (i = nr; i-- > 0;)
		sift_down(steps, nr, i);
	while (nr && steps[0].t <= pass->until_t && h->epoch < pass->until_epoch) {
		uint32_t thread = steps[0].thread;
		const struct heap_cursor *c = h->threads[thread].cursor;
		size_t first = c->i;
		int more;

		pass->limit_t = turn_end(pass, steps, nr);
		cursor_run(h, thread);
		if (h->nr_watches)
			heap_watch_ops(h, thread, &c->ops.list[first], c->i - first);
		more = cursor_load(h, thread, reader);
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

int heap_merge(struct heap *h, struct reader *reader)
{
	struct step *steps = alloc_array(h->nr_threads, sizeof(*steps));
	size_t i, nr = 0;
	int err = 0;

	for (i = 0; i < h->nr_threads && err >= 0; i++) {
		err = cursor_load(h, i, reader);
		if (err > 0)
			steps[nr++] = cursor_step(h, i);
	}
	if (err >= 0)
		err = merge(h, reader, steps, nr);
	move_series(h, h->pass->bucket_end - 1);
	alloc_free(steps);
	return err;
}
