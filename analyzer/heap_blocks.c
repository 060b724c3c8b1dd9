/* SPDX-License-Identifier: MIT */
#include "heap_blocks.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "alloc.h"

enum { BLOCKS_MIN = 1024, HUGE_BYTES = 2 << 20, PAGE_BYTES = 4096 };

/* Empty slots, in huge pages if there are many: each operation touches another one. */
static struct heap_block *new_slots(size_t cap)
{
	struct heap_block *slots = alloc_array(cap, sizeof(*slots));
	size_t bytes = cap * sizeof(*slots);

	if (bytes >= HUGE_BYTES)
		(void)madvise((void *)(((uintptr_t)slots + PAGE_BYTES - 1) & -PAGE_BYTES),
			      bytes - PAGE_BYTES, MADV_HUGEPAGE);
	return slots;
}

void heap_blocks_init(struct heap_blocks *b)
{
	const void *random = (const void *)getauxval(AT_RANDOM);

	*b = (struct heap_blocks){ .cap = BLOCKS_MIN };
	if (random)
		memcpy(&b->seed, random, sizeof(b->seed));
	b->slots = new_slots(b->cap);
}

void heap_blocks_fini(struct heap_blocks *b)
{
	alloc_free(b->slots);
	*b = (struct heap_blocks){ .slots = NULL };
}

static size_t count_live(const struct heap_blocks *b)
{
	size_t i, nr = 0;

	for (i = 0; i < b->cap; i++)
		nr += b->slots[i].state == BLOCK_LIVE;
	return nr;
}

/* Empty the slot @hole. Blocks behind it move up as far as their home allows. */
static void remove_at(struct heap_blocks *b, size_t hole)
{
	size_t mask = b->cap - 1, i;

	for (i = (hole + 1) & mask; b->slots[i].state != BLOCK_NONE; i = (i + 1) & mask) {
		size_t home = heap_blocks_home(b, b->slots[i].addr) - b->slots;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		b->slots[hole] = b->slots[i];
		hole = i;
	}
	b->slots[hole].state = BLOCK_NONE;
}

static void drop_freed(struct heap_blocks *b)
{
	size_t i;

	for (i = 0; i < b->cap; i++)
		while (b->slots[i].state == BLOCK_FREED)
			remove_at(b, i);
}

static void grow(struct heap_blocks *b)
{
	struct heap_blocks old = *b;
	size_t i;

	b->cap *= 2;
	b->slots = new_slots(b->cap);
	for (i = 0; i < old.cap; i++)
		if (old.slots[i].state == BLOCK_LIVE)
			*heap_blocks_find(b, old.slots[i].addr) = old.slots[i];
	alloc_free(old.slots);
}

void heap_blocks_make_room(struct heap_blocks *b)
{
	b->nr_used = count_live(b);
	if (b->nr_used > b->cap / 2)
		grow(b);
	else
		drop_freed(b);
}
