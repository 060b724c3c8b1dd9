/* SPDX-License-Identifier: MIT */
/*
 * The classes of pages that a trace has told, and what their bits mean.
 *
 * Ids count up from 1; a run of an id that was not told (0, or a damaged trace) has no class.
 */
#ifndef VMTRACE_ANALYZER_PAGE_CLASS_H
#define VMTRACE_ANALYZER_PAGE_CLASS_H

#include "record.h"

/* Of rec_page_class.pagemap: Documentation/admin-guide/mm/pagemap.rst. */
#define PM_SOFT_DIRTY (1ull << 55)
#define PM_EXCLUSIVE (1ull << 56)
#define PM_UFFD_WP (1ull << 57)
#define PM_GUARD (1ull << 58)
#define PM_FILE (1ull << 61)
#define PM_SWAP (1ull << 62)
#define PM_PRESENT (1ull << 63)

/* Of rec_page_class.kpageflags: <linux/kernel-page-flags.h>; from 32 on, which is for the
 * kernel's developers, include/linux/kernel-page-flags.h. OWNER_2 is MAPPEDTODISK in older ones. */
#define KPF(flag) (1ull << (flag))
enum {
	PAGE_FLAG_LOCKED = 0, PAGE_FLAG_ERROR = 1, PAGE_FLAG_REFERENCED = 2, PAGE_FLAG_UPTODATE = 3,
	PAGE_FLAG_DIRTY = 4, PAGE_FLAG_LRU = 5, PAGE_FLAG_ACTIVE = 6, PAGE_FLAG_SLAB = 7,
	PAGE_FLAG_WRITEBACK = 8, PAGE_FLAG_RECLAIM = 9, PAGE_FLAG_BUDDY = 10, PAGE_FLAG_MMAP = 11,
	PAGE_FLAG_ANON = 12, PAGE_FLAG_SWAPCACHE = 13, PAGE_FLAG_SWAPBACKED = 14,
	PAGE_FLAG_COMPOUND_HEAD = 15, PAGE_FLAG_COMPOUND_TAIL = 16, PAGE_FLAG_HUGE = 17,
	PAGE_FLAG_UNEVICTABLE = 18, PAGE_FLAG_HWPOISON = 19, PAGE_FLAG_NOPAGE = 20, PAGE_FLAG_KSM = 21,
	PAGE_FLAG_THP = 22, PAGE_FLAG_OFFLINE = 23, PAGE_FLAG_ZERO = 24, PAGE_FLAG_IDLE = 25,
	PAGE_FLAG_PGTABLE = 26, PAGE_FLAG_RESERVED = 32, PAGE_FLAG_MLOCKED = 33, PAGE_FLAG_OWNER_2 = 34,
	PAGE_FLAG_PRIVATE = 35, PAGE_FLAG_PRIVATE_2 = 36, PAGE_FLAG_OWNER_PRIVATE = 37,
	PAGE_FLAG_ARCH = 38, PAGE_FLAG_UNCACHED = 39, PAGE_FLAG_SOFTDIRTY = 40,
	PAGE_FLAG_ARCH_2 = 41, PAGE_FLAG_ARCH_3 = 42, NR_PAGE_FLAGS = 64,
};

/* "anon" for PAGE_FLAG_ANON; NULL for bits without a name. */
extern const char *const page_flag_names[NR_PAGE_FLAGS];

/* What a page is, for sums: each page is of one kind. */
#define PAGE_KINDS(X) \
	X(ANON, "anon") X(FILE, "file") X(SHMEM, "shmem") X(KSM, "ksm") X(ZERO, "zero") \
	X(HUGETLB, "hugetlb") X(SPECIAL, "special") X(SWAP, "swap") X(GUARD, "guard")
#define PAGE_KIND_ID(symbol, name) PAGE_KIND_##symbol,
enum page_kind { PAGE_KINDS(PAGE_KIND_ID) NR_PAGE_KINDS };
extern const char *const page_kind_names[NR_PAGE_KINDS];

struct page_classes {
	struct rec_page_class *list;	/* list[id - 1] */
	size_t nr, cap;
};

void page_classes_fini(struct page_classes *classes);
void page_classes_add(struct page_classes *classes, const struct rec_page_class *c);
/* NULL for one that was not told. */
const struct rec_page_class *page_class(const struct page_classes *classes, uint32_t id);

/*
 * page_kind() - By kpageflags if they are known, by pagemap's bits otherwise: then shared anonymous
 * memory is "file", and KSM, the zero page and hugetlb are "anon" or "file". @c may be NULL: "anon".
 * "special" is memory without struct page behind it (PFNMAP, devices).
 */
enum page_kind page_kind(const struct rec_page_class *c);

static inline bool page_is_present(const struct rec_page_class *c)
{
	return !c || c->pagemap & PM_PRESENT;
}

static inline bool page_is_swapped(const struct rec_page_class *c)
{
	return c && (c->pagemap & (PM_PRESENT | PM_SWAP | PM_GUARD)) == PM_SWAP;
}

/*
 * page_is_in_rss() - Whether the kernel counts it among the resident pages of a process, as far as the
 * class tells: the zero page and hugetlb are not, nor is what has no struct page. The pages of the vdso
 * are reserved like those of devices, but mapped as any page.
 */
bool page_is_in_rss(const struct rec_page_class *c);

/*
 * page_classes_agree() - Whether what a line counts is what its runs add up to. Pages of a class that was
 * not told may be either.
 */
bool page_classes_agree(const struct page_classes *classes, const struct rec_frames *frames);

/* All pages of a run have one frame: the zero page. The huge one has many. */
static inline bool page_is_zero(const struct rec_page_class *c)
{
	return c && (c->kpageflags & (KPF(PAGE_FLAG_ZERO) | KPF(PAGE_FLAG_THP))) == KPF(PAGE_FLAG_ZERO);
}

#endif
