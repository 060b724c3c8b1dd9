/* SPDX-License-Identifier: MIT */
/*
 * A heap over time: a table with a bar a line for people, all buckets for programs.
 */
#ifndef VMTRACE_ANALYZER_HEAP_TIMELINE_H
#define VMTRACE_ANALYZER_HEAP_TIMELINE_H

#include <stdio.h>

#include "heap_series.h"

struct json_t;

void heap_timeline_print(const struct heap_series *series, FILE *out);
struct json_t *heap_timeline_json(const struct heap_series *series);

#endif
