/* SPDX-License-Identifier: MIT */
/*
 * Regions beside the baseline's: raw mappings, libraries, permissions, flags, number and size.
 */
#include "check_compare.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "hash.h"

enum {
	TABLE_VMAS_MAX = 256,		/* neighbours share their page tables */
	BLOCK_BYTES = 16,		/* of malloc's at least */
	HUGE_PAGE_BYTES = 2 << 20,
};

static const struct span none = { 0, 0 };

static bool is_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool is_same_region(const struct diff_group *a, const struct diff_group *b)
{
	return family(a->role) == family(b->role) && !strcmp(a->name, b->name) &&
	       (is_object(a->role) ||
		(is_equal(a->place[0], b->place[0]) && is_equal(a->place[1], b->place[1])));
}

static size_t plain_length(const char *name)
{
	static const char mark[] = " (deleted)";
	size_t n = strlen(name), len = sizeof(mark) - 1;

	return n > len && !strcmp(name + n - len, mark) ? n - len : n;
}

bool is_same_file(const char *a, const char *b)
{
	size_t n = plain_length(a);

	return n == plain_length(b) && !memcmp(a, b, n);
}

/* Equal for what is_same_region(), and for names that are one file. */
static uint64_t key_of(enum layout_role role, const char *name, const char *const place[2])
{
	uint64_t hash = HASH_START ^ family(role);
	size_t i;

	hash = hash_bytes(hash, name, plain_length(name));
	hash = hash_line(hash, "");
	for (i = 0; i < 2 && !is_object(role); i++)
		hash = hash_line(hash, place[i] ? place[i] : "");
	return hash;
}

static int compare_keys(const void *a, const void *b)
{
	const struct compare_key *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->item > y->item) - (x->item < y->item);
}

static void make_keys(struct compare *c)
{
	const struct diff_item *items = c->diff.items;
	size_t i;

	c->keys = alloc_array(c->diff.nr_items, sizeof(*c->keys));
	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_group *g = group_of(&items[i]);

		if (!g)
			continue;
		c->keys[c->nr_keys++] = (struct compare_key){ key_of(g->role, g->name, g->place), i };
		if (items[i].kind == DIFF_PERMS && strchr(g->perms, 'x'))
			c->has_new_perms[region_index(c, &items[i])] = true;
	}
	if (c->nr_keys)
		qsort(c->keys, c->nr_keys, sizeof(*c->keys), compare_keys);
}

/* The first of c->keys that has @key or a greater one. */
static size_t find_key(const struct compare *c, uint64_t key)
{
	size_t lo = 0, hi = c->nr_keys;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->keys[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t region_index(const struct compare *c, const struct diff_item *item)
{
	return item->after ? (size_t)(item->after - c->diff.groups[1]) :
			     c->diff.nr_groups[1] + (size_t)(item->before - c->diff.groups[0]);
}

/* What a group whose change is settled adds to the totals. */
static void explain_group(struct compare *c, const struct diff_group *x, const struct diff_group *y)
{
	uint64_t vmas = rise(x ? x->count : none, y ? y->count : none);
	uint64_t bytes = rise(x ? x->bytes : none, y ? y->bytes : none);
	uint64_t resident = rise(x ? x->resident : none, y ? y->resident : none);
	enum layout_role role = y ? y->role : x->role;
	uint64_t *e = c->explained;

	explain(e, LAYOUT_vmas, vmas);
	explain(e, LAYOUT_vmas_peak, vmas);
	explain(e, LAYOUT_mapped_bytes, bytes);
	explain(e, LAYOUT_mapped_peak_bytes, bytes);
	explain(e, LAYOUT_resident_anon_bytes, resident);
	explain(e, LAYOUT_resident_file_bytes, bytes);
	explain(e, LAYOUT_huge_bytes, rise(y ? y->huge : none, x ? x->huge : none));
	explain(e, LAYOUT_page_table_bytes, add_capped(bytes, resident) / 512 +
		TABLE_BYTES * (vmas < TABLE_VMAS_MAX ? vmas : TABLE_VMAS_MAX) + TABLE_BYTES);
	if (is_malloc(role)) {
		explain(e, LAYOUT_heap_live_bytes, resident);
		explain(e, LAYOUT_heap_live_blocks, resident / BLOCK_BYTES);
		explain(e, LAYOUT_heap_peak_bytes, resident);
		explain(e, LAYOUT_heap_thread_peaks_bytes, resident);
	}
}

static void settle_item(struct compare *c, size_t i)
{
	const struct diff_item *item = &c->diff.items[i];
	size_t region = region_index(c, item);

	c->is_settled[i] = true;
	if (!c->is_explained[region])
		explain_group(c, item->before, item->after);
	c->is_explained[region] = true;
}

void settle_region(struct compare *c, const struct diff_group *g)
{
	uint64_t key = key_of(g->role, g->name, g->place);
	size_t k;

	for (k = find_key(c, key); k < c->nr_keys && c->keys[k].key == key; k++) {
		size_t i = c->keys[k].item;

		if (!c->is_settled[i] && is_same_region(group_of(&c->diff.items[i]), g))
			settle_item(c, i);
	}
}

void settle_placed(struct compare *c, enum layout_role role, const char *name,
		   const struct layout_site *site, compare_suits_fn *suits, const void *arg)
{
	/* A place is the first frame, the first two, or unknown. */
	const char *frames[2] = { site ? site->frames[0] : NULL,
				  site && site->nr_frames > 1 ? site->frames[1] : NULL };
	const char *const places[][2] = {
		{ NULL, NULL }, { frames[0], NULL }, { frames[0], frames[1] },
	};
	size_t n, k, nr = is_object(role) || !frames[0] ? 1 : frames[1] ? 3 : 2;

	for (n = 0; n < nr; n++) {
		uint64_t key = key_of(role, name, places[n]);

		for (k = find_key(c, key); k < c->nr_keys && c->keys[k].key == key; k++) {
			size_t i = c->keys[k].item;
			const struct diff_group *g = group_of(&c->diff.items[i]);

			if (!c->is_settled[i] && suits(g, arg))
				settle_region(c, g);
		}
	}
}

bool is_placed_at(const struct diff_group *g, const struct layout_site *site)
{
	size_t i;

	for (i = 0; i < 2 && g->place[i]; i++)
		if (i >= site->nr_frames || strcmp(g->place[i], site->frames[i]))
			return false;
	return true;
}

struct judge_subject subject_of(const struct diff_item *item)
{
	const struct diff_group *g = group_of(item);

	return (struct judge_subject){
		.has_region = true, .role = g->role, .section = g->section, .name = g->name,
		.site = item->site ? item->site : g->site,
	};
}

static char *group_text(const struct diff_group *g)
{
	char *count, *bytes, *text;

	if (!g)
		return judge_text("none");
	count = judge_figure(RULE_COUNT, g->count);
	bytes = judge_figure(RULE_BYTES, g->bytes);
	text = judge_text("%s mapping%s, %s, %s", count, g->count.max == 1 ? "" : "s", bytes,
			  g->perms);
	alloc_free(count);
	alloc_free(bytes);
	return text;
}

/* A change without a measure. */
static bool tell_change(struct compare *c, enum rule_id rule, const struct diff_item *item)
{
	struct judge_subject subject = subject_of(item);

	return judge_tell(c->j, rule, &subject, (struct judge_change){
		.before = group_text(item->before), .after = group_text(item->after),
		.accept = ACCEPT_UPDATE | ACCEPT_ALLOW,
	});
}

static bool tell_words(struct compare *c, enum rule_id rule, const struct diff_item *item,
		       const char *before, const char *after)
{
	struct judge_subject subject = subject_of(item);

	return judge_tell(c->j, rule, &subject, (struct judge_change){
		.before = judge_text("%s", *before ? before : "none"),
		.after = judge_text("%s", *after ? after : "none"),
		.accept = ACCEPT_UPDATE | ACCEPT_ALLOW,
	});
}

/* A figure that rose, of which @known is told elsewhere. */
static bool tell_growth(struct compare *c, enum rule_id rule, const struct diff_item *item,
			struct span from, struct span to, uint64_t known)
{
	struct rule_terms terms = judge_terms(c->j, rule);
	struct judge_subject subject = subject_of(item);
	uint64_t bound = judge_bound(&terms, from);

	if (!terms.percent.is_set && !terms.absolute.is_set)
		return false;
	if (to.max <= bound || to.max - bound <= known)
		return false;
	return judge_tell(c->j, rule, &subject, (struct judge_change){
		.before = judge_figure(rule_infos[rule].unit, from),
		.after = rule_infos[rule].unit == RULE_COUNT ? group_text(item->after) :
							       judge_figure(RULE_BYTES, to),
		.has_numbers = true, .from = from.max, .to = to.max, .limit = bound,
		.accept = ACCEPT_UPDATE | ACCEPT_ALLOW,
	});
}

/*
 * Raw mappings are told by where the system call is made: the same function may map by libc, too, and
 * the kernel may have merged both.
 */

/* For each site, and for none at all at the end: a region that was mapped by it raw, or NULL. */
static const struct layout_region **raw_regions(const struct layout_program *p)
{
	const struct layout_region **raw = alloc_array(p->nr_sites + 1, sizeof(*raw));
	size_t i;

	for (i = 0; i < p->nr_regions; i++)
		if (!strcmp(p->regions[i].origin, "raw"))
			raw[p->regions[i].site == LAYOUT_NO_SITE ? p->nr_sites : p->regions[i].site] =
				&p->regions[i];
	return raw;
}

struct raw_suit {
	const struct layout_region *region;
	const struct layout_site *site;
};

static bool is_raw_of(const struct diff_group *g, const void *arg)
{
	const struct raw_suit *raw = arg;

	return g->role == raw->region->role && !strcmp(g->name, raw->region->name) &&
	       (!raw->site || is_placed_at(g, raw->site));
}

static void settle_raw(struct compare *c, const struct layout_region *r,
		       const struct layout_site *site)
{
	const struct raw_suit raw = { r, site };
	size_t i;

	if (site) {
		settle_placed(c, r->role, r->name, site, is_raw_of, &raw);
		return;
	}
	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_group *g = group_of(&c->diff.items[i]);

		if (g && !c->is_settled[i] && is_raw_of(g, &raw))
			settle_region(c, g);
	}
}

static void tell_raw(struct compare *c, const struct layout_region *r,
		     const struct layout_site *site)
{
	char *bytes = judge_figure(RULE_BYTES, r->bytes);
	bool is_settled;

	is_settled = judge_tell(c->j, RULE_MAPPING_RAW, &(struct judge_subject){
		.has_region = true, .role = r->role, .section = r->section, .name = r->name,
		.site = site,
	}, (struct judge_change){
		.before = judge_text("none"),
		.after = judge_text("%s, %s", bytes, r->perms),
		.accept = ACCEPT_UPDATE | ACCEPT_ALLOW,
	});
	alloc_free(bytes);
	if (is_settled)
		settle_raw(c, r, site);
}

static int compare_frames(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static void judge_raw(struct compare *c)
{
	const struct layout_program *x = c->j->before, *y = c->j->after;
	const struct layout_region **then = raw_regions(x), **now = raw_regions(y);
	const char **places = alloc_array(x->nr_sites, sizeof(*places));
	size_t i, nr = 0;

	for (i = 0; i < x->nr_sites; i++)
		if (then[i])
			places[nr++] = x->sites[i].frames[0];
	if (nr)
		qsort(places, nr, sizeof(*places), compare_frames);
	for (i = 0; i < y->nr_sites; i++) {
		const char *place = y->sites[i].frames[0];

		if (now[i] && !(nr && bsearch(&place, places, nr, sizeof(*places), compare_frames)))
			tell_raw(c, now[i], &y->sites[i]);
	}
	if (now[i] && !then[x->nr_sites])
		tell_raw(c, now[i], NULL);
	alloc_free(places);
	alloc_free(then);
	alloc_free(now);
}

static bool judge_library(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_ADDED && item->after->role == LAYOUT_LIBRARY &&
	       item->after->section == LAYOUT_NO_SECTION && tell_change(c, RULE_LIBRARY_ADDED, item);
}

/* As many more mappings of malloc's as told sites have blocks more. */
static uint64_t known_vmas(const struct compare *c, const struct diff_item *item)
{
	return is_malloc(item->after->role) ? c->heap_vmas : 0;
}

static bool judge_split(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_SPLIT &&
	       tell_growth(c, RULE_REGION_SPLIT, item, item->from, item->to, known_vmas(c, item));
}

static bool judge_perms(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_PERMS &&
	       tell_words(c, RULE_PERMISSIONS, item, item->before->perms, item->after->perms);
}

static bool judge_flags(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_FLAGS &&
	       tell_words(c, RULE_FLAGS, item, item->before->flags, item->after->flags);
}

static bool judge_added(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_ADDED && !is_malloc(item->after->role) &&
	       tell_change(c, RULE_REGION_ADDED, item);
}

static bool judge_more(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_MORE &&
	       tell_growth(c, RULE_REGION_MORE, item, item->from, item->to, known_vmas(c, item));
}

/*
 * What an allocator has mapped is its own affair: how many arenas there are, each a reservation of
 * 64 MiB, is decided by which threads happened to meet. Only what is resident of it counts.
 */
static void set_reserves_aside(struct compare *c)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_item *item = &c->diff.items[i];
		const struct diff_group *g = group_of(item);

		if (g && is_malloc(g->role) && item->before && item->after &&
		    item->kind != DIFF_RESIDENT && !c->is_settled[i])
			settle_item(c, i);
	}
}

/* A part of @pool that @amount can come from. */
static uint64_t take(uint64_t *pool, uint64_t amount)
{
	uint64_t taken = amount < *pool ? amount : *pool;

	*pool -= taken;
	return taken;
}

/* malloc's memory comes and goes without a place to blame: a new piece is growth of the whole. */
static bool judge_grown(struct compare *c, const struct diff_item *item)
{
	struct span from = item->before ? item->before->bytes : none, to;
	uint64_t known = 0;

	if (item->kind != DIFF_GROWN && item->kind != DIFF_MORE &&
	    !(item->kind == DIFF_ADDED && is_malloc(item->after->role)))
		return false;
	to = is_malloc(item->after->role) ? item->after->resident : item->after->bytes;
	if (is_malloc(item->after->role))
		known = take(&c->heap_bytes, rise(from, to));
	return tell_growth(c, RULE_REGION_GROWN, item, from, to, known);
}

/* Whether the end of a mapping is a huge page depends on where it lies. */
static uint64_t huge_chance(const struct diff_item *item)
{
	uint64_t huge = rise(item->before->huge, item->after->huge);
	uint64_t most = item->after->count.max * HUGE_PAGE_BYTES;

	return huge < most ? huge : most;
}

/* What of @amount another region has less: the kernel may have merged both. */
static uint64_t not_more_in_all(const struct compare *c, uint64_t amount)
{
	const struct layout_program *x = c->j->before, *y = c->j->after;
	const enum layout_total total = LAYOUT_resident_anon_bytes;
	uint64_t all;

	if (!x->has_total[total] || !y->has_total[total])
		return 0;
	all = rise(x->total[total], y->total[total]);
	return amount > all ? amount - all : 0;
}

static bool judge_resident(struct compare *c, const struct diff_item *item)
{
	uint64_t known;

	if (item->kind != DIFF_RESIDENT)
		return false;
	known = huge_chance(item);
	explain(c->explained, LAYOUT_resident_anon_bytes, known);
	known = add_capped(known, not_more_in_all(c, rise(item->from, item->to)));
	if (is_malloc(item->after->role))
		known = add_capped(known, take(&c->heap_resident, rise(item->from, item->to)));
	return tell_growth(c, RULE_RESIDENT, item, item->from, item->to, known);
}

/* What only some runs had may be missing. */
static bool judge_removed(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_REMOVED && item->before->count.min &&
	       !is_malloc(item->before->role) &&
	       family(item->before->role) != LAYOUT_THREAD_STACK &&
	       tell_change(c, RULE_REGION_REMOVED, item);
}

typedef bool judge_item_fn(struct compare *c, const struct diff_item *item);

static void pass(struct compare *c, judge_item_fn *judge)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++)
		if (!c->is_settled[i] && group_of(&c->diff.items[i]) &&
		    judge(c, &c->diff.items[i]))
			settle_region(c, group_of(&c->diff.items[i]));
}

void judge_regions(struct judge *j, uint64_t explained[LAYOUT_NR_TOTALS])
{
	/*
	 * A region in many more pieces is told as such, whatever their permissions; one whose
	 * permissions changed in a place or two is told by those.
	 */
	static judge_item_fn *const passes[] = {
		judge_split, judge_perms, judge_flags, judge_added, judge_more, judge_grown,
		judge_resident, judge_removed,
	};
	struct compare c = { .j = j, .explained = explained };
	size_t i, nr_regions;

	diff_init(&c.diff, j->before, j->after);
	c.is_settled = alloc_array(c.diff.nr_items, sizeof(*c.is_settled));
	nr_regions = c.diff.nr_groups[0] + c.diff.nr_groups[1];
	c.is_explained = alloc_array(nr_regions, sizeof(*c.is_explained));
	c.has_new_perms = alloc_array(nr_regions, sizeof(*c.has_new_perms));
	make_keys(&c);
	judge_facts(&c);
	if (j->before) {
		judge_raw(&c);
		pass(&c, judge_library);
		judge_threads(&c);
	}
	judge_heap(&c);
	set_reserves_aside(&c);
	for (i = 0; j->before && i < sizeof(passes) / sizeof(passes[0]); i++)
		pass(&c, passes[i]);
	alloc_free(c.is_settled);
	alloc_free(c.is_explained);
	alloc_free(c.has_new_perms);
	alloc_free(c.keys);
	diff_fini(&c.diff);
}
