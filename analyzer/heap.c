/* SPDX-License-Identifier: MIT */
/*
 * From records to located lines, and the frame around pass 2.
 *
 * Of a line is kept where it is: 16 bytes for about a thousand operations.
 */
#include "heap.h"

#include <string.h>

#include "alloc.h"
#include "heap_pass.h"

enum {
	LENGTH_BITS = 27,		/* READER_LINE_MAX fits */
	SEARCH_BUDGET = 1 << 27,	/* slots: less than a second */
};

struct heap_line {
	uint64_t offset;
	uint64_t length : LENGTH_BITS, line : 64 - LENGTH_BITS;
};

void heap_init(struct heap *h)
{
	memset(h, 0, sizeof(*h));
	table_init(&h->thread_of_tid, sizeof(uint64_t));
}

/* Forget what pass 2 counted. */
static void reset(struct heap *h)
{
	size_t i;

	for (i = 0; i < h->nr_sites; i++)
		alloc_free(h->sites[i].estimate);
	for (i = 0; i < HEAP_SIZE_CLASSES; i++)
		alloc_free(h->classes[i].estimate);
	for (i = 0; i < h->nr_threads; i++) {
		struct heap_thread *th = &h->threads[i];

		alloc_free(th->estimate);
		*th = (struct heap_thread){ .tid = th->tid, .cursor = th->cursor };
	}
	alloc_free(h->sites);
	heap_blocks_fini(&h->blocks);
	*h = (struct heap){
		.threads = h->threads, .nr_threads = h->nr_threads, .cap_threads = h->cap_threads,
		.thread_of_tid = h->thread_of_tid, .sample_bytes = h->sample_bytes,
		.has_lost = h->has_lost, .watches = h->watches, .nr_watches = h->nr_watches,
	};
}

void heap_fini(struct heap *h)
{
	size_t i;

	reset(h);
	for (i = 0; i < h->nr_threads; i++) {
		alloc_free(h->threads[i].cursor->lines);
		alloc_free(h->threads[i].cursor);
	}
	alloc_free(h->threads);
	table_fini(&h->thread_of_tid);
}

static struct heap_cursor *cursor_of(struct heap *h, int64_t tid)
{
	uint64_t *index;
	bool is_new;

	index = table_put(&h->thread_of_tid, tid, &is_new);
	if (is_new) {
		*index = h->nr_threads;
		h->threads = alloc_grow(h->threads, h->nr_threads, &h->cap_threads,
					sizeof(*h->threads));
		h->threads[h->nr_threads++] = (struct heap_thread){
			.tid = tid, .cursor = alloc_zeroed(sizeof(struct heap_cursor)),
		};
	}
	return h->threads[*index].cursor;
}

void heap_locate(struct heap *h, const struct record *rec)
{
	struct heap_cursor *c;

	if (rec->ev == TRACE_HEADER)
		h->sample_bytes = rec->header.heap_sample;
	if (rec->ev == TRACE_LOST)
		h->has_lost |= !strcmp(rec->lost.what, "heap");
	if (rec->ev != TRACE_HEAP)
		return;
	c = cursor_of(h, rec->heap.tid);
	c->lines = alloc_grow(c->lines, c->nr_lines, &c->cap_lines, sizeof(*c->lines));
	c->lines[c->nr_lines++] = (struct heap_line){
		.offset = rec->heap.offset, .line = rec->line, .length = rec->heap.length,
	};
}

int heap_read_line(struct heap *h, struct heap_cursor *c, struct reader *reader)
{
	const struct heap_line *line = &c->lines[c->next_line++];
	struct heap_pass *pass = h->pass;
	int err;

	c->ops.ends = pass->ends;
	c->ops.cap_ends = pass->cap_ends;
	err = reader_heap_line(reader, line->line, line->offset, line->length, &c->ops);
	pass->ends = c->ops.ends;
	pass->cap_ends = c->ops.cap_ends;
	c->ops.ends = NULL;
	c->ops.cap_ends = 0;
	return err;
}

static void add_up(struct heap *h)
{
	size_t i;

	for (i = 0; i < HEAP_SIZE_CLASSES; i++) {
		struct heap_sum *sum = &h->classes[i];

		heap_finish_sum(h, sum);
		h->allocations += sum->allocations;
		h->bytes += sum->bytes;
		h->frees += sum->frees;
		h->live_blocks += sum->live_blocks;
		h->peak_blocks += sum->peak_blocks;
	}
	for (i = 0; i < h->nr_sites; i++) {
		heap_finish_sum(h, &h->sites[i]);
		h->failed += h->sites[i].failed;
	}
	for (i = 0; i < h->nr_threads; i++) {
		h->thread_peaks_bytes += h->threads[i].peak_bytes;
		h->temporary += h->threads[i].temporary;
	}
	/* The caller may sort the sites. */
	for (i = 0; i < h->blocks.cap; i++)
		if (h->blocks.slots[i].state == BLOCK_LIVE)
			h->blocks.slots[i].site = h->sites[h->blocks.slots[i].site].stack;
}

/* Stand before the first operation again. */
static void start(struct heap *h, struct heap_pass *pass, const struct reader *reader)
{
	size_t i;

	reset(h);
	h->pass = pass;
	heap_blocks_init(&h->blocks);
	heap_series_init(&h->series);
	heap_watch_start(h);
	table_init(&pass->site_of_large, sizeof(uint64_t));
	pass->bucket_end = h->series.width;
	pass->search_budget = SEARCH_BUDGET;
	pass->is_complete = !h->has_lost && !h->sample_bytes && !reader->nr_torn &&
			    !*reader->error;
	for (i = 0; i < HEAP_SIZE_CLASSES; i++)
		h->classes[i].estimate = heap_sample_new(h);
	for (i = 0; i < h->nr_threads; i++) {
		struct heap_cursor *c = h->threads[i].cursor;

		h->threads[i].estimate = heap_sample_new(h);
		*c = (struct heap_cursor){
			.lines = c->lines, .nr_lines = c->nr_lines, .cap_lines = c->cap_lines,
		};
	}
}

static int run(struct heap *h, struct reader *reader, uint64_t until_t, uint64_t until_epoch)
{
	struct heap_pass pass = { .until_t = until_t, .until_epoch = until_epoch };
	size_t i;
	int err;

	start(h, &pass, reader);
	err = heap_merge(h, reader);
	add_up(h);
	for (i = 0; i < h->nr_threads; i++)
		heap_ops_fini(&h->threads[i].cursor->ops);
	alloc_free(pass.ends);
	alloc_free(pass.site_of_stack);
	table_fini(&pass.site_of_large);
	h->pass = NULL;
	return err;
}

int heap_run(struct heap *h, struct reader *reader)
{
	return run(h, reader, UINT64_MAX, UINT64_MAX);
}

int heap_run_until(struct heap *h, struct reader *reader, uint64_t t)
{
	return run(h, reader, t, UINT64_MAX);
}

int heap_run_until_peak(struct heap *h, struct reader *reader)
{
	int err = heap_run(h, reader), again = run(h, reader, UINT64_MAX, h->epoch);

	return err ? err : again;
}

bool heap_next_block(const struct heap *h, size_t *pos, struct heap_live *ret)
{
	for (; *pos < h->blocks.cap; (*pos)++) {
		const struct heap_block *block = &h->blocks.slots[*pos];

		if (block->state != BLOCK_LIVE)
			continue;
		*ret = (struct heap_live){
			.addr = block->addr, .size = block->size, .t = block->t,
			.tid = h->threads[block->thread].tid,
			.stack = block->site,
		};
		(*pos)++;
		return true;
	}
	return false;
}
