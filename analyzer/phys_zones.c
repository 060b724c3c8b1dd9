/* SPDX-License-Identifier: MIT */
#include "phys_zones.h"

#include <stdlib.h>

#include "alloc.h"

static int compare_pfns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void phys_zones_init(struct phys_zones *zones, const struct physmap *map)
{
	size_t i, nr = 1 + 2 * map->nr_zones;
	uint64_t *edges = alloc_array(nr, sizeof(*edges));

	for (i = 0; i < map->nr_zones; i++) {
		const struct rec_zone *zone = &map->zones[i].rec;

		edges[1 + 2 * i] = zone->start_pfn;
		edges[2 + 2 * i] = zone->start_pfn + zone->spanned;
	}
	qsort(edges, nr, sizeof(*edges), compare_pfns);
	zones->pieces = alloc_array(nr, sizeof(*zones->pieces));
	zones->nr = 0;
	for (i = 0; i < nr; i++) {
		const struct phys_zone *zone = physmap_zone(map, edges[i]);
		size_t index = zone ? (size_t)(zone - map->zones) : map->nr_zones;

		if (zones->nr && zones->pieces[zones->nr - 1].zone == index)
			continue;
		zones->pieces[zones->nr++] = (struct phys_piece){ edges[i], index };
	}
	alloc_free(edges);
}

void phys_zones_fini(struct phys_zones *zones)
{
	alloc_free(zones->pieces);
	*zones = (struct phys_zones){ 0 };
}

/* Index of the piece that holds @pfn. */
static size_t find_piece(const struct phys_zones *zones, uint64_t pfn)
{
	size_t lo = 0, hi = zones->nr;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (zones->pieces[mid].start_pfn > pfn)
			hi = mid;
		else
			lo = mid;
	}
	return lo;
}

void phys_zones_count(const struct phys_zones *zones, uint64_t pfn, uint64_t nr, uint64_t *pages)
{
	size_t i = find_piece(zones, pfn);

	for (; nr; i++) {
		uint64_t left = i + 1 < zones->nr ? zones->pieces[i + 1].start_pfn - pfn : nr;
		uint64_t here = left < nr ? left : nr;

		pages[zones->pieces[i].zone] += here;
		pfn += here;
		nr -= here;
	}
}
