/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of frames: which pages are there (PAGEMAP_SCAN), what stands in /proc/self/pagemap
 * for them, and in /proc/kpageflags and /proc/kpagecount for the frames behind them.
 *
 * Nothing is asked of the pages themselves, so that nothing is faulted in.
 * Context of all but pagemap_init(): hook path, under the capture lock.
 */
#ifndef VMTRACE_PAGEMAP_H
#define VMTRACE_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

/* An entry of pagemap: Documentation/admin-guide/mm/pagemap.rst. */
#define PM_FRAME_MASK ((1ull << 55) - 1)
#define PM_BITS_SHIFT 55		/* above it all is flags */
#define PM_EXCLUSIVE (1ull << 56)
#define PM_GUARD (1ull << 58)		/* MADV_GUARD_INSTALL; has PM_SWAP, too */
#define PM_FILE (1ull << 61)
#define PM_SWAP (1ull << 62)
#define PM_PRESENT (1ull << 63)
#define PM_SWAP_TYPE_BITS 5		/* of the frame number of a page in swap; above it: the offset */

#define PAGEMAP_BLOCK 2048u		/* pages looked at together */
#define PAGEMAP_NO_COUNT UINT64_MAX

/* linux/fs.h of 6.7 has this, which Debian 12 does not ship yet. */
struct page_region {
	uint64_t start, end, categories;
};
#define PAGE_IS_PRESENT (1ull << 3)
#define PAGE_IS_SWAPPED (1ull << 4)
#define PAGE_IS_HUGE (1ull << 6)

/* What is known of some pages one behind the other. */
struct pagemap_block {
	uint64_t entries[PAGEMAP_BLOCK];
	bool huge[PAGEMAP_BLOCK];	/* PAGE_IS_HUGE; the caller's to fill before flags are read */
	/* Of those present; filled where pagemap_has_flags() and pagemap_has_counts(). */
	uint64_t flags[PAGEMAP_BLOCK];
	uint64_t counts[PAGEMAP_BLOCK];
	/* pagemap_read_frames()'s own: frames to sort, and the words of a span. */
	uint64_t order[2][PAGEMAP_BLOCK], words[PAGEMAP_BLOCK];
};

/**
 * pagemap_init() - Open the files, and find out how much they tell.
 *
 * A pagemap belongs to the address space that opened it, so the child of a fork calls this again;
 * descriptors of an earlier call are closed.
 * Context: startup, fork child, hook path.
 * Return: 0, or -errno: there is no pagemap.
 */
int pagemap_init(void);

/* They still are ours: the program may have closed them behind the hooks' back. */
bool pagemap_is_usable(void);

bool pagemap_has_scan(void);	/* Linux 6.7 */
bool pagemap_has_pfns(void);	/* CAP_SYS_ADMIN: PFNs are not 0 */
bool pagemap_has_flags(void);
bool pagemap_has_counts(void);

/**
 * pagemap_scan() - Pages in [start, end) that are in memory or in swap, or guard pages.
 * @vec:   @nr regions, in order; neighbours differ in categories. It should be in memory.
 * @pages: ends when as many were found, 0: no limit.
 *
 * Return: how many regions; as many as @nr: there may be more. -errno.
 */
int pagemap_scan(uint64_t start, uint64_t end, struct page_region *vec, unsigned int nr,
		 unsigned int pages);

/**
 * pagemap_read() - Entries of @nr pages from @start, at most PAGEMAP_BLOCK.
 * pagemap_read_frames() - Flags and counts of those entries that are present.
 *
 * Return: false if they can't be read; they are all 0 then.
 */
bool pagemap_read(struct pagemap_block *block, uint64_t start, unsigned int nr);
void pagemap_read_frames(struct pagemap_block *block, unsigned int nr);

#endif
