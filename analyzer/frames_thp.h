/* SPDX-License-Identifier: MIT */
/*
 * Why pages that could be part of a huge one are not: anonymous and shared memory that is resident in
 * pages of 4 KiB, by the first reason that applies.
 *
 *     vma          |---------------------------------------------|
 *     2 MiB        |       |               |               |       |
 *     alignment    |=======|                               |=====|      the rest: its flags, its pages
 */
#ifndef VMTRACE_ANALYZER_FRAMES_THP_H
#define VMTRACE_ANALYZER_FRAMES_THP_H

#include "page_class.h"
#include "physmap.h"

#define THP_BYTES (2ull << 20)

/* X(symbol, "name", "text") */
#define THP_REASONS(X) \
	X(TOO_SMALL, "too_small", "mapping smaller than 2 MiB") \
	X(ALIGNMENT, "alignment", "at its mapping's ends, which are not aligned to 2 MiB") \
	X(NOHUGEPAGE, "nohugepage", "MADV_NOHUGEPAGE, or a stack by MAP_STACK") \
	X(NOT_ADVISED, "not_advised", "no MADV_HUGEPAGE, without which this system gives none") \
	X(UNKNOWN, "unknown", "may be huge: the kernel (before 6.7) or the trace does not tell") \
	X(SPLIT, "split", "in large folios, but mapped page by page: split, or smaller than 2 MiB") \
	X(SHMEM, "shmem", "shared memory: shmem_enabled decides, which is not in the trace") \
	X(NOT_COLLAPSED, "not_collapsed", "nothing known is in the way: not collapsed yet")
#define THP_REASON_ID(symbol, name, text) THP_##symbol,
enum thp_reason { THP_REASONS(THP_REASON_ID) NR_THP_REASONS };
extern const char *const thp_reason_names[NR_THP_REASONS];
extern const char *const thp_reason_texts[NR_THP_REASONS];

struct frames_thp {
	uint64_t pages[NR_THP_REASONS];
};

/**
 * thp_note() - Count pages of one run.
 * @c:         their class, NULL: not told.
 * @on_advice: only memory with MADV_HUGEPAGE gets huge pages, if any.
 */
void thp_note(struct frames_thp *thp, const struct phys_vma *vma, const struct rec_run *run,
	      const struct rec_page_class *c, bool on_advice);

uint64_t thp_total(const struct frames_thp *thp);

#endif
