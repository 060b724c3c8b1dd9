/* SPDX-License-Identifier: MIT */
/* Two layouts side by side: where the figures of one leave the spans of the other. */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "diff_groups.h"

#define NAME_OF(symbol, name) [DIFF_##symbol] = name,
const char *const diff_kind_names[DIFF_NR_KINDS] = { DIFF_KINDS(NAME_OF) };
#undef NAME_OF

static struct diff_item *add_item(struct diff *d, enum diff_kind kind)
{
	d->items = alloc_grow(d->items, d->nr_items, &d->cap_items, sizeof(*d->items));
	d->items[d->nr_items] = (struct diff_item){ .kind = kind };
	return &d->items[d->nr_items++];
}

static struct diff_item *add_group_item(struct diff *d, enum diff_kind kind,
					const struct diff_group *before,
					const struct diff_group *after, struct span from,
					struct span to)
{
	struct diff_item *item = add_item(d, kind);

	item->before = before;
	item->after = after;
	item->site = after && before && after->site ? diff_most_of(after, before) :
						      (after ? after : before)->site;
	item->from = from;
	item->to = to;
	return item;
}

/* 1: @b reaches above @a, -1: below, 0: within. */
static int leaves(struct span a, struct span b)
{
	if (b.max > a.max)
		return 1;
	return b.min < a.min ? -1 : 0;
}

static void compare_group(struct diff *d, const struct diff_group *x, const struct diff_group *y)
{
	int count = leaves(x->count, y->count), bytes = leaves(x->bytes, y->bytes);

	if (!diff_has_all(x->perms, y->perms))
		add_group_item(d, DIFF_PERMS, x, y, x->bytes, y->bytes);
	if (!diff_has_all(x->flags, y->flags) || !diff_has_all(y->flags, x->flags))
		add_group_item(d, DIFF_FLAGS, x, y, x->bytes, y->bytes);
	if (count)
		add_group_item(d, count > 0 ? bytes > 0 ? DIFF_MORE : DIFF_SPLIT :
					      bytes < 0 ? DIFF_FEWER : DIFF_MERGED,
			       x, y, x->count, y->count);
	if (bytes && !(count && (count > 0) == (bytes > 0)))
		add_group_item(d, bytes > 0 ? DIFF_GROWN : DIFF_SHRUNK, x, y, x->bytes, y->bytes);
	if (leaves(x->resident, y->resident) > 0)
		add_group_item(d, DIFF_RESIDENT, x, y, x->resident, y->resident);
}

/* Whether an object of the loader stands in @groups with any section. */
static bool has_object(const struct diff_group *groups, size_t nr, const struct diff_group *g)
{
	struct diff_group key = *g;
	size_t lo = 0, hi = nr;

	key.section = 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (diff_compare_groups(&groups[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < nr && groups[lo].role == g->role && !strcmp(groups[lo].name, g->name);
}

/*
 * A group that only one side has. Sections of an object that is new, or gone, as a whole are one
 * item: the first group is made to stand for all of it.
 */
static void only_one(struct diff *d, struct diff_group *g, size_t nr, size_t *i, bool is_new,
		     const struct diff_group *others, size_t nr_others)
{
	struct diff_group *first = &g[*i];
	const struct span none = { 0, 0 };

	if (first->role <= LAYOUT_LOADER && !has_object(others, nr_others, first)) {
		while (*i + 1 < nr && g[*i + 1].role == first->role &&
		       !strcmp(g[*i + 1].name, first->name)) {
			const struct diff_group *next = &g[++*i];

			diff_join_group(first, next);
		}
		first->section = LAYOUT_NO_SECTION;
	}
	if (is_new)
		add_group_item(d, DIFF_ADDED, NULL, first, none, first->bytes);
	else
		add_group_item(d, DIFF_REMOVED, first, NULL, first->bytes, none);
}

static void compare_regions(struct diff *d)
{
	struct diff_group *x = d->groups[0], *y = d->groups[1];
	size_t i = 0, k = 0, n = d->nr_groups[0], m = d->nr_groups[1];

	while (i < n || k < m) {
		int c = i == n ? 1 : k == m ? -1 : diff_compare_groups(&x[i], &y[k]);

		if (!c) {
			compare_group(d, &x[i++], &y[k++]);
		} else if (c < 0) {
			only_one(d, x, n, &i, false, y, m);
			i++;
		} else {
			only_one(d, y, m, &k, true, x, n);
			k++;
		}
	}
}

/* A fact, or threads, with where it comes from: sorted, to be found in the other layout. */
struct placed {
	const char *place[2];
	const struct layout_fact *fact;
	const struct layout_threads *threads;
};

static int compare_facts_of(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	const struct layout_fact *f = x->fact, *g = y->fact;
	int c;

	if (f->kind != g->kind)
		return f->kind < g->kind ? -1 : 1;
	if (f->role != g->role)
		return f->role < g->role ? -1 : 1;
	if (f->section != g->section)
		return f->section < g->section ? -1 : 1;
	c = strcmp(f->name, g->name);
	return c ? c : diff_compare_places(x->place, y->place);
}

static const struct layout_site *site_at(const struct layout_program *p, uint32_t site)
{
	return site == LAYOUT_NO_SITE ? NULL : &p->sites[site];
}

static struct placed place_fact(const struct layout_program *p, const struct layout_fact *f)
{
	struct placed placed = { .fact = f };

	diff_place(site_at(p, f->site), placed.place);
	return placed;
}

/* Facts of @p that @q hasn't. */
static void compare_facts(struct diff *d, enum diff_kind kind, const struct layout_program *p,
			  const struct layout_program *q)
{
	size_t i, nr = q ? q->nr_facts : 0;
	struct placed *others = alloc_array(nr, sizeof(*others));

	for (i = 0; i < nr; i++)
		others[i] = place_fact(q, &q->facts[i]);
	if (nr)
		qsort(others, nr, sizeof(*others), compare_facts_of);
	for (i = 0; p && i < p->nr_facts; i++) {
		struct placed own = place_fact(p, &p->facts[i]);
		struct diff_item *item;

		if (nr && bsearch(&own, others, nr, sizeof(*others), compare_facts_of))
			continue;
		item = add_item(d, kind);
		item->fact = own.fact;
		item->site = site_at(p, own.fact->site);
	}
	alloc_free(others);
}

static void compare_heap(struct diff *d)
{
	const struct layout_program *p = d->after, *q = d->before;
	size_t i, nr = q ? q->nr_sites : 0;
	const struct layout_heap **of_site = alloc_array(nr, sizeof(struct layout_heap *));
	const struct span none = { 0, 0 };

	for (i = q ? q->nr_heap : 0; i-- > 0;)
		if (q->heap[i].site != LAYOUT_NO_SITE)
			of_site[q->heap[i].site] = &q->heap[i];
	for (i = 0; p && i < p->nr_heap; i++) {
		const struct layout_heap *now = &p->heap[i], *then;
		struct diff_item *item;
		uint32_t site;

		if (now->site == LAYOUT_NO_SITE)
			continue;
		site = q ? layout_site_find(q, &p->sites[now->site]) : LAYOUT_NO_SITE;
		then = site == LAYOUT_NO_SITE ? NULL : of_site[site];
		if (then && leaves(then->live_bytes, now->live_bytes) <= 0)
			continue;
		item = add_item(d, DIFF_HEAP_SITE);
		item->site = &p->sites[now->site];
		item->from = then ? then->live_bytes : none;
		item->to = now->live_bytes;
	}
	alloc_free(of_site);
}

static int compare_makers(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int c = diff_compare_places(x->place, y->place);

	return c ? c : (x->threads > y->threads) - (x->threads < y->threads);
}

/* Who made threads, by place; allocated. */
static struct placed *sort_makers(const struct layout_program *p)
{
	size_t i, nr = p ? p->nr_threads : 0;
	struct placed *makers = alloc_array(nr, sizeof(*makers));

	for (i = 0; i < nr; i++) {
		makers[i].threads = &p->threads[i];
		diff_place(site_at(p, p->threads[i].site), makers[i].place);
	}
	if (nr)
		qsort(makers, nr, sizeof(*makers), compare_makers);
	return makers;
}

/* What all sites at the place of makers[@at] made; @at moves behind them. */
static struct span count_threads(const struct layout_program *p, const struct placed *makers,
				 size_t *at)
{
	const char *const *place = makers[*at].place;
	struct span sum = { 0, 0 };

	for (; *at < p->nr_threads && !diff_compare_places(makers[*at].place, place); ++*at)
		diff_add_span(&sum, &makers[*at].threads->count,
			 makers[*at].threads->traces == p->traces);
	return sum;
}

static void compare_threads(struct diff *d)
{
	const struct layout_program *p = d->after, *q = d->before;
	struct placed *now = sort_makers(p), *then = sort_makers(q);
	size_t i = 0, k = 0, nr = q ? q->nr_threads : 0;

	while (p && i < p->nr_threads) {
		const struct placed *first = &now[i];
		struct span from = { 0, 0 }, to = count_threads(p, now, &i);
		struct diff_item *item;

		while (k < nr && diff_compare_places(then[k].place, first->place) < 0)
			k++;
		if (k < nr && !diff_compare_places(then[k].place, first->place))
			from = count_threads(q, then, &k);
		if (!leaves(from, to))
			continue;
		item = add_item(d, DIFF_THREADS);
		item->site = site_at(p, first->threads->site);
		item->from = from;
		item->to = to;
	}
	alloc_free(now);
	alloc_free(then);
}

static void compare_totals(struct diff *d)
{
	size_t i;

	for (i = 0; d->before && d->after && i < LAYOUT_NR_TOTALS; i++) {
		struct diff_item *item;

		if (!d->before->has_total[i] || !d->after->has_total[i] ||
		    !leaves(d->before->total[i], d->after->total[i]))
			continue;
		item = add_item(d, DIFF_TOTAL);
		item->total = i;
		item->from = d->before->total[i];
		item->to = d->after->total[i];
	}
}

static uint64_t change(const struct diff_item *item)
{
	return item->to.max > item->from.max ? item->to.max - item->from.max :
					       item->from.max - item->to.max;
}

static int compare_items(const void *a, const void *b)
{
	const struct diff_item *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->kind == DIFF_TOTAL)
		return x->total < y->total ? -1 : 1;
	if (change(x) != change(y))
		return change(x) > change(y) ? -1 : 1;
	return diff_compare_sites(x->site, y->site);
}

static const struct diff_group *group_of(const struct diff_item *item)
{
	return item->after ? item->after : item->before;
}

static int compare_stacks(const void *a, const void *b)
{
	const struct diff_item *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return diff_compare_places(group_of(x)->place, group_of(y)->place);
}

/* A guard page comes and goes with its stack. */
static void drop_guards(struct diff *d)
{
	struct diff_item *stacks = alloc_array(d->nr_items, sizeof(*stacks));
	const struct diff_group *g;
	size_t i, nr = 0, kept = 0;

	for (i = 0; i < d->nr_items; i++) {
		g = group_of(&d->items[i]);
		if (g && g->role == LAYOUT_THREAD_STACK)
			stacks[nr++] = d->items[i];
	}
	if (nr)
		qsort(stacks, nr, sizeof(*stacks), compare_stacks);
	for (i = 0; i < d->nr_items; i++) {
		g = group_of(&d->items[i]);
		if (!nr || !g || g->role != LAYOUT_THREAD_GUARD ||
		    !bsearch(&d->items[i], stacks, nr, sizeof(*stacks), compare_stacks))
			d->items[kept++] = d->items[i];
	}
	d->nr_items = kept;
	alloc_free(stacks);
}

void diff_init(struct diff *d, const struct layout_program *before,
	       const struct layout_program *after)
{
	*d = (struct diff){ .before = before, .after = after };
	if (before)
		diff_make_groups(d, 0, before);
	if (after)
		diff_make_groups(d, 1, after);
	compare_regions(d);
	compare_facts(d, DIFF_FACT, after, before);
	compare_facts(d, DIFF_FACT_GONE, before, after);
	compare_threads(d);
	compare_heap(d);
	compare_totals(d);
	drop_guards(d);
	if (d->nr_items)
		qsort(d->items, d->nr_items, sizeof(*d->items), compare_items);
}

void diff_fini(struct diff *d)
{
	size_t side, i;

	for (side = 0; side < 2; side++) {
		for (i = 0; i < d->nr_groups[side]; i++) {
			alloc_free(d->groups[side][i].perms);
			alloc_free(d->groups[side][i].flags);
		}
		alloc_free(d->groups[side]);
		alloc_free(d->members[side]);
	}
	alloc_free(d->items);
	*d = (struct diff){ 0 };
}
