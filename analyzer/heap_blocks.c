/* SPDX-License-Identifier: MIT */
#include "heap_blocks.h"

#include <string.h>
#include <sys/auxv.h>

#include "alloc.h"

enum { BLOCKS_MIN = 1024 };

void heap_blocks_init(struct heap_blocks *b)
{
	const void *random = (const void *)getauxval(AT_RANDOM);

	*b = (struct heap_blocks){ .cap = BLOCKS_MIN };
	if (random)
		memcpy(&b->seed, random, sizeof(b->seed));
	b->slots = alloc_array(b->cap, sizeof(*b->slots));
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

void heap_blocks_make_room(struct heap_blocks *b)
{
	struct heap_blocks old = *b;
	size_t i;

	b->nr_used = count_live(b);
	if (b->nr_used > b->cap / 2)
		b->cap *= 2;
	b->slots = alloc_array(b->cap, sizeof(*b->slots));
	for (i = 0; i < old.cap; i++)
		if (old.slots[i].state == BLOCK_LIVE)
			*heap_blocks_find(b, old.slots[i].addr) = old.slots[i];
	alloc_free(old.slots);
}
