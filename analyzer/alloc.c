/* SPDX-License-Identifier: MIT */
#include "alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_CHUNK_BYTES = 256 * 1024, POOL_ALIGN = 16 };

struct pool_chunk {
	struct pool_chunk *next;
	size_t size;
	_Alignas(POOL_ALIGN) unsigned char bytes[];
};

_Noreturn void alloc_failed(void)
{
	fputs("vmtrace-report: out of memory\n", stderr);
	exit(2);
}

void *alloc_zeroed(size_t bytes)
{
	return alloc_array(1, bytes);
}

void *alloc_array(size_t nr, size_t size)
{
	void *p = calloc(nr ? nr : 1, size ? size : 1);

	if (!p)
		alloc_failed();
	return p;
}

char *alloc_string(const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		alloc_failed();
	return copy;
}

void alloc_free(void *p)
{
	free(p);
}

void *alloc_grow(void *array, size_t nr, size_t *cap, size_t size)
{
	if (nr < *cap)
		return array;
	*cap = nr + nr / 2 + 16;
	array = reallocarray(array, *cap, size);
	if (!array)
		alloc_failed();
	return array;
}

static void *pool_alloc(void *ctx, size_t bytes)
{
	struct pool *pool = ctx;
	struct pool_chunk *chunk = pool->chunks;
	void *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN;
	if (!chunk || chunk->size - pool->used < bytes) {
		size_t size = bytes > POOL_CHUNK_BYTES ? bytes : POOL_CHUNK_BYTES;

		chunk = calloc(1, sizeof(*chunk) + size);
		if (!chunk)
			return NULL;
		chunk->size = size;
		chunk->next = pool->chunks;
		pool->chunks = chunk;
		pool->used = 0;
	}
	p = chunk->bytes + pool->used;
	pool->used += bytes;
	return p;
}

void pool_init(struct pool *pool)
{
	*pool = (struct pool){ .mem = { .alloc = pool_alloc, .ctx = pool } };
}

void pool_fini(struct pool *pool)
{
	struct pool_chunk *chunk = pool->chunks, *next;

	for (; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	pool->chunks = NULL;
}
