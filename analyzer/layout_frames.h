/* SPDX-License-Identifier: MIT */
/*
 * What is resident of a part of the address space, by the runs of the last checkpoint with frames.
 */
#ifndef VMTRACE_ANALYZER_LAYOUT_FRAMES_H
#define VMTRACE_ANALYZER_LAYOUT_FRAMES_H

#include "page_class.h"
#include "physmap.h"

/* Bytes; huge: of the anonymous ones. */
struct layout_resident {
	uint64_t anon, file, huge;
};

/* Of the runs' parts that lie in [start, end). What is in swap, and guard pages, are not resident. */
struct layout_resident layout_frames_sum(const struct physmap *map,
					 const struct page_classes *classes, uint64_t start,
					 uint64_t end);

#endif
