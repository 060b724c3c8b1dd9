/* SPDX-License-Identifier: MIT */
#include "heap_series.h"

enum { FIRST_WIDTH = 1024 };		/* ns */

void heap_series_init(struct heap_series *s)
{
	*s = (struct heap_series){ .width = FIRST_WIDTH, .nr = 1 };
}

/* Make one bucket of each two. */
static void halve(struct heap_series *s)
{
	size_t i;

	for (i = 0; 2 * i < s->nr; i++) {
		struct heap_bucket *first = &s->buckets[2 * i], both = *first;

		if (2 * i + 1 < s->nr) {
			both = first[1];
			if (both.max_live_bytes < first->max_live_bytes)
				both.max_live_bytes = first->max_live_bytes;
		}
		s->buckets[i] = both;
	}
	s->nr = (s->nr + 1) / 2;
	s->width *= 2;
}

/* The last bucket takes over what is, beside what was. */
static void take(struct heap_series *s, const struct heap_bucket *now)
{
	struct heap_bucket *last = &s->buckets[s->nr - 1];
	uint64_t max = last->max_live_bytes;

	*last = *now;
	if (last->max_live_bytes < max)
		last->max_live_bytes = max;
}

uint64_t heap_series_move(struct heap_series *s, uint64_t t, const struct heap_bucket *now)
{
	take(s, now);
	while (t / s->width >= HEAP_BUCKETS)
		halve(s);
	while (t / s->width >= s->nr) {
		struct heap_bucket *next = &s->buckets[s->nr++];

		*next = *now;
		next->max_live_bytes = now->live_bytes;
	}
	return s->nr > UINT64_MAX / s->width ? UINT64_MAX : s->nr * s->width;
}
