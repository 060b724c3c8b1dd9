/* SPDX-License-Identifier: MIT */
/*
 * Which heap blocks are recorded when only a sample of them is.
 *
 * Points are thrown onto the bytes of all allocations of a thread, at exponentially distributed
 * distances with the configured mean: a Poisson process. A block that a point falls into is recorded, so
 * one of SIZE bytes is with probability 1 - exp(-SIZE / mean), whatever was allocated before. The process
 * has no memory: after a point the next distance is drawn afresh.
 *
 * Which blocks those are must be known when they are freed, by whatever thread. A table of addresses,
 * without a lock: buckets of one cache line; a full one spills into its neighbour and counts that.
 */
#ifndef VMTRACE_SAMPLE_H
#define VMTRACE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one thread. */
struct sample {
	int64_t left;		/* bytes until the next point */
	uint64_t random;	/* state of the generator, 0: not begun */
};

/* @mean: bytes between points. Return: false without memory. Context: startup. */
bool sample_init(uint32_t mean);

/* A point was reached, or the thread begins. Return: the block is to be recorded. */
bool sample_draw(struct sample *s, size_t size);

/* Is a new block of @size bytes to be recorded? Context of this and the rest: hook path. */
static inline bool sample_hits(struct sample *s, size_t size)
{
	s->left -= (int64_t)(size ? size : 1);
	return __builtin_expect(s->left <= 0, false) && sample_draw(s, size);
}

/* Remember a recorded block. Return: false if there is no room: it must not be recorded. */
bool sample_insert(uint64_t addr);

/* Was it recorded? Then it is so no longer. */
bool sample_remove(uint64_t addr);

#endif
