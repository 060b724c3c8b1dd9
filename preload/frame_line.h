/* SPDX-License-Identifier: MIT */
/*
 * Writes `frames` lines: runs, and the sums over them.
 *
 * Context of all: hook path, under the capture lock.
 */
#ifndef VMTRACE_FRAME_LINE_H
#define VMTRACE_FRAME_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "page_classes.h"

struct vma;

/* Pages one behind the other, of one class, whose frames are one behind the other as well. */
struct frame_run {
	uint64_t start, pages;
	uint64_t number;	/* the first frame's, or swap slot's */
	bool has_number;
	struct page_class class;
	uint32_t class_id;
};

/* Pages told since frame_line_reset(). */
struct frame_sums {
	uint64_t resident, swapped;
};

/**
 * frame_line_begin() - A line for @vma; it is not kept if there are no runs.
 * frame_line_run() - The next run. One that does not fit begins another line.
 * frame_line_end() - The vma has no more.
 */
void frame_line_begin(const struct vma *vma);
void frame_line_run(const struct frame_run *run);
void frame_line_end(void);

void frame_line_reset(void);
struct frame_sums frame_line_sums(void);

#endif
