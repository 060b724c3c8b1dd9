/* SPDX-License-Identifier: MIT */
/*
 * The frames behind the map: which pages of each vma are in memory, and where it is known, in
 * which page frames, of what kind, in which zone.
 *
 * Everything is read from /proc, never from the pages themselves: nothing is faulted in and the
 * map stays as it is. The kernel shows frame numbers to CAP_SYS_ADMIN only; without it they read
 * as zero, and what remains is the counts.
 */
#ifndef VMTRACE_FRAMES_H
#define VMTRACE_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

struct mm;

/**
 * frames_init() - Open what the kernel tells about pages, and find out how much it tells.
 *
 * A pagemap belongs to the address space that opened it, so the child of a fork calls this again;
 * descriptors of an earlier call are closed.
 * Context: startup, fork child; under the capture lock.
 * Return: 0, or -errno: no pagemap, frames_record() will have nothing to say.
 */
int frames_init(void);

/* Frame numbers and their flags can be read. */
bool frames_pfn_visible(void);

/**
 * frames_record() - One `frames` event for every vma with a page in memory or in swap.
 * @mm:                 the shadow, which names the ranges to look at.
 * @ret_resident_pages: pages in memory, over all vmas; untouched if there is no pagemap.
 *
 * Context: hook path, under the capture lock.
 */
void frames_record(struct mm *mm, uint64_t *ret_resident_pages);

#endif
