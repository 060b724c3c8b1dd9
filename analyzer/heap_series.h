/* SPDX-License-Identifier: MIT */
/*
 * A heap over time in a fixed number of buckets of equal width: when time goes on past the last,
 * the width doubles and each two buckets become one.
 *
 * Stamps that go back, which happens between the two halves of a realloc, count as now.
 */
#ifndef VMTRACE_ANALYZER_HEAP_SERIES_H
#define VMTRACE_ANALYZER_HEAP_SERIES_H

#include <stddef.h>
#include <stdint.h>

enum { HEAP_BUCKETS = 256 };

/**
 * struct heap_bucket - One stretch of time.
 * @max_live_bytes: the most that was live in it.
 * @live_bytes, @live_blocks: at its end.
 * @allocations, @bytes: from the trace's start to its end, together.
 */
struct heap_bucket {
	uint64_t max_live_bytes;
	uint64_t live_bytes, live_blocks;
	uint64_t allocations, bytes;
};

/**
 * struct heap_series - The buckets.
 * @width: of one, in ns. Bucket i is [i * width, (i + 1) * width) since the trace's start.
 * @nr:    buckets that time has reached; the last one may not have come to its end.
 */
struct heap_series {
	uint64_t width;
	size_t nr;
	struct heap_bucket buckets[HEAP_BUCKETS];
};

void heap_series_init(struct heap_series *series);

/**
 * heap_series_move() - Time has come to @t: close the buckets before it.
 * @now: the state before @t. Its max_live_bytes is that since the last call.
 *
 * Return: the first moment at which this is to be called again.
 */
uint64_t heap_series_move(struct heap_series *series, uint64_t t, const struct heap_bucket *now);

#endif
