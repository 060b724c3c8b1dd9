/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a heap: a hash table with open addressing, by address.
 *
 * Allocators give out the same addresses again and again, so a freed block keeps its slot until the
 * table is full: the next one at that address finds it, and a second free is seen to be one. When
 * the table is full freed blocks are dropped, and it grows if live ones fill more than half of it.
 * Memory is proportional to the greatest number of blocks that were live at a time.
 */
#ifndef VMTRACE_ANALYZER_HEAP_BLOCKS_H
#define VMTRACE_ANALYZER_HEAP_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

enum heap_block_state { BLOCK_NONE, BLOCK_LIVE, BLOCK_FREED };

/*
 * @t, @thread: of the allocation; of the free once the block is freed.
 * @site: index while pass 2 runs; after it, the id of the call stack.
 */
struct heap_block {
	uint64_t addr, size, t;
	uint32_t site;
	uint32_t thread : 30, state : 2;
};

/* Zeroed, it is empty. */
struct heap_blocks {
	struct heap_block *slots;	/* in cache lines, two in each */
	void *memory;			/* what they were allocated as */
	size_t nr_used, cap;		/* slots not BLOCK_NONE; a power of two or 0 */
	uint64_t seed;			/* so that no trace can be made to fill one place */
};

void heap_blocks_init(struct heap_blocks *blocks);
void heap_blocks_fini(struct heap_blocks *blocks);

/* Drop what is freed; grow if that does not help. */
void heap_blocks_make_room(struct heap_blocks *blocks);

/* Where @addr would stand if it were alone: the first of the two slots of a cache line. */
static inline struct heap_block *heap_blocks_home(const struct heap_blocks *b, uint64_t addr)
{
	__uint128_t m = (__uint128_t)(addr ^ b->seed) * 0x9fb21c651e98df25ull;

	return &b->slots[(uint64_t)(m ^ m >> 64) & (b->cap - 2)];
}

/* The slot of @addr, BLOCK_NONE if it has none. Which one of the first line it is takes no branch. */
static inline struct heap_block *heap_blocks_find(const struct heap_blocks *b, uint64_t addr)
{
	struct heap_block *slot = heap_blocks_home(b, addr), *end = b->slots + b->cap;

	slot += slot->state != BLOCK_NONE && slot->addr != addr;
	while (slot->state != BLOCK_NONE && slot->addr != addr)
		if (++slot == end)
			slot = b->slots;
	return slot;
}

/* The same; if it has none it gets one. The caller sets its state to another than BLOCK_NONE. */
static inline struct heap_block *heap_blocks_put(struct heap_blocks *b, uint64_t addr)
{
	struct heap_block *slot = heap_blocks_find(b, addr);

	if (__builtin_expect(slot->state == BLOCK_NONE, 0)) {
		if (b->nr_used >= b->cap / 4 * 3) {
			heap_blocks_make_room(b);
			slot = heap_blocks_find(b, addr);
		}
		b->nr_used++;
		slot->addr = addr;
	}
	return slot;
}

#endif
