/* SPDX-License-Identifier: MIT */
#include "heap_blocks.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "alloc.h"

enum { BLOCKS_MIN = 1024, HUGE_BYTES = 2 << 20 };

/*
 * Empty slots. Each operation touches another one: they are in huge pages if there are many, and
 * none is in two cache lines.
 */
static void new_slots(struct heap_blocks *b, size_t cap)
{
	size_t bytes = cap * sizeof(*b->slots);
	size_t align = bytes < HUGE_BYTES ? sizeof(*b->slots) : HUGE_BYTES;

	b->cap = cap;
	b->memory = alloc_array(cap + align / sizeof(*b->slots), sizeof(*b->slots));
	b->slots = (void *)(((uintptr_t)b->memory + align - 1) & -align);
	if (bytes >= HUGE_BYTES)
		(void)madvise(b->slots, bytes, MADV_HUGEPAGE);
}

void heap_blocks_init(struct heap_blocks *b)
{
	const void *random = (const void *)getauxval(AT_RANDOM);

	*b = (struct heap_blocks){ .slots = NULL };
	if (random)
		memcpy(&b->seed, random, sizeof(b->seed));
	new_slots(b, BLOCKS_MIN);
}

void heap_blocks_fini(struct heap_blocks *b)
{
	alloc_free(b->memory);
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

	new_slots(b, 2 * old.cap);
	for (i = 0; i < old.cap; i++)
		if (old.slots[i].state == BLOCK_LIVE)
			*heap_blocks_find(b, old.slots[i].addr) = old.slots[i];
	alloc_free(old.memory);
}

void heap_blocks_make_room(struct heap_blocks *b)
{
	b->nr_used = count_live(b);
	if (b->nr_used > b->cap / 2)
		grow(b);
	else
		drop_freed(b);
}
