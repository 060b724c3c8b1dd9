/* SPDX-License-Identifier: MIT */
#include "layout_frames.h"

/* Before 6.7 the kernel does not tell what maps a page, only that it is part of a large one. */
static bool is_huge(const struct rec_page_class *c)
{
	if (!c || c->has_huge)
		return c && c->huge;
	return c->kpageflags & (KPF(PAGE_FLAG_THP) | KPF(PAGE_FLAG_HUGE));
}

struct layout_resident layout_frames_sum(const struct physmap *map,
					 const struct page_classes *classes, uint64_t start,
					 uint64_t end)
{
	struct layout_resident sum = { 0 };
	size_t i;

	for (i = physmap_first_run(map, start); i < map->nr_runs && map->runs[i].va < end; i++) {
		const struct rec_run *run = &map->runs[i];
		const struct rec_page_class *c = page_class(classes, run->class);
		uint64_t run_end = rec_run_end(run);
		uint64_t bytes = (run_end < end ? run_end : end) - (run->va > start ? run->va : start);

		if (!page_is_present(c))
			continue;
		if (c && c->pagemap & PM_FILE) {
			sum.file += bytes;
			continue;
		}
		sum.anon += bytes;
		sum.huge += is_huge(c) ? bytes : 0;
	}
	return sum;
}
