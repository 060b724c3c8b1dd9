/* SPDX-License-Identifier: MIT */
/*
 * What stood in the page table for one page at a checkpoint with frames, and what is known of its
 * frame.
 */
#ifndef VMTRACE_ANALYZER_PAGE_STATE_H
#define VMTRACE_ANALYZER_PAGE_STATE_H

#include "physmap.h"

/* X(symbol, "name"): UNTOLD: a page was there, of a class that the trace does not tell. */
#define PAGE_ENTRIES(X) \
	X(NONE, "none") X(PRESENT, "present") X(SWAPPED, "swapped") X(GUARD, "guard") \
	X(UNTOLD, "untold")
#define PAGE_ENTRY_ID(symbol, name) PAGE_ENTRY_##symbol,
enum page_entry { PAGE_ENTRIES(PAGE_ENTRY_ID) NR_PAGE_ENTRIES };
extern const char *const page_entry_names[NR_PAGE_ENTRIES];

/**
 * struct page_state - One page.
 * @class:   all zero if it is UNTOLD or NONE.
 * @has_pfn: it is present and frame numbers are visible.
 * @pfn:     its frame; in swap the slot's offset.
 * @zone:    NULL: in none that the trace lists, or not known.
 * @diff:    NULL, or what the recorder found there that the shadow can't account for.
 * @run_start, @run_pages: the pages around it that are contiguous in both address spaces.
 */
struct page_state {
	enum page_entry entry;
	struct rec_page_class class;
	enum page_kind kind;
	bool has_pfn;
	uint64_t pfn;
	const struct phys_zone *zone;
	const struct rec_frame_diff *diff;
	uint64_t run_start, run_pages;
};

void page_state_find(struct page_state *state, const struct physmap *map,
		     const struct page_classes *classes, uint64_t addr);

#endif
