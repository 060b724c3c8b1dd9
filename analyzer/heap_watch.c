/* SPDX-License-Identifier: MIT */
#include "heap_watch.h"

#include "heap.h"

void heap_watch_start(struct heap *h)
{
	size_t i;

	for (i = 0; i < h->nr_watches; i++)
		h->watches[i] = (struct heap_watch){ .at = h->watches[i].at };
}

/* A block of no bytes still has an address of its own. */
static bool covers(const struct heap_op *op, uint64_t addr)
{
	return addr == op->addr || addr - op->addr < op->size;
}

static void end_block(struct heap_watch *w, enum heap_watch_state state, uint64_t t, int64_t tid)
{
	w->state = state;
	w->freed_t = t;
	w->freed_tid = tid;
}

static void watch_alloc(struct heap_watch *w, const struct heap_op *op, int64_t tid)
{
	if (!covers(op, w->at)) {
		if (w->state == HEAP_WATCH_LIVE && w->addr == op->addr)
			end_block(w, HEAP_WATCH_LOST, op->t, tid);
		return;
	}
	*w = (struct heap_watch){
		.at = w->at, .state = HEAP_WATCH_LIVE, .addr = op->addr, .size = op->size,
		.t = op->t, .tid = tid, .stack = op->stack, .nr = w->nr + 1,
	};
}

static void watch_op(struct heap_watch *w, const struct heap_op *op, int64_t tid)
{
	if (op->kind == HEAP_ALLOC)
		watch_alloc(w, op, tid);
	else if (op->kind != HEAP_FAILED && w->state == HEAP_WATCH_LIVE && w->addr == op->addr)
		end_block(w, HEAP_WATCH_FREED, op->t, tid);
}

void heap_watch_ops(struct heap *h, uint32_t thread, const struct heap_op *ops, size_t nr)
{
	int64_t tid = h->threads[thread].tid;
	size_t i, k;

	for (k = 0; k < h->nr_watches; k++)
		for (i = 0; i < nr; i++)
			watch_op(&h->watches[k], &ops[i], tid);
}
