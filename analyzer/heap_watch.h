/* SPDX-License-Identifier: MIT */
/*
 * The last block that lay over an address, live or not: followed while pass 2 runs, because the table
 * of blocks forgets what was freed.
 */
#ifndef VMTRACE_ANALYZER_HEAP_WATCH_H
#define VMTRACE_ANALYZER_HEAP_WATCH_H

#include <stddef.h>
#include <stdint.h>

struct heap;
struct heap_op;

enum heap_watch_state {
	HEAP_WATCH_NONE,		/* no block was ever seen there */
	HEAP_WATCH_LIVE,
	HEAP_WATCH_FREED,
	HEAP_WATCH_LOST,		/* its address was given out again: its free was lost */
};

/**
 * struct heap_watch - One address, and its block.
 * @t, @tid, @stack: of the allocation.
 * @freed_t, @freed_tid: of the free (FREED), or of the next allocation (LOST).
 * @nr: how many blocks have lain over the address, this one included.
 */
struct heap_watch {
	uint64_t at;
	enum heap_watch_state state;
	uint64_t addr, size, t, freed_t, nr;
	int64_t tid, freed_tid;
	uint32_t stack;
};

/* Pass 2 begins: no block was seen yet. */
void heap_watch_start(struct heap *heap);

/* To be called for operations that were done, @nr of them, by thread number @thread. */
void heap_watch_ops(struct heap *heap, uint32_t thread, const struct heap_op *ops, size_t nr);

#endif
