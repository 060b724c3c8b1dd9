/* SPDX-License-Identifier: MIT */
/*
 * Frees that hit no live block: of something from before the trace, twice, or of the inside of a
 * block. The last takes a search of all blocks, so there is a budget for it.
 */
#include "heap_pass.h"

static void add_finding(struct heap *h, uint32_t thread, enum heap_finding_kind kind, uint64_t t,
			uint64_t addr, const struct heap_block *block)
{
	if (h->nr_findings == HEAP_FINDINGS_MAX)
		return;
	h->findings[h->nr_findings++] = (struct heap_finding){
		.kind = kind, .t = t, .addr = addr, .tid = h->threads[thread].tid,
		.block = block->addr, .size = block->size, .block_t = block->t,
		.block_tid = h->threads[block->thread].tid,
		.stack = h->sites[block->site].stack,
	};
}

/* The live block that @addr is in, or NULL. */
static const struct heap_block *block_around(const struct heap_blocks *b, uint64_t addr)
{
	size_t i;

	for (i = 0; i < b->cap; i++) {
		const struct heap_block *block = &b->slots[i];

		if (addr - block->addr < block->size && block->state == BLOCK_LIVE)
			return block;
	}
	return NULL;
}

void heap_note_bad_free(struct heap *h, uint32_t thread, uint64_t t, uint64_t addr,
			const struct heap_block *slot)
{
	const struct heap_block *around = NULL;

	if (!h->pass->is_complete) {
		h->unknown_frees++;
		return;
	}
	if (slot->state == BLOCK_FREED) {
		h->double_frees++;
		add_finding(h, thread, HEAP_DOUBLE_FREE, t, addr, slot);
		return;
	}
	if (h->blocks.cap <= h->pass->search_budget) {
		h->pass->search_budget -= h->blocks.cap;
		around = block_around(&h->blocks, addr);
	} else {
		h->unchecked_frees++;
	}
	if (around) {
		h->invalid_frees++;
		add_finding(h, thread, HEAP_INVALID_FREE, t, addr, around);
	} else {
		h->unknown_frees++;
	}
}
