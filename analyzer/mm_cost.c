/* SPDX-License-Identifier: MIT */
#include "mm_cost.h"

#include <string.h>

#include "json.h"
#include "table.h"

#define RSS_NAME(symbol, name) [RSS_##symbol] = name,
const char *const rss_counter_names[NR_RSS_COUNTERS] = { RSS_COUNTERS(RSS_NAME) };

#define COST_NAME(symbol, name, sureness) [COST_##symbol] = #name,
const char *const cost_object_names[NR_COST_OBJECTS] = { COST_OBJECTS(COST_NAME) };
#define COST_SURE(symbol, name, sureness) [COST_##symbol] = sureness,
const enum cost_sureness cost_sureness[NR_COST_OBJECTS] = { COST_OBJECTS(COST_SURE) };

/* So many ranges, gaps included, are in a leaf of the kernel's maple tree; nodes in one above. */
enum { MAPLE_LEAF_RANGES = 16, MAPLE_NODE_CHILDREN = 10 };

enum rss_counter rss_counter_of(const struct rec_page_class *c)
{
	enum page_kind kind = page_kind(c);

	if (!page_is_in_rss(c))
		return RSS_NONE;
	if (kind == PAGE_KIND_SHMEM)
		return RSS_SHMEM;
	return kind == PAGE_KIND_ANON || kind == PAGE_KIND_KSM ? RSS_ANON : RSS_FILE;
}

void page_counts_make(struct page_counts *counts, const struct physmap *map,
		      const struct page_classes *classes)
{
	size_t i;

	*counts = (struct page_counts){ .has_kinds = true };
	for (i = 0; i < map->nr_runs; i++) {
		const struct rec_page_class *c = page_class(classes, map->runs[i].class);

		counts->kinds[page_kind(c)] += map->runs[i].pages;
		if (!page_is_present(c))
			continue;
		counts->rss[rss_counter_of(c)] += map->runs[i].pages;
		counts->has_kinds &= c && c->has_kpageflags;
	}
}

uint64_t page_counts_rss_bytes(const struct page_counts *counts)
{
	uint64_t pages = 0;
	int i;

	for (i = 0; i < RSS_NONE; i++)
		pages += counts->rss[i];
	return pages * MM_PAGE_SIZE;
}

/* Whether a page shows that @vma must have an anon_vma. */
static bool has_anon_page(const struct physmap *map, const struct page_classes *classes,
			  const struct vma *vma)
{
	const struct phys_vma *phys = physmap_vma(map, vma->vm_start);
	size_t i;

	for (i = 0; phys && i < phys->nr_runs; i++) {
		enum page_kind kind = page_kind(page_class(classes,
							   map->runs[phys->first_run + i].class));

		if (kind == PAGE_KIND_ANON || kind == PAGE_KIND_KSM || kind == PAGE_KIND_SWAP)
			return true;
	}
	return false;
}

static void count_anon(struct mm_cost *cost, const struct physmap *map,
		       const struct page_classes *classes, const struct mm *mm)
{
	const struct vma *vma;
	struct table ids;
	bool is_new;

	table_init(&ids, sizeof(uint64_t));
	for (vma = mm->first; vma; vma = vma->vm_next) {
		bool is_present = vma->anon_vma == ANON_VMA_PRESENT;

		if (vma->vm_flags & VM_MAYSHARE ||
		    !(is_present || has_anon_page(map, classes, vma)))
			continue;
		cost->nr[COST_ANON_VMA_CHAIN]++;
		is_new = true;
		if (is_present && vma->anon_vma_id)
			(void)table_put(&ids, vma->anon_vma_id, &is_new);
		cost->nr[COST_ANON_VMA] += is_new;
	}
	table_fini(&ids);
}

static void count_maple(struct mm_cost *cost, const struct mm *mm)
{
	uint64_t ranges = 1, nodes, all = 0, end = 0;
	const struct vma *vma;

	/* The one range is the hole above the last vma. */
	for (vma = mm->first; vma; vma = vma->vm_next) {
		ranges += 1 + (vma->vm_start > end);
		end = vma->vm_end;
	}
	nodes = (ranges + MAPLE_LEAF_RANGES - 1) / MAPLE_LEAF_RANGES;
	for (all = nodes; nodes > 1; all += nodes)
		nodes = (nodes + MAPLE_NODE_CHILDREN - 1) / MAPLE_NODE_CHILDREN;
	cost->nr[COST_MAPLE] = all;
}

void mm_cost_make(struct mm_cost *cost, const struct physmap *map,
		  const struct page_classes *classes, const struct mm *mm)
{
	size_t i, k;

	*cost = (struct mm_cost){ .nr = { [COST_MM] = 1, [COST_VMA] = mm->map_count } };
	count_anon(cost, map, classes, mm);
	count_maple(cost, mm);
	for (i = 0; i < map->nr_slabs; i++)
		for (k = 0; k < NR_COST_OBJECTS; k++)
			if (!strcmp(map->slabs[i].name, cost_object_names[k]))
				cost->object_bytes[k] = map->slabs[i].object_bytes;
	cost->unreadable = map->unreadable ? js_str(js_get(map->unreadable, "slabinfo")) : NULL;
}

uint64_t mm_cost_bytes(const struct mm_cost *cost)
{
	uint64_t bytes = 0;
	int i;

	for (i = 0; i < NR_COST_OBJECTS; i++)
		bytes += cost->nr[i] * cost->object_bytes[i];
	return bytes;
}
