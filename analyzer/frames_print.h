/* SPDX-License-Identifier: MIT */
/*
 * The parts of the view of frames for people: frames_print.c puts them together and has the sums,
 * frames_print_vma.c the mappings, frames_print_physical.c zones, contiguity and what has changed.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_PRINT_H
#define VMTRACE_ANALYZER_FRAMES_PRINT_H

#include "frames_view.h"

/* A size in words; @buf has room for OUT_SIZE_MAX. */
const char *frames_size(char *buf, uint64_t pages);

/* The name that @vma has, or what it is; of a long one the last component. */
void frames_print_name(struct trace *trace, const struct phys_vma *vma);

void frames_print_mappings(struct trace *trace, const struct frames_view *view);
void frames_print_topology(struct trace *trace, const struct frames_view *view);
void frames_print_contig(struct trace *trace, const struct frames_view *view);
void frames_print_churn(struct trace *trace, const struct frames_view *view);

#endif
