/* SPDX-License-Identifier: MIT */
/*
 * Another trace of a program: regions that are the same become one with wider spans.
 *
 * The same is: the n-th by address of those that agree in everything but size. What only the new
 * trace has is put behind the region that is below it there, so that the order stays that of
 * addresses as far as the traces agree on one.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "layout.h"
#include "table.h"

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t i;

	for (i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

static uint64_t mix_text(uint64_t hash, const char *s)
{
	return mix(hash, s, strlen(s) + 1);
}

/* Everything but sizes. */
static uint64_t region_key(const struct layout_program *p, const struct layout_region *r)
{
	uint64_t hash = 0xcbf29ce484222325;

	hash = mix(hash, &r->role, sizeof(r->role));
	hash = mix(hash, &r->section, sizeof(r->section));
	hash = mix(hash, &r->offset, sizeof(r->offset));
	hash = mix_text(hash, r->name);
	hash = mix_text(hash, r->perms);
	hash = mix_text(hash, r->flags);
	hash = mix_text(hash, r->origin);
	return mix_text(hash, r->site == LAYOUT_NO_SITE ? "" : p->sites[r->site].id);
}

/* The same with the number of its like that came before. */
static uint64_t nth_key(struct table *seen, uint64_t key)
{
	bool is_new;
	uint64_t *nr = table_put(seen, key, &is_new);

	(*nr)++;
	return mix(key, nr, sizeof(*nr));
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
			to->traces += r->traces;
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

static void merge_facts(struct layout_program *into, const struct layout_program *from)
{
	size_t i, k;

	for (i = 0; i < from->nr_facts; i++) {
		const struct layout_fact *f = &from->facts[i];
		uint32_t site = take_site(into, from, f->site);
		struct layout_fact *to;

		for (k = 0; k < into->nr_facts; k++) {
			to = &into->facts[k];
			if (to->kind == f->kind && to->role == f->role &&
			    to->section == f->section && to->site == site &&
			    !strcmp(to->name, f->name))
				break;
		}
		if (k < into->nr_facts) {
			into->facts[k].traces += f->traces;
			continue;
		}
		to = layout_fact_new(into);
		*to = *f;
		to->name = alloc_string(f->name);
		to->site = site;
	}
}

static void merge_threads(struct layout_program *into, const struct layout_program *from)
{
	size_t i, k;

	for (i = 0; i < from->nr_threads; i++) {
		uint32_t site = take_site(into, from, from->threads[i].site);

		for (k = 0; k < into->nr_threads && into->threads[k].site != site; k++)
			;
		if (k == into->nr_threads) {
			*layout_threads_new(into) = from->threads[i];
			into->threads[k].site = site;
			continue;
		}
		widen(&into->threads[k].count, &from->threads[i].count);
		into->threads[k].traces += from->threads[i].traces;
	}
}

static void merge_heap(struct layout_program *into, const struct layout_program *from)
{
	struct table index;
	size_t i, k, nr = into->nr_heap;
	bool is_new;

	table_init(&index, sizeof(uint64_t));
	for (i = 0; i < nr; i++)
		*(uint64_t *)table_put(&index, into->heap[i].site, &is_new) = i;
	for (i = 0; i < from->nr_heap; i++) {
		uint32_t site = take_site(into, from, from->heap[i].site);
		const uint64_t *at = table_find(&index, site);
		struct layout_heap *to;

		if (!at) {
			to = layout_heap_new(into);
			*to = from->heap[i];
			to->site = site;
			continue;
		}
		to = &into->heap[*at];
		widen(&to->live_bytes, &from->heap[i].live_bytes);
		widen(&to->live_blocks, &from->heap[i].live_blocks);
		to->traces += from->heap[i].traces;
	}
	table_fini(&index);
	/* Greatest first; nearly sorted already. */
	for (i = 1; i < into->nr_heap; i++) {
		struct layout_heap h = into->heap[i];

		for (k = i; k && into->heap[k - 1].live_bytes.max < h.live_bytes.max; k--)
			into->heap[k] = into->heap[k - 1];
		into->heap[k] = h;
	}
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
	into->traces += from->traces;
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
