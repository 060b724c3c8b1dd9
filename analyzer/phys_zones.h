/* SPDX-License-Identifier: MIT */
/*
 * Which zone a frame belongs to, for many frames: the zones' spans, which may overlap where one node's
 * memory lies in a hole of another's, cut into pieces that belong to one zone each.
 */
#ifndef VMTRACE_ANALYZER_PHYS_ZONES_H
#define VMTRACE_ANALYZER_PHYS_ZONES_H

#include "physmap.h"

struct phys_piece {
	uint64_t start_pfn;		/* up to the next piece's */
	size_t zone;			/* index in physmap.zones, nr_zones: none */
};

struct phys_zones {
	struct phys_piece *pieces;	/* by start_pfn; the first starts at 0 */
	size_t nr;
};

void phys_zones_init(struct phys_zones *zones, const struct physmap *map);
void phys_zones_fini(struct phys_zones *zones);

/* Count @nr frames from @pfn on into @pages, which has an element for each zone and one for none. */
void phys_zones_count(const struct phys_zones *zones, uint64_t pfn, uint64_t nr, uint64_t *pages);

#endif
