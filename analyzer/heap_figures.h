/* SPDX-License-Identifier: MIT */
/*
 * Figures of the heap as they are shown: counted, or in a sampled trace estimated, with the standard
 * error.
 */
#ifndef VMTRACE_ANALYZER_HEAP_FIGURES_H
#define VMTRACE_ANALYZER_HEAP_FIGURES_H

#include "heap.h"

struct json_t;

/* What was counted, or where there is an estimate that. */
double heap_value(const struct heap_sum *sum, enum heap_figure figure);

/* The same of the whole heap, as a sum. Its estimate is @heap's. */
struct heap_sum heap_whole(struct heap *heap);

/* Add the figures of @from, which are those of other blocks. Both have an estimate or neither. */
void heap_add(struct heap_sum *to, const struct heap_sum *from);

/* "1.2 MiB", "1234"; of an estimate "1.2 MiB ± 40.0 KiB". Return: @buf. */
#define HEAP_FIGURE_MAX 80
const char *heap_text(char *buf, const struct heap_sum *sum, enum heap_figure figure);

/* "12 %" of the allocations are temporary; "-": a sample can't tell. Return: @buf. */
const char *heap_text_temporary(char *buf, const struct heap_sum *sum);

/* "12 %", "0.4 %"; "-" of nothing. Return: @buf. */
const char *heap_text_share(char *buf, double part, double whole);

/* The members that sums have; "estimate" where there is one. */
void heap_json_sum(struct json_t *obj, const struct heap_sum *sum);

/* The same of those about what is live. */
void heap_json_live(struct json_t *obj, const struct heap_sum *sum);

#endif
