/* SPDX-License-Identifier: MIT */
#include "page_state.h"

const char *const page_entry_names[NR_PAGE_ENTRIES] = {
#define ENTRY_NAME(symbol, name) [PAGE_ENTRY_##symbol] = name,
	PAGE_ENTRIES(ENTRY_NAME)
};

static enum page_entry entry_of(const struct rec_page_class *c)
{
	if (!c)
		return PAGE_ENTRY_UNTOLD;
	if (c->pagemap & PM_GUARD)
		return PAGE_ENTRY_GUARD;
	if (c->pagemap & PM_PRESENT)
		return PAGE_ENTRY_PRESENT;
	return PAGE_ENTRY_SWAPPED;
}

static bool is_contiguous(const struct page_classes *classes, const struct rec_run *a,
			  const struct rec_run *b)
{
	const struct rec_page_class *x = page_class(classes, a->class);
	const struct rec_page_class *y = page_class(classes, b->class);

	return entry_of(x) == PAGE_ENTRY_PRESENT && entry_of(y) == PAGE_ENTRY_PRESENT &&
	       !page_is_zero(x) && !page_is_zero(y) && rec_run_end(a) == b->va &&
	       a->pfn + a->pages == b->pfn;
}

/* Runs of other classes may continue it. */
static void find_run(struct page_state *s, const struct physmap *map,
		     const struct page_classes *classes, const struct rec_run *run)
{
	const struct rec_run *first = run, *last = run, *end = map->runs + map->nr_runs;

	while (first > map->runs && is_contiguous(classes, first - 1, first))
		first--;
	while (last + 1 < end && is_contiguous(classes, last, last + 1))
		last++;
	s->run_start = first->va;
	s->run_pages = (last->va - first->va) / MM_PAGE_SIZE + last->pages;
}

static const struct rec_frame_diff *find_diff(const struct physmap *map, uint64_t addr)
{
	size_t i;

	for (i = 0; i < map->nr_diffs; i++)
		if (addr >= map->diffs[i].start && addr < map->diffs[i].end)
			return &map->diffs[i];
	return NULL;
}

void page_state_find(struct page_state *s, const struct physmap *map,
		     const struct page_classes *classes, uint64_t addr)
{
	uint64_t page = addr & -MM_PAGE_SIZE;
	const struct rec_run *run = physmap_run(map, page);
	const struct rec_page_class *c;

	*s = (struct page_state){ .entry = PAGE_ENTRY_NONE, .diff = find_diff(map, addr) };
	if (!run)
		return;
	c = page_class(classes, run->class);
	s->entry = entry_of(c);
	s->kind = page_kind(c);
	if (!c)
		return;
	s->class = *c;
	if (s->entry == PAGE_ENTRY_GUARD)
		return;
	s->pfn = physmap_pfn(run, c, (page - run->va) / MM_PAGE_SIZE);
	if (s->entry != PAGE_ENTRY_PRESENT || !map->pfn_visible)
		return;
	s->has_pfn = true;
	s->zone = physmap_zone(map, s->pfn);
	if (page_is_zero(c)) {
		s->run_start = page;
		s->run_pages = 1;
	} else {
		find_run(s, map, classes, run);
	}
}
