/* SPDX-License-Identifier: MIT */
/*
 * What the view heap has collected, shared by its text and its JSON.
 */
#ifndef VMTRACE_ANALYZER_VIEW_HEAP_H
#define VMTRACE_ANALYZER_VIEW_HEAP_H

#include "heap_figures.h"
#include "heap_groups.h"
#include "table.h"

struct trace;

struct view_heap {
	struct table name_of_tid;	/* tid -> char *, allocated */
	enum heap_sort sort;
	struct heap_groups groups;
	struct heap_sum all;		/* what they are parts of */
};

/* NULL: it has none. */
const char *view_heap_thread_name(const struct view_heap *v, int64_t tid);

void view_heap_print(struct trace *trace, const struct view_heap *v);
struct json_t *view_heap_json(struct trace *trace, const struct view_heap *v);

#endif
