/* SPDX-License-Identifier: MIT */
/*
 * Memory for the analyzer: a command that can't get any says so and ends with status 2.
 *
 * Also the arena that feeds the shadow mm, which gives nothing back before the end.
 */
#ifndef VMTRACE_ANALYZER_ALLOC_H
#define VMTRACE_ANALYZER_ALLOC_H

#include <stddef.h>

#include <vmtrace/mm.h>

_Noreturn void alloc_failed(void);
void *alloc_zeroed(size_t bytes);
void *alloc_array(size_t nr, size_t size);		/* zeroed; checks the product */
char *alloc_string(const char *s);
void alloc_free(void *p);

/**
 * alloc_grow() - Make room for one more element behind the @nr there are.
 * @cap: capacity in elements; grows by half, so that appending is O(1) on average.
 *
 * Return: the array, perhaps moved.
 */
void *alloc_grow(void *array, size_t nr, size_t *cap, size_t size);

struct pool_chunk;

/* A bump allocator; mem is what mm_init() wants. */
struct pool {
	struct mm_alloc mem;
	struct pool_chunk *chunks;
	size_t used;
};

void pool_init(struct pool *pool);
void pool_fini(struct pool *pool);

#endif
