/* SPDX-License-Identifier: MIT */
/*
 * The heap by who allocated: by call stack, or sums of stacks, threads or sizes.
 *
 * A module or function is that of the innermost frame outside libc, the C++ library and the
 * allocator: who wanted the memory, not who passed the wish on.
 */
#ifndef VMTRACE_ANALYZER_HEAP_GROUPS_H
#define VMTRACE_ANALYZER_HEAP_GROUPS_H

#include "heap.h"

struct trace;

enum heap_by {
	HEAP_BY_STACK, HEAP_BY_MODULE, HEAP_BY_THREAD, HEAP_BY_SIZE, HEAP_BY_FUNCTION, HEAP_NR_BY
};

enum heap_sort {
	HEAP_SORT_PEAK, HEAP_SORT_LIVE, HEAP_SORT_ALLOCATIONS, HEAP_SORT_BYTES, HEAP_SORT_TEMPORARY,
	HEAP_NR_SORTS
};

extern const char *const heap_by_names[HEAP_NR_BY], *const heap_sort_names[HEAP_NR_SORTS];

/**
 * struct heap_group - One of them.
 * @sum:   of a thread: the peak is its own. Its stack is that of the group's first site.
 * @name:  of a module or function, else NULL.
 * @tid:   of a thread.
 * @up_to: the greatest size of a size class.
 * @stacks: how many were added up; 0 for threads and sizes.
 */
struct heap_group {
	struct heap_sum sum;
	char *name;
	int64_t tid;
	uint64_t up_to, stacks;
};

struct heap_groups {
	enum heap_by by;
	struct heap_group *list;
	size_t nr, nr_shown;		/* the first so many are to be shown */
};

/* Form groups of what @trace's heap has. */
void heap_groups_make(struct heap_groups *groups, struct trace *trace, enum heap_by by);

/* Put the greatest first. */
void heap_groups_sort(struct heap_groups *groups, enum heap_sort sort);

void heap_groups_fini(struct heap_groups *groups);

/*
 * Who wanted the memory: the function, or module, of the innermost frame that is no mere support. Where
 * there is none, as before main, the innermost of the C++ library, or else the outermost there is.
 * Allocated.
 */
char *heap_wisher(struct trace *trace, uint32_t stack, bool wants_module);

/* The greatest size that needs @bits bits. */
uint64_t heap_class_max(unsigned int bits);

#endif
