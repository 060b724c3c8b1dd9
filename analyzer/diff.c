/* SPDX-License-Identifier: MIT */
/* Groups of regions, matched by what they are, and where their figures leave the spans. */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define NAME_OF(symbol, name) [DIFF_##symbol] = name,
const char *const diff_kind_names[DIFF_NR_KINDS] = { DIFF_KINDS(NAME_OF) };
#undef NAME_OF

/* Malloc chooses where these come from: whoever asked first is chance. */
static bool has_site(enum layout_role role)
{
	return role != LAYOUT_ARENA && role != LAYOUT_MALLOC_MMAP && role != LAYOUT_HEAP &&
	       role != LAYOUT_FILE && role > LAYOUT_LOADER;
}

struct diff_member {
	struct diff_group key;
	const struct layout_region *region;
	const struct layout_site *site;
};

static bool is_libc(const char *frame)
{
	return strstr(frame, "libc.so.6") || strstr(frame, "ld-linux") || strstr(frame, "libpthread.so.0");
}

static void set_place(const struct layout_site *site, const char *place[2])
{
	place[0] = place[1] = NULL;
	if (!site)
		return;
	place[0] = site->frames[0];
	if (site->nr_frames > 1 && is_libc(place[0]))
		place[1] = site->frames[1];
}

static int compare_text(const char *x, const char *y)
{
	return strcmp(x ? x : "", y ? y : "");
}

static int compare_places(const char *const x[2], const char *const y[2])
{
	int c = compare_text(x[0], y[0]);

	return c ? c : compare_text(x[1], y[1]);
}

static int compare_sites(const struct layout_site *x, const struct layout_site *y)
{
	return compare_text(x ? x->id : NULL, y ? y->id : NULL);
}

static int compare_groups(const void *a, const void *b)
{
	const struct diff_group *x = a, *y = b;
	int c;

	if (x->role != y->role)
		return x->role < y->role ? -1 : 1;
	c = strcmp(x->name, y->name);
	if (!c)
		c = compare_places(x->place, y->place);
	return c ? c : (x->section > y->section) - (x->section < y->section);
}

static int compare_members(const void *a, const void *b)
{
	const struct diff_member *x = a, *y = b;
	int c = compare_groups(&x->key, &y->key);

	if (!c)
		c = compare_sites(x->site, y->site);
	return c ? c : (x->region > y->region) - (x->region < y->region);
}

/* Whether @words, separated by spaces, has @word. */
static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *s;

	for (s = words; (s = strstr(s, word)); s++)
		if ((s == words || s[-1] == ' ') && (!s[n] || s[n] == ' '))
			return true;
	return false;
}

/* A word that is not in the list yet; lists are sorted, so that they can be compared. */
static void add_word(char **words, const char *word)
{
	char *old = *words, *joined, *s, *token, *save = NULL;
	size_t size = strlen(old) + strlen(word) + 2;
	bool is_put = false;

	if (!*word || has_word(old, word))
		return;
	joined = alloc_zeroed(size);
	for (s = old; (token = strtok_r(s, " ", &save)); s = NULL) {
		if (!is_put && strcmp(word, token) < 0) {
			strcat(strcat(joined, *joined ? " " : ""), word);
			is_put = true;
		}
		strcat(strcat(joined, *joined ? " " : ""), token);
	}
	if (!is_put)
		strcat(strcat(joined, *joined ? " " : ""), word);
	alloc_free(old);
	*words = joined;
}

static void add_words(char **words, const char *more)
{
	char *copy = alloc_string(more), *s, *token, *save = NULL;

	for (s = copy; (token = strtok_r(s, " ", &save)); s = NULL)
		add_word(words, token);
	alloc_free(copy);
}

static void add_region(struct diff_group *g, const struct layout_region *r, bool is_always)
{
	g->count.min += is_always;
	g->count.max++;
	if (is_always) {
		g->bytes.min += r->bytes.min;
		g->resident.min += r->resident.min;
		g->huge.min += r->huge.min;
	}
	g->bytes.max += r->bytes.max;
	g->resident.max += r->resident.max;
	g->huge.max += r->huge.max;
	add_words(&g->perms, r->perms);
	add_words(&g->flags, r->flags);
}

/* Bytes of @g that @site mapped. */
static uint64_t bytes_of(const struct diff_group *g, const struct layout_site *site)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; g && i < g->nr_members; i++)
		if (!compare_sites(g->members[i].site, site))
			sum += g->members[i].region->bytes.max;
	return sum;
}

/* Who mapped most of what @g has and @before had not. Members of a site stand side by side. */
static const struct layout_site *most_of(const struct diff_group *g,
					 const struct diff_group *before)
{
	const struct layout_site *site = NULL;
	uint64_t most = 0, sum = 0;
	size_t i;

	for (i = 0; i < g->nr_members; i++) {
		const struct diff_member *m = &g->members[i];
		uint64_t then;

		sum += m->region->bytes.max;
		if (i + 1 < g->nr_members && !compare_sites(m[1].site, m->site))
			continue;
		then = bytes_of(before, m->site);
		if (!site || (sum > then && sum - then > most)) {
			site = m->site;
			most = sum > then ? sum - then : 0;
		}
		sum = 0;
	}
	return site;
}

static void make_groups(struct diff *d, int side, const struct layout_program *p)
{
	struct diff_member *members = alloc_array(p->nr_regions + 1, sizeof(*members));
	struct diff_group *groups = alloc_array(p->nr_regions + 1, sizeof(*groups));
	size_t i, nr = 0;

	for (i = 0; i < p->nr_regions; i++) {
		const struct layout_region *r = &p->regions[i];
		struct diff_member *m = &members[i];

		*m = (struct diff_member){
			.key = { .role = r->role, .section = r->section, .name = r->name,
				 .origin = r->origin },
			.region = r,
			.site = r->site == LAYOUT_NO_SITE ? NULL : &p->sites[r->site],
		};
		if (has_site(r->role))
			set_place(m->site, m->key.place);
	}
	qsort(members, p->nr_regions, sizeof(*members), compare_members);
	for (i = 0; i < p->nr_regions; i++) {
		if (!i || compare_groups(&members[i - 1].key, &members[i].key)) {
			groups[nr] = members[i].key;
			groups[nr].perms = alloc_string("");
			groups[nr].flags = alloc_string("");
			groups[nr].members = &members[i];
			nr++;
		}
		groups[nr - 1].nr_members++;
		add_region(&groups[nr - 1], members[i].region,
			   members[i].region->traces == p->traces);
	}
	for (i = 0; i < nr; i++)
		groups[i].site = groups[i].role > LAYOUT_LOADER ? most_of(&groups[i], NULL) : NULL;
	d->groups[side] = groups;
	d->members[side] = members;
	d->nr_groups[side] = nr;
}

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
	item->site = after && before && after->site ? most_of(after, before) :
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

/* Every permission that occurs now occurred before. */
static bool has_all(const char *before, const char *now)
{
	char *copy = alloc_string(now), *s, *token, *save = NULL;
	bool all = true;

	for (s = copy; (token = strtok_r(s, " ", &save)); s = NULL)
		all &= has_word(before, token);
	alloc_free(copy);
	return all;
}

static void compare_group(struct diff *d, const struct diff_group *x, const struct diff_group *y)
{
	int count = leaves(x->count, y->count), bytes = leaves(x->bytes, y->bytes);

	if (!has_all(x->perms, y->perms))
		add_group_item(d, DIFF_PERMS, x, y, x->bytes, y->bytes);
	if (!has_all(x->flags, y->flags) || !has_all(y->flags, x->flags))
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

		if (compare_groups(&groups[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < nr && groups[lo].role == g->role && !strcmp(groups[lo].name, g->name);
}

static void sum(struct span *to, const struct span *by)
{
	to->min += by->min;
	to->max += by->max;
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

			sum(&first->count, &next->count);
			sum(&first->bytes, &next->bytes);
			sum(&first->resident, &next->resident);
			sum(&first->huge, &next->huge);
			add_words(&first->perms, next->perms);
			add_words(&first->flags, next->flags);
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
		int c = i == n ? 1 : k == m ? -1 : compare_groups(&x[i], &y[k]);

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

static bool is_same_fact(const struct layout_program *p, const struct layout_fact *f,
			 const struct layout_program *q, const struct layout_fact *g)
{
	const char *x[2], *y[2];

	set_place(f->site == LAYOUT_NO_SITE ? NULL : &p->sites[f->site], x);
	set_place(g->site == LAYOUT_NO_SITE ? NULL : &q->sites[g->site], y);
	return f->kind == g->kind && f->role == g->role && f->section == g->section &&
	       !strcmp(f->name, g->name) && !compare_places(x, y);
}

/* Facts of @p that @q hasn't. */
static void compare_facts(struct diff *d, enum diff_kind kind, const struct layout_program *p,
			  const struct layout_program *q)
{
	size_t i, k;

	for (i = 0; p && i < p->nr_facts; i++) {
		const struct layout_fact *f = &p->facts[i];
		struct diff_item *item;

		for (k = 0; q && k < q->nr_facts; k++)
			if (is_same_fact(p, f, q, &q->facts[k]))
				break;
		if (q && k < q->nr_facts)
			continue;
		item = add_item(d, kind);
		item->fact = f;
		item->site = f->site == LAYOUT_NO_SITE ? NULL : &p->sites[f->site];
	}
}

static const struct layout_heap *find_heap(const struct layout_program *p, const char *id)
{
	size_t i;

	for (i = 0; p && i < p->nr_heap; i++)
		if (p->heap[i].site != LAYOUT_NO_SITE && !strcmp(p->sites[p->heap[i].site].id, id))
			return &p->heap[i];
	return NULL;
}

static void compare_heap(struct diff *d)
{
	const struct layout_program *p = d->after;
	const struct span none = { 0, 0 };
	size_t i;

	for (i = 0; p && i < p->nr_heap; i++) {
		const struct layout_heap *now = &p->heap[i], *then;
		struct diff_item *item;

		if (now->site == LAYOUT_NO_SITE)
			continue;
		then = find_heap(d->before, p->sites[now->site].id);
		if (then && leaves(then->live_bytes, now->live_bytes) <= 0)
			continue;
		item = add_item(d, DIFF_HEAP_SITE);
		item->site = &p->sites[now->site];
		item->from = then ? then->live_bytes : none;
		item->to = now->live_bytes;
	}
}

/* Threads made from one place: what all sites with it made. */
static struct span count_threads(const struct layout_program *p, const char *const place[2])
{
	struct span sum = { 0, 0 };
	const char *of[2];
	size_t i;

	for (i = 0; p && i < p->nr_threads; i++) {
		const struct layout_threads *t = &p->threads[i];

		set_place(t->site == LAYOUT_NO_SITE ? NULL : &p->sites[t->site], of);
		if (compare_places(place, of))
			continue;
		sum.min += t->traces == p->traces ? t->count.min : 0;
		sum.max += t->count.max;
	}
	return sum;
}

static void compare_threads(struct diff *d)
{
	const struct layout_program *p = d->after;
	const char *place[2], *earlier[2];
	size_t i, k;

	for (i = 0; p && i < p->nr_threads; i++) {
		const struct layout_site *site =
			p->threads[i].site == LAYOUT_NO_SITE ? NULL : &p->sites[p->threads[i].site];
		struct span from, to;
		struct diff_item *item;

		set_place(site, place);
		for (k = 0; k < i; k++) {
			set_place(p->threads[k].site == LAYOUT_NO_SITE ?
					  NULL : &p->sites[p->threads[k].site], earlier);
			if (!compare_places(place, earlier))
				break;
		}
		from = count_threads(d->before, place);
		to = count_threads(p, place);
		if (k < i || !leaves(from, to))
			continue;
		item = add_item(d, DIFF_THREADS);
		item->site = site;
		item->from = from;
		item->to = to;
	}
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
	return compare_sites(x->site, y->site);
}

/* A guard page comes and goes with its stack. */
static bool is_of_stack(const struct diff *d, const struct diff_item *item)
{
	const struct diff_group *g = item->after ? item->after : item->before;
	size_t i;

	if (!g || g->role != LAYOUT_THREAD_GUARD)
		return false;
	for (i = 0; i < d->nr_items; i++) {
		const struct diff_item *other = &d->items[i];
		const struct diff_group *stack = other->after ? other->after : other->before;

		if (other->kind == item->kind && stack && stack->role == LAYOUT_THREAD_STACK &&
		    !compare_places(stack->place, g->place))
			return true;
	}
	return false;
}

void diff_init(struct diff *d, const struct layout_program *before,
	       const struct layout_program *after)
{
	size_t i, nr = 0;

	*d = (struct diff){ .before = before, .after = after };
	if (before)
		make_groups(d, 0, before);
	if (after)
		make_groups(d, 1, after);
	compare_regions(d);
	compare_facts(d, DIFF_FACT, after, before);
	compare_facts(d, DIFF_FACT_GONE, before, after);
	compare_threads(d);
	compare_heap(d);
	compare_totals(d);
	for (i = 0; i < d->nr_items; i++)
		if (!is_of_stack(d, &d->items[i]))
			d->items[nr++] = d->items[i];
	d->nr_items = nr;
	if (nr)
		qsort(d->items, nr, sizeof(*d->items), compare_items);
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
