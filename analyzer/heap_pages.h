/* SPDX-License-Identifier: MIT */
/*
 * How full the pages of a heap are, and whose blocks keep those alive that are not full.
 *
 * Pages inside a block are only counted; of those at its ends, which other blocks may share, there is
 * an entry each. So memory is proportional to the blocks, however large they claim to be.
 */
#ifndef VMTRACE_ANALYZER_HEAP_PAGES_H
#define VMTRACE_ANALYZER_HEAP_PAGES_H

#include "heap.h"

/* Pages by the live share of their bytes: none, up to 25, 50, 75, less than 100, 100 percent. */
enum { HEAP_PAGE_CLASSES = 6 };
extern const char *const heap_page_class_names[HEAP_PAGE_CLASSES];

/* A call stack and the pages that are not full and that only its blocks keep alive. */
struct heap_keeper {
	uint32_t stack;
	uint64_t pages, live_bytes;		/* live_bytes: on these pages */
};

struct heap_pages {
	struct table ends;			/* page number -> private */
	uint64_t nr_inside;			/* pages inside a block */
	uint64_t classes[HEAP_PAGE_CLASSES];
	struct heap_keeper *keepers;		/* the one with most pages first */
	size_t nr_keepers;
};

void heap_pages_init(struct heap_pages *pages);
void heap_pages_fini(struct heap_pages *pages);

/* The part of a block's bytes that is [start, end), start < end. A block without bytes has one. */
void heap_pages_add(struct heap_pages *pages, uint32_t stack, uint64_t start, uint64_t end);

/* All blocks were added; there are @nr_pages in all. */
void heap_pages_finish(struct heap_pages *pages, uint64_t nr_pages);

#endif
