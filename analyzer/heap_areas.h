/* SPDX-License-Identifier: MIT */
/*
 * The memory that an allocator holds: the brk heap, malloc's arenas, the mappings of large blocks, and
 * whatever other memory blocks lie in.
 *
 * Areas are what is writable and anonymous of the address space, cut where one call's mapping ends.
 */
#ifndef VMTRACE_ANALYZER_HEAP_AREAS_H
#define VMTRACE_ANALYZER_HEAP_AREAS_H

#include "layout_frames.h"
#include "layout_pieces.h"

enum heap_area_kind {
	HEAP_AREA_BRK, HEAP_AREA_ARENA, HEAP_AREA_MAPPED, HEAP_AREA_OTHER, HEAP_NR_AREAS
};

/* In words for people, and for programs. */
extern const char *const heap_area_titles[HEAP_NR_AREAS], *const heap_area_names[HEAP_NR_AREAS];

struct heap_area {
	enum heap_area_kind kind;
	uint64_t start, end;
	uint64_t resident;			/* bytes */
	uint64_t live_blocks, live_bytes;	/* blocks that begin in it */
};

struct heap_areas {
	struct heap_area *list;			/* by address */
	size_t nr, cap;
};

/* @frames: those of the same moment, or NULL; @classes: of their pages. */
void heap_areas_collect(struct heap_areas *areas, const struct mm *mm, struct layout_pieces *pieces,
			const struct physmap *frames, const struct page_classes *classes);
void heap_areas_fini(struct heap_areas *areas);

/* The area that holds @addr, or NULL. */
struct heap_area *heap_areas_find(const struct heap_areas *areas, uint64_t addr);

/* Whether malloc cuts it into blocks, rather than giving all of it to one. */
static inline bool heap_area_is_shared(const struct heap_area *area)
{
	return area->kind == HEAP_AREA_BRK || area->kind == HEAP_AREA_ARENA;
}

/* Whether it counts as the heap's: malloc's own, or else there are blocks in it. */
static inline bool heap_area_is_held(const struct heap_area *area)
{
	return heap_area_is_shared(area) || area->live_blocks;
}

#endif
