/* SPDX-License-Identifier: MIT */
/*
 * The frames behind the map: which pages are in memory or swap, and where it is known, in which page
 * frames, of what kind; and whether the shadow accounts for all of them.
 *
 * Everything is read from /proc, never from the pages themselves: nothing is faulted in and the
 * map stays as it is. The kernel shows frame numbers to CAP_SYS_ADMIN only; without it they read
 * as zero, and what remains is pagemap's bits.
 */
#ifndef VMTRACE_FRAMES_H
#define VMTRACE_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

struct mm;

/**
 * frames_init() - Open what the kernel tells about pages; a new trace begins.
 *
 * Context: startup, fork child; under the capture lock.
 * Return: 0, or -errno: no pagemap, frames_record() will have nothing to say.
 */
int frames_init(void);

/* Frame numbers can be read. */
bool frames_pfn_visible(void);

/**
 * frames_prepare() - Have all memory in place that frames_record() writes to, so that figures taken in
 * between hold for what it finds.
 *
 * Context: hook path, under the capture lock.
 * Return: false if there is none; then there is nothing to record.
 */
bool frames_prepare(void);

/**
 * frames_record() - `topology`, `page_class`, `frames`, `frame_diff` and `frames_end` of a checkpoint.
 * @mm: the shadow. After frames_prepare().
 *
 * Context: hook path, under the capture lock.
 */
void frames_record(struct mm *mm);

#endif
