/* SPDX-License-Identifier: MIT */
#include "frames_sum.h"

#include <string.h>

#include "alloc.h"

void frames_sum_init(struct frames_sum *sum, const struct frames_source *src)
{
	*sum = (struct frames_sum){
		.zones = alloc_array(src->map->nr_zones + 1, sizeof(*sum->zones)),
	};
}

void frames_sum_fini(struct frames_sum *sum)
{
	alloc_free(sum->zones);
	sum->zones = NULL;
}

void frames_sum_reset(struct frames_sum *sum, const struct frames_source *src)
{
	uint64_t *zones = sum->zones;

	memset(zones, 0, (src->map->nr_zones + 1) * sizeof(*zones));
	*sum = (struct frames_sum){ .zones = zones };
}

/* smaps_account(): mapped once, or nowhere any more, counts in full. */
static void add_share(struct frames_sum *sum, struct frames_kind *kind, uint64_t pages,
		      const struct rec_page_class *c)
{
	sum->rss += pages;
	if (!c || !c->has_mapcount) {
		sum->nr_no_mapcount += pages;
		if (c && c->pagemap & PM_EXCLUSIVE)
			kind->uss += pages;
		return;
	}
	if (c->mapcount <= 1)
		kind->uss += pages;
	kind->pss_bytes += c->mapcount <= 1 ? pages * MM_PAGE_SIZE :
					      pages * MM_PAGE_SIZE / c->mapcount;
}

static void add_flags(struct frames_sum *sum, uint64_t pages, const struct rec_page_class *c)
{
	uint64_t left = c->kpageflags;

	for (; left; left &= left - 1)
		sum->flags[__builtin_ctzll(left)] += pages;
	if (!c->has_kpageflags)
		sum->nr_no_flags += pages;
	if (c->pagemap & PM_SOFT_DIRTY)
		sum->soft_dirty += pages;
	if (c->pagemap & PM_UFFD_WP)
		sum->uffd_wp += pages;
	if (!c->has_huge)
		sum->nr_no_huge += pages;
}

static void add_frames(struct frames_sum *sum, const struct frames_source *src,
		       const struct rec_run *run, const struct rec_page_class *c)
{
	enum page_kind kind = page_kind(c);

	/* The zero page is the kernel's own. */
	if (!src->map->pfn_visible || kind == PAGE_KIND_ZERO)
		return;
	phys_zones_count(&src->zones, run->pfn, run->pages, sum->zones);
	if (kind != PAGE_KIND_SPECIAL)
		contig_add(&sum->contig, &(struct contig_run){ run->va, run->pfn, run->pages });
}

static void add_run(struct frames_sum *sum, const struct frames_source *src,
		    const struct phys_vma *vma, const struct rec_run *run)
{
	const struct rec_page_class *c = page_class(src->classes, run->class);
	struct frames_kind *kind = &sum->kind[page_kind(c)];

	kind->pages += run->pages;
	if (!page_is_present(c)) {
		sum->swapped += page_is_swapped(c) ? run->pages : 0;
		return;
	}
	if (page_is_in_rss(c))
		add_share(sum, kind, run->pages, c);
	if (c) {
		add_flags(sum, run->pages, c);
		kind->huge += c->huge ? run->pages : 0;
		kind->dirty += c->kpageflags & KPF(PAGE_FLAG_DIRTY) ? run->pages : 0;
		kind->mlocked += c->kpageflags & KPF(PAGE_FLAG_MLOCKED) ? run->pages : 0;
	} else {
		sum->nr_untold += run->pages;
		sum->nr_no_huge += run->pages;
		sum->nr_no_flags += run->pages;
	}
	add_frames(sum, src, run, c);
	/* Nobody wants advice on vmtrace's memory. */
	if (!vma->own)
		thp_note(&sum->thp, vma, run, c, src->thp_on_advice);
}

/* Of the kinds that are present; that of huge pages without the zero page, as smaps has it. */
static void add_up(struct frames_sum *sum)
{
	int i;

	sum->all = (struct frames_kind){ 0 };
	for (i = 0; i < NR_PAGE_KINDS; i++) {
		const struct frames_kind *kind = &sum->kind[i];

		if (i == PAGE_KIND_SWAP || i == PAGE_KIND_GUARD)
			continue;
		sum->all.pages += kind->pages;
		sum->all.uss += kind->uss;
		sum->all.huge += i == PAGE_KIND_ZERO ? 0 : kind->huge;
		sum->all.dirty += kind->dirty;
		sum->all.mlocked += kind->mlocked;
		sum->all.pss_bytes += kind->pss_bytes;
	}
}

void frames_sum_vma(struct frames_sum *sum, const struct frames_source *src,
		    const struct phys_vma *vma)
{
	size_t i;

	for (i = 0; i < vma->nr_runs; i++)
		add_run(sum, src, vma, &src->map->runs[vma->first_run + i]);
	contig_close(&sum->contig);
	add_up(sum);
}

uint64_t frames_sum_node(const struct frames_sum *sum, const struct physmap *map, uint32_t node)
{
	uint64_t pages = 0;
	size_t i;

	for (i = 0; i < map->nr_zones; i++)
		if (map->zones[i].rec.node == node)
			pages += sum->zones[i];
	return pages;
}
