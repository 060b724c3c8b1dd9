/* SPDX-License-Identifier: MIT */
/*
 * Classes of pages: what the kernel tells of a page but its frame, each told once in the trace.
 *
 * Context of all: under the capture lock.
 */
#ifndef VMTRACE_PAGE_CLASSES_H
#define VMTRACE_PAGE_CLASSES_H

#include <linux/kernel-page-flags.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE_CLASS_UNTOLD 0u	/* the id of those that there is no room for */

struct page_class {
	uint64_t pagemap;		/* bits from PM_BITS_SHIFT on, where they stand there */
	uint64_t kpageflags, mapcount;	/* 0 where not known */
	uint32_t swap_type;
	bool is_huge;			/* mapped by an entry of the PMD or above */
	bool has_huge, has_flags, has_count, has_swap_type;
};

static inline bool page_class_equal(const struct page_class *a, const struct page_class *b)
{
	return a->pagemap == b->pagemap && a->kpageflags == b->kpageflags &&
	       a->mapcount == b->mapcount && a->swap_type == b->swap_type &&
	       a->is_huge == b->is_huge && a->has_huge == b->has_huge &&
	       a->has_flags == b->has_flags && a->has_count == b->has_count &&
	       a->has_swap_type == b->has_swap_type;
}

/* All its pages have one frame: the zero page, but not the huge one, which has many. */
static inline bool page_class_has_one_frame(const struct page_class *c)
{
	return (c->kpageflags & (1ull << KPF_ZERO_PAGE | 1ull << KPF_THP)) == 1ull << KPF_ZERO_PAGE;
}

/* A new trace, which has been told none (startup, fork child). */
void page_classes_reset(void);

/* Touch all that is going to be written to. Return: false without memory. */
bool page_classes_prepare(void);

/* The id of @class, which is told first if it is new. Return: PAGE_CLASS_UNTOLD, or the id. */
uint32_t page_classes_id(const struct page_class *class);

#endif
