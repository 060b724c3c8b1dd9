/* SPDX-License-Identifier: MIT */
/*
 * Heap sites: what one call site still has at the end. Where malloc put it is no second finding.
 */
#include "check_compare.h"

#include "alloc.h"

enum {
	MMAP_THRESHOLD = 128 << 10,	/* malloc() gives a mapping to a block of that size */
	BLOCK_BYTES = 16,		/* malloc's own, for each block */
	HEAP_SLACK = 256 << 10,		/* heaps grow by steps */
};

static const struct span none = { 0, 0 };

static void explain_heap(struct compare *c, uint64_t bytes, uint64_t blocks)
{
	uint64_t mapped = add_capped(bytes, bytes / 8), vmas;
	uint64_t *e = c->explained;

	mapped = add_capped(mapped, blocks < UINT64_MAX / BLOCK_BYTES ? blocks * BLOCK_BYTES :
								  UINT64_MAX);
	mapped = add_capped(mapped, HEAP_SLACK);
	vmas = add_capped(2, blocks < bytes / MMAP_THRESHOLD ? blocks : bytes / MMAP_THRESHOLD);
	c->heap_bytes = add_capped(c->heap_bytes, mapped);
	c->heap_resident = add_capped(c->heap_resident, mapped);
	c->heap_vmas = add_capped(c->heap_vmas, vmas);
	explain(e, LAYOUT_heap_live_bytes, bytes);
	explain(e, LAYOUT_heap_live_blocks, blocks);
	explain(e, LAYOUT_heap_peak_bytes, bytes);
	explain(e, LAYOUT_heap_thread_peaks_bytes, bytes);
	explain(e, LAYOUT_mapped_bytes, mapped);
	explain(e, LAYOUT_mapped_peak_bytes, mapped);
	explain(e, LAYOUT_resident_anon_bytes, mapped);
	explain(e, LAYOUT_page_table_bytes, mapped / 512 + TABLE_BYTES);
	explain(e, LAYOUT_vmas, vmas);
	explain(e, LAYOUT_vmas_peak, vmas);
}

/* For each site of @p what its heap has; allocated. */
static const struct layout_heap **heap_of_sites(const struct layout_program *p)
{
	size_t i, nr = p ? p->nr_sites : 0;
	const struct layout_heap **heap = alloc_array(nr, sizeof(struct layout_heap *));

	for (i = p ? p->nr_heap : 0; i-- > 0;)
		if (p->heap[i].site != LAYOUT_NO_SITE)
			heap[p->heap[i].site] = &p->heap[i];
	return heap;
}

/* For each site of the layout the item that says that its heap differs; allocated. */
static const struct diff_item **items_of_sites(const struct compare *c)
{
	const struct layout_program *p = c->j->after;
	const struct diff_item **items = alloc_array(p->nr_sites, sizeof(struct diff_item *));
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++)
		if (c->diff.items[i].kind == DIFF_HEAP_SITE)
			items[c->diff.items[i].site - p->sites] = &c->diff.items[i];
	return items;
}

/* @then: what the site had; @item: that it has more. Both NULL if there is none. */
static void judge_heap_site(struct compare *c, const struct layout_heap *h,
			    const struct layout_heap *then, const struct diff_item *item,
			    const struct rule_terms *terms)
{
	const struct layout_site *site = &c->j->after->sites[h->site];
	struct span from = item ? item->from : none;
	bool is_over = terms->max.is_set && h->live_bytes.max > terms->max.value;
	bool has_grown = item && (terms->percent.is_set || terms->absolute.is_set) &&
			 h->live_bytes.max > judge_bound(terms, from);
	bool is_settled;

	if (!is_over && !has_grown)
		return;
	is_settled = judge_tell(c->j, RULE_HEAP_SITE, &(struct judge_subject){
		.has_region = true, .role = LAYOUT_HEAP, .name = "", .site = site,
	}, (struct judge_change){
		.before = item ? judge_figure(RULE_BYTES, from) : judge_text("any baseline"),
		.after = judge_figure(RULE_BYTES, h->live_bytes),
		.has_numbers = true, .from = from.max, .to = h->live_bytes.max,
		.limit = is_over ? terms->max.value : judge_bound(terms, from),
		.accept = ACCEPT_ALLOW | (is_over ? 0 : ACCEPT_UPDATE),
	});
	if (is_settled && item)
		explain_heap(c, rise(from, h->live_bytes),
			     rise(then ? then->live_blocks : none, h->live_blocks));
}

void judge_heap(struct compare *c)
{
	struct rule_terms terms = judge_terms(c->j, RULE_HEAP_SITE);
	const struct layout_program *p = c->j->after, *q = c->j->before;
	const struct layout_heap **then;
	const struct diff_item **items;
	size_t i;

	if (terms.severity == SEVERITY_OFF)
		return;
	then = heap_of_sites(q);
	items = items_of_sites(c);
	for (i = 0; i < p->nr_heap; i++) {
		const struct layout_heap *h = &p->heap[i];
		uint32_t site = h->site == LAYOUT_NO_SITE || !q ?
					LAYOUT_NO_SITE : layout_site_find(q, &p->sites[h->site]);

		if (h->site != LAYOUT_NO_SITE)
			judge_heap_site(c, h, site == LAYOUT_NO_SITE ? NULL : then[site],
					q ? items[h->site] : NULL, &terms);
	}
	alloc_free(then);
	alloc_free(items);
}
