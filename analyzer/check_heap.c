/* SPDX-License-Identifier: MIT */
/*
 * Heap sites: what one call site still has at the end. Where malloc put it is no second finding.
 */
#include "check_compare.h"

#include <string.h>

enum {
	MMAP_THRESHOLD = 128 << 10,	/* malloc() gives a mapping to a block of that size */
	BLOCK_BYTES = 16,		/* malloc's own, for each block */
	HEAP_SLACK = 256 << 10,		/* heaps grow by steps */
};

static const struct span none = { 0, 0 };

static uint64_t blocks_of(const struct layout_program *p, const struct layout_site *site)
{
	size_t i;

	for (i = 0; p && i < p->nr_heap; i++)
		if (p->heap[i].site != LAYOUT_NO_SITE &&
		    !strcmp(p->sites[p->heap[i].site].id, site->id))
			return p->heap[i].live_blocks.max;
	return 0;
}

static void explain_heap(struct compare *c, const struct layout_site *site, uint64_t bytes)
{
	uint64_t then = blocks_of(c->j->before, site), now = blocks_of(c->j->after, site);
	uint64_t blocks = now > then ? now - then : 0;
	uint64_t mapped = bytes + bytes / 8 + blocks * BLOCK_BYTES + HEAP_SLACK;
	uint64_t vmas = 2 + (blocks < bytes / MMAP_THRESHOLD ? blocks : bytes / MMAP_THRESHOLD);
	uint64_t *e = c->explained;

	c->heap_bytes += mapped;
	c->heap_resident += mapped;
	c->heap_vmas += vmas;
	e[LAYOUT_heap_live_bytes] += bytes;
	e[LAYOUT_heap_live_blocks] += blocks;
	e[LAYOUT_heap_peak_bytes] += bytes;
	e[LAYOUT_heap_thread_peaks_bytes] += bytes;
	e[LAYOUT_mapped_bytes] += mapped;
	e[LAYOUT_mapped_peak_bytes] += mapped;
	e[LAYOUT_resident_anon_bytes] += mapped;
	e[LAYOUT_page_table_bytes] += mapped / 512 + TABLE_BYTES;
	e[LAYOUT_vmas] += vmas;
	e[LAYOUT_vmas_peak] += vmas;
}

static const struct diff_item *heap_item(const struct compare *c, const struct layout_site *site)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++)
		if (c->diff.items[i].kind == DIFF_HEAP_SITE && c->diff.items[i].site == site)
			return &c->diff.items[i];
	return NULL;
}

static void judge_heap_site(struct compare *c, const struct layout_heap *h,
			    const struct rule_terms *terms)
{
	const struct layout_site *site = &c->j->after->sites[h->site];
	const struct diff_item *item = c->j->before ? heap_item(c, site) : NULL;
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
		explain_heap(c, site, rise(from, h->live_bytes));
}

void judge_heap(struct compare *c)
{
	struct rule_terms terms = judge_terms(c->j, RULE_HEAP_SITE);
	const struct layout_program *p = c->j->after;
	size_t i;

	if (terms.severity == SEVERITY_OFF)
		return;
	for (i = 0; i < p->nr_heap; i++)
		if (p->heap[i].site != LAYOUT_NO_SITE)
			judge_heap_site(c, &p->heap[i], &terms);
}
