/* SPDX-License-Identifier: MIT */
/*
 * vmtrace's own memory: one region, mapped once at start, far from the program's mappings.
 *
 *     region:  | arena: bumped, page by page | stack nodes | hash … |     (one rw-p vma)
 *
 * Mapped MAP_NORESERVE and readable-writable as a whole, so that using more of it never changes
 * the map, unless it had to be small or was cut short: then it grows at its end, by calls that the
 * trace holds. Nothing is given back; users keep free lists of their own.
 */
#ifndef VMTRACE_ARENA_H
#define VMTRACE_ARENA_H

#include <stddef.h>
#include <stdint.h>

/**
 * arena_init() - Map the region.
 *
 * Context: startup, once.
 * Return: 0, -errno.
 */
int arena_init(void);

/**
 * arena_alloc() - Zeroed memory, aligned to 16 bytes.
 *
 * Context: hook path, under the capture lock.
 * Return: NULL when the region is used up and can't grow.
 */
void *arena_alloc(size_t bytes);

/* struct mm_alloc's signature. */
void *arena_mm_alloc(void *ctx, size_t bytes);

/**
 * arena_map() - Whole pages for the unwinder, which believes it called mmap(); zeroed.
 * arena_unmap() - Take them back: they are kept for the next one of that size.
 *
 * Context: hook path, under the capture lock.
 */
void *arena_map(size_t bytes);
void arena_unmap(void *p, size_t bytes);

uint64_t arena_start(void);
uint64_t arena_end(void);
/* Let go of the region's unused end, but for some room. Return: its bytes, for the caller to unmap. */
uint64_t arena_shrink(uint64_t *ret_start);

/* Bytes of the region that are in memory (mincore(2)). */
size_t arena_resident(void);

#endif
