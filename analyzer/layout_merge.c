/* SPDX-License-Identifier: MIT */
/*
 * Another trace of a program: regions that are the same become one with wider spans.
 *
 * The same is: the n-th by address of those that agree in everything but size. What only the new
 * trace has is put behind the region that is below it there, so that the order stays that of
 * addresses as far as the traces agree on one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "hash.h"
#include "layout.h"
#include "table.h"

/* Everything but sizes. */
static uint64_t region_key(const struct layout_program *p, const struct layout_region *r)
{
	uint64_t hash = HASH_START;

	hash = hash_bytes(hash, &r->role, sizeof(r->role));
	hash = hash_bytes(hash, &r->section, sizeof(r->section));
	hash = hash_bytes(hash, &r->offset, sizeof(r->offset));
	hash = hash_line(hash, r->name);
	hash = hash_line(hash, r->perms);
	hash = hash_line(hash, r->flags);
	hash = hash_line(hash, r->origin);
	return hash_line(hash, r->site == LAYOUT_NO_SITE ? "" : p->sites[r->site].id);
}

/* Equal keys are nearly always this. */
static bool is_same_region(const struct layout_program *p, const struct layout_region *a,
			   const struct layout_program *q, const struct layout_region *b)
{
	return a->role == b->role && a->section == b->section && a->offset == b->offset &&
	       !strcmp(a->name, b->name) && !strcmp(a->perms, b->perms) &&
	       !strcmp(a->flags, b->flags) && !strcmp(a->origin, b->origin) &&
	       (a->site == LAYOUT_NO_SITE) == (b->site == LAYOUT_NO_SITE) &&
	       (a->site == LAYOUT_NO_SITE || !strcmp(p->sites[a->site].id, q->sites[b->site].id));
}

/* The same with the number of its like that came before. */
static uint64_t nth_key(struct table *seen, uint64_t key)
{
	bool is_new;
	uint64_t *nr = table_put(seen, key, &is_new);

	(*nr)++;
	return hash_bytes(key, nr, sizeof(*nr));
}

static uint32_t take_site(struct layout_program *into, const struct layout_program *from,
			  uint32_t site)
{
	return site == LAYOUT_NO_SITE ? LAYOUT_NO_SITE :
		layout_site_add(into, from->sites[site].frames, from->sites[site].nr_frames);
}

static void widen(struct span *span, const struct span *by)
{
	span_add(span, by->min);
	span_add(span, by->max);
}

/* Never more than there are of the program, whatever a file says. */
static uint64_t sum_traces(const struct layout_program *into, const struct layout_program *from,
			   uint64_t a, uint64_t b)
{
	uint64_t all = into->traces + from->traces, sum = a + b;

	all = all < LAYOUT_TRACES_MAX ? all : LAYOUT_TRACES_MAX;
	return sum < all ? sum : all;
}

static void copy_region(struct layout_program *into, const struct layout_program *from,
			const struct layout_region *r, struct layout_region *ret)
{
	*ret = *r;
	ret->name = alloc_string(r->name);
	ret->flags = alloc_string(r->flags);
	ret->site = take_site(into, from, r->site);
}

/* A region of the new trace: where it is merged into, or behind which it goes. */
struct place {
	size_t after;			/* 0: in front of all; n: behind region n - 1 */
	bool is_known;
};

static void find_places(const struct layout_program *into, const struct layout_program *from,
			struct place *places)
{
	struct table seen, index;
	size_t i, after = 0;
	bool is_new;

	table_init(&seen, sizeof(uint64_t));
	table_init(&index, sizeof(uint64_t));
	for (i = 0; i < into->nr_regions; i++) {
		uint64_t key = nth_key(&seen, region_key(into, &into->regions[i]));

		*(uint64_t *)table_put(&index, key, &is_new) = i;
	}
	table_fini(&seen);
	table_init(&seen, sizeof(uint64_t));
	for (i = 0; i < from->nr_regions; i++) {
		uint64_t key = nth_key(&seen, region_key(from, &from->regions[i]));
		const uint64_t *at = table_find(&index, key);

		if (at && !is_same_region(into, &into->regions[*at], from, &from->regions[i]))
			at = NULL;
		if (at)
			after = *at + 1;
		places[i] = (struct place){ after, at };
	}
	table_fini(&seen);
	table_fini(&index);
}

static void merge_regions(struct layout_program *into, const struct layout_program *from)
{
	struct place *places = alloc_array(from->nr_regions + 1, sizeof(*places));
	size_t *first = alloc_array(into->nr_regions + 2, sizeof(*first));
	size_t *next = alloc_array(from->nr_regions + 1, sizeof(*next));
	struct layout_region *old = into->regions;
	size_t nr_old = into->nr_regions, i, k;

	find_places(into, from, places);
	for (i = from->nr_regions; i-- > 0;) {
		if (places[i].is_known) {
			struct layout_region *to = &old[places[i].after - 1];
			const struct layout_region *r = &from->regions[i];

			widen(&to->bytes, &r->bytes);
			widen(&to->resident, &r->resident);
			widen(&to->huge, &r->huge);
			to->traces = sum_traces(into, from, to->traces, r->traces);
		} else {
			next[i] = first[places[i].after];
			first[places[i].after] = i + 1;
		}
	}
	into->regions = NULL;
	into->nr_regions = into->cap_regions = 0;
	for (k = 0; k <= nr_old; k++) {
		if (k)
			*layout_region_new(into) = old[k - 1];
		for (i = first[k]; i; i = next[i - 1])
			copy_region(into, from, &from->regions[i - 1], layout_region_new(into));
	}
	alloc_free(old);
	alloc_free(places);
	alloc_free(first);
	alloc_free(next);
}

static uint64_t fact_key(const struct layout_fact *f, uint32_t site)
{
	uint64_t hash = hash_bytes(HASH_START, &f->kind, sizeof(f->kind));

	hash = hash_bytes(hash, &f->role, sizeof(f->role));
	hash = hash_bytes(hash, &f->section, sizeof(f->section));
	return hash_line(hash_bytes(hash, &site, sizeof(site)), f->name);
}

static bool is_same_fact(const struct layout_fact *a, const struct layout_fact *b, uint32_t site)
{
	return a->kind == b->kind && a->role == b->role && a->section == b->section &&
	       a->site == site && !strcmp(a->name, b->name);
}

/* Key of @f or, where another fact has that, one behind it. */
static uint64_t *place_fact(struct table *index, const struct layout_program *p,
			    const struct layout_fact *f, uint32_t site, bool *ret_is_new)
{
	uint64_t key = fact_key(f, site), *at;

	for (;; key++) {
		at = table_put(index, key, ret_is_new);
		if (*ret_is_new || is_same_fact(&p->facts[*at], f, site))
			return at;
	}
}

static void merge_facts(struct layout_program *into, const struct layout_program *from)
{
	struct table index;
	uint64_t *at;
	bool is_new;
	size_t i;

	table_init(&index, sizeof(uint64_t));
	for (i = 0; i < into->nr_facts; i++) {
		at = place_fact(&index, into, &into->facts[i], into->facts[i].site, &is_new);
		if (is_new)
			*at = i;
	}
	for (i = 0; i < from->nr_facts; i++) {
		const struct layout_fact *f = &from->facts[i];
		uint32_t site = take_site(into, from, f->site);
		struct layout_fact *to;

		at = place_fact(&index, into, f, site, &is_new);
		if (!is_new) {
			to = &into->facts[*at];
			to->traces = sum_traces(into, from, to->traces, f->traces);
			continue;
		}
		*at = into->nr_facts;
		to = layout_fact_new(into);
		*to = *f;
		to->name = alloc_string(f->name);
		to->site = site;
	}
	table_fini(&index);
}

static void merge_threads(struct layout_program *into, const struct layout_program *from)
{
	struct table index;
	uint64_t *at;
	bool is_new;
	size_t i;

	table_init(&index, sizeof(uint64_t));
	for (i = into->nr_threads; i-- > 0;)
		*(uint64_t *)table_put(&index, into->threads[i].site, &is_new) = i;
	for (i = 0; i < from->nr_threads; i++) {
		uint32_t site = take_site(into, from, from->threads[i].site);
		struct layout_threads *to;

		at = table_put(&index, site, &is_new);
		if (is_new) {
			*at = into->nr_threads;
			*layout_threads_new(into) = from->threads[i];
			into->threads[*at].site = site;
			continue;
		}
		to = &into->threads[*at];
		widen(&to->count, &from->threads[i].count);
		to->traces = sum_traces(into, from, to->traces, from->threads[i].traces);
	}
	table_fini(&index);
}

/* Greatest first, then as they came. */
static int compare_heap(const void *a, const void *b)
{
	const struct layout_heap *const *x = a, *const *y = b;
	uint64_t n = (*x)->live_bytes.max, m = (*y)->live_bytes.max;

	return n != m ? (n < m) - (n > m) : (*x > *y) - (*x < *y);
}

static void sort_heap(struct layout_program *p)
{
	struct layout_heap **order = alloc_array(p->nr_heap, sizeof(struct layout_heap *));
	struct layout_heap *sorted = alloc_array(p->nr_heap, sizeof(*sorted));
	size_t i;

	for (i = 0; i < p->nr_heap; i++)
		order[i] = &p->heap[i];
	if (p->nr_heap)
		qsort(order, p->nr_heap, sizeof(struct layout_heap *), compare_heap);
	for (i = 0; i < p->nr_heap; i++)
		sorted[i] = *order[i];
	alloc_free(order);
	alloc_free(p->heap);
	p->heap = sorted;
	p->cap_heap = p->nr_heap;
}

static void merge_heap(struct layout_program *into, const struct layout_program *from)
{
	struct table index;
	bool is_new;
	size_t i;

	table_init(&index, sizeof(uint64_t));
	for (i = into->nr_heap; i-- > 0;)
		*(uint64_t *)table_put(&index, into->heap[i].site, &is_new) = i;
	for (i = 0; i < from->nr_heap; i++) {
		uint32_t site = take_site(into, from, from->heap[i].site);
		uint64_t *at = table_put(&index, site, &is_new);
		struct layout_heap *to;

		if (is_new) {
			*at = into->nr_heap;
			to = layout_heap_new(into);
			*to = from->heap[i];
			to->site = site;
			continue;
		}
		to = &into->heap[*at];
		widen(&to->live_bytes, &from->heap[i].live_bytes);
		widen(&to->live_blocks, &from->heap[i].live_blocks);
		to->traces = sum_traces(into, from, to->traces, from->heap[i].traces);
	}
	table_fini(&index);
	sort_heap(into);
}

/* What says whether a trace is complete is known of all of them, or it is not known. */
static bool is_of_all(enum layout_total total)
{
	return total == LAYOUT_unexplained || total == LAYOUT_not_captured || total == LAYOUT_lost;
}

static void merge_total(struct layout_program *into, const struct layout_program *from,
			enum layout_total total)
{
	bool is_known = into->has_total[total] && from->has_total[total];

	if (into->traces && is_of_all(total) && !is_known) {
		into->has_total[total] = false;
		into->total[total] = (struct span){ 0, 0 };
	} else if (is_known) {
		widen(&into->total[total], &from->total[total]);
	} else if (from->has_total[total]) {
		into->has_total[total] = true;
		into->total[total] = from->total[total];
	}
}

void layout_merge(struct layout_program *into, const struct layout_program *from)
{
	size_t i;

	if (!into->machine) {
		into->machine = alloc_string(from->machine);
		into->tier = alloc_string(from->tier);
		into->page_size = from->page_size;
	}
	for (i = 0; i < LAYOUT_NR_TOTALS; i++)
		merge_total(into, from, i);
	merge_regions(into, from);
	merge_facts(into, from);
	merge_threads(into, from);
	merge_heap(into, from);
	into->traces = sum_traces(into, from, into->traces, from->traces);
}

int layout_can_take(const struct layout *layout, const struct layout_program *p, const char *path,
		    char *err, size_t err_size)
{
	const struct layout_program *known = layout_find(layout, p->name);

	if (!known || (!strcmp(known->machine, p->machine) && !strcmp(known->tier, p->tier)))
		return 0;
	snprintf(err, err_size, "%s: %s at tier %s on %s, other traces of it at tier %s on %s", path,
		 p->name, p->tier, p->machine, known->tier, known->machine);
	return -EINVAL;
}

int layout_take(struct layout *layout, const struct layout_program *p, const char *path, char *err,
		size_t err_size)
{
	int ret = layout_can_take(layout, p, path, err, err_size);

	if (!ret)
		layout_merge(layout_program_get(layout, p->name), p);
	return ret;
}
