/* SPDX-License-Identifier: MIT */
/*
 * What a sampled heap stands for: a block that was recorded with probability p counts as 1/p blocks
 * (Horvitz and Thompson), with a variance of (1 - p)/p² for the count, times size² for the bytes.
 */
#include <math.h>

#include "alloc.h"
#include "heap_pass.h"

/* One block, as it enters all estimates. */
struct weight {
	double blocks, bytes;
	double blocks_variance, bytes_variance;
};

static struct weight weigh(const struct heap *h, uint64_t size)
{
	double p = -expm1(-(double)(size ? size : 1) / (double)h->sample_bytes);
	double variance = (1 - p) / (p * p);

	return (struct weight){
		.blocks = 1 / p, .bytes = size / p,
		.blocks_variance = variance, .bytes_variance = variance * size * size,
	};
}

/* @sign: -1 takes it away again. */
static void count(struct heap_estimate *e, enum heap_figure blocks, const struct weight *w, int sign)
{
	e->value[blocks] += sign * w->blocks;
	e->variance[blocks] += sign * w->blocks_variance;
	e->value[blocks + 1] += sign * w->bytes;
	e->variance[blocks + 1] += sign * w->bytes_variance;
}

/* Where nothing is live any more, what rounding has left is taken away. */
static void settle(struct heap_estimate *e, bool is_live)
{
	if (!is_live)
		e->value[HEAP_LIVE_BLOCKS] = e->value[HEAP_LIVE_BYTES] =
			e->variance[HEAP_LIVE_BLOCKS] = e->variance[HEAP_LIVE_BYTES] = 0;
}

struct heap_estimate *heap_sample_new(const struct heap *h)
{
	return h->sample_bytes ? alloc_zeroed(sizeof(struct heap_estimate)) : NULL;
}

void heap_sample_keep_peak(struct heap_estimate *e)
{
	e->value[HEAP_PEAK_BLOCKS] = e->value[HEAP_LIVE_BLOCKS];
	e->value[HEAP_PEAK_BYTES] = e->value[HEAP_LIVE_BYTES];
	e->variance[HEAP_PEAK_BLOCKS] = e->variance[HEAP_LIVE_BLOCKS];
	e->variance[HEAP_PEAK_BYTES] = e->variance[HEAP_LIVE_BYTES];
}

static void keep_own_peak(struct heap_estimate *e)
{
	if (e->value[HEAP_LIVE_BYTES] > e->value[HEAP_PEAK_BYTES])
		heap_sample_keep_peak(e);
}

void heap_sample_add(struct heap *h, struct heap_sum *site, struct heap_thread *th,
		     const struct heap_op *op)
{
	struct heap_sum *class = heap_class_of(h, op->size);
	struct heap_estimate *const all[] = { site->estimate, class->estimate, th->estimate,
					      &h->estimate };
	struct weight w = weigh(h, op->size);
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		count(all[i], HEAP_ALLOCATIONS, &w, 1);
		count(all[i], HEAP_LIVE_BLOCKS, &w, 1);
	}
	keep_own_peak(th->estimate);
	if (h->estimate.value[HEAP_LIVE_BYTES] <= h->estimate.value[HEAP_PEAK_BYTES])
		return;
	heap_sample_keep_peak(&h->estimate);
	heap_note_peak(h, op->t);
}

void heap_sample_drop(struct heap *h, struct heap_sum *site, struct heap_thread *th, uint64_t size)
{
	struct heap_sum *class = heap_class_of(h, size);
	struct weight w = weigh(h, size);

	count(site->estimate, HEAP_LIVE_BLOCKS, &w, -1);
	count(class->estimate, HEAP_LIVE_BLOCKS, &w, -1);
	count(th->estimate, HEAP_LIVE_BLOCKS, &w, -1);
	count(&h->estimate, HEAP_LIVE_BLOCKS, &w, -1);
	settle(site->estimate, site->allocations > site->frees);
	settle(class->estimate, class->allocations > class->frees);
	settle(th->estimate, th->live_blocks);
}
