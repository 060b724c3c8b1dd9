/* SPDX-License-Identifier: MIT */
/*
 * What the pages of a mapping, or of the whole process, add up to. All counts are pages, but for PSS.
 *
 * As the kernel's RSS, PSS and USS do, these leave out the zero page, hugetlb and memory without
 * struct page.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_SUM_H
#define VMTRACE_ANALYZER_FRAMES_SUM_H

#include "frames_contig.h"
#include "frames_thp.h"
#include "phys_zones.h"

struct frames_kind {
	uint64_t pages, uss, huge, dirty, mlocked;
	uint64_t pss_bytes;		/* of the pages whose mapcount is known */
};

struct frames_sum {
	struct frames_kind kind[NR_PAGE_KINDS], all;	/* all: of those present */
	uint64_t swapped, rss;
	uint64_t nr_no_mapcount;	/* of rss: PSS is not known then */
	uint64_t nr_no_huge;		/* present, and not told whether huge */
	uint64_t nr_no_flags;		/* present, without kpageflags */
	uint64_t nr_untold;		/* of a class that was not told; counted as anonymous */
	uint64_t flags[NR_PAGE_FLAGS];	/* present, by kpageflags */
	uint64_t soft_dirty, uffd_wp;
	uint64_t *zones;		/* by index in the map, the last element: none of them */
	struct frames_contig contig;
	struct frames_thp thp;
};

/* What sums are made from. */
struct frames_source {
	const struct physmap *map;
	const struct page_classes *classes;
	struct phys_zones zones;
	bool thp_on_advice;		/* memory without MADV_HUGEPAGE gets no huge pages */
};

void frames_sum_init(struct frames_sum *sum, const struct frames_source *source);
void frames_sum_fini(struct frames_sum *sum);

/* Add one vma to @sum. */
void frames_sum_vma(struct frames_sum *sum, const struct frames_source *source,
		    const struct phys_vma *vma);

/* Forget what was added, and keep the memory. */
void frames_sum_reset(struct frames_sum *sum, const struct frames_source *source);

/* What the trace counts in pages may be anything. */
static inline uint64_t frames_bytes(uint64_t pages)
{
	return pages > UINT64_MAX / MM_PAGE_SIZE ? UINT64_MAX : pages * MM_PAGE_SIZE;
}

/* Pages of @node's zones. */
uint64_t frames_sum_node(const struct frames_sum *sum, const struct physmap *map, uint32_t node);

#endif
