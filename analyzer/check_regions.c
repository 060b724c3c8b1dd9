/* SPDX-License-Identifier: MIT */
/*
 * Facts, regions and heap sites of one program, so that one cause is told once.
 *
 * The passes go from the telling to the vague. What a pass settles, by a finding or by an exemption,
 * settles the whole region: later passes leave it alone, and what it added to the totals is noted as
 * explained. A change within its tolerance settles nothing: many of them still show in the totals.
 */
#include "check_judge.h"

#include <string.h>

#include "alloc.h"
#include "diff.h"

enum {
	ARENA_VMAS = 3,			/* a thread's arena: in use, reserved, a second heap */
	TABLE_BYTES = 3 * 4096,		/* page tables that a lone mapping may need */
	TABLE_VMAS_MAX = 256,		/* neighbours share theirs */
	MMAP_THRESHOLD = 128 << 10,	/* malloc() gives a mapping to a block of that size */
	BLOCK_BYTES = 16,		/* malloc's own, for each block */
	HEAP_SLACK = 256 << 10,		/* heaps grow by steps */
};

struct compare {
	struct judge *j;
	struct diff diff;
	bool *is_settled, *is_explained;	/* for each item */
	uint64_t *explained;
	uint64_t heap_bytes, heap_resident;	/* of told sites, to be found again in regions */
	uint64_t heap_blocks;
	uint64_t nr_threads;			/* told */
};

static const struct span none = { 0, 0 };

static bool is_malloc(enum layout_role role)
{
	return role == LAYOUT_HEAP || role == LAYOUT_ARENA || role == LAYOUT_MALLOC_MMAP;
}

static bool is_object(enum layout_role role)
{
	return role <= LAYOUT_LOADER;
}

/* A guard belongs to its stack. */
static enum layout_role family(enum layout_role role)
{
	return role == LAYOUT_THREAD_GUARD ? LAYOUT_THREAD_STACK : role;
}

static bool is_stack(enum layout_role role)
{
	return role == LAYOUT_STACK || family(role) == LAYOUT_THREAD_STACK;
}

static const struct diff_group *group_of(const struct diff_item *item)
{
	return item->after ? item->after : item->before;
}

static uint64_t rise(struct span from, struct span to)
{
	return to.max > from.max ? to.max - from.max : 0;
}

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

/* What a group whose change is settled adds to the totals. */
static void explain_group(struct compare *c, const struct diff_group *x, const struct diff_group *y)
{
	uint64_t vmas = rise(x ? x->count : none, y ? y->count : none);
	uint64_t bytes = rise(x ? x->bytes : none, y ? y->bytes : none);
	uint64_t resident = rise(x ? x->resident : none, y ? y->resident : none);
	enum layout_role role = y ? y->role : x->role;
	uint64_t *e = c->explained;

	e[LAYOUT_vmas] += vmas;
	e[LAYOUT_vmas_peak] += vmas;
	e[LAYOUT_mapped_bytes] += bytes;
	e[LAYOUT_mapped_peak_bytes] += bytes;
	e[LAYOUT_resident_anon_bytes] += resident;
	e[LAYOUT_resident_file_bytes] += bytes;
	e[LAYOUT_huge_bytes] += rise(y ? y->huge : none, x ? x->huge : none);
	e[LAYOUT_page_table_bytes] += (bytes + resident) / 512 +
		TABLE_BYTES * (vmas < TABLE_VMAS_MAX ? vmas : TABLE_VMAS_MAX) + TABLE_BYTES;
	if (is_malloc(role)) {
		e[LAYOUT_heap_live_bytes] += bytes;
		e[LAYOUT_heap_live_blocks] += bytes / BLOCK_BYTES;
		e[LAYOUT_heap_peak_bytes] += bytes;
	}
}

static void settle_item(struct compare *c, size_t i)
{
	const struct diff_item *item = &c->diff.items[i];
	size_t k;

	c->is_settled[i] = true;
	if (c->is_explained[i])
		return;
	explain_group(c, item->before, item->after);
	for (k = 0; k < c->diff.nr_items; k++)
		if (c->diff.items[k].before == item->before && c->diff.items[k].after == item->after)
			c->is_explained[k] = true;
}

static void settle_region(struct compare *c, const struct diff_group *g)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_group *other = group_of(&c->diff.items[i]);

		if (other && !c->is_settled[i] && (other == g || is_same_region(other, g)))
			settle_item(c, i);
	}
}

/*
 * Facts.
 */

/* The more telling first; the first four are about the same permissions. */
static const enum layout_fact_kind fact_order[] = {
	LAYOUT_FACT_WRITABLE_TEXT, LAYOUT_FACT_EXEC_STACK, LAYOUT_FACT_EXEC_HEAP, LAYOUT_FACT_WX,
	LAYOUT_FACT_NO_RELRO, LAYOUT_FACT_NO_GUARD, LAYOUT_FACT_DELETED,
};
_Static_assert(sizeof(fact_order) / sizeof(fact_order[0]) == LAYOUT_NR_FACTS, "a fact is not judged");

static bool is_about_perms(enum layout_fact_kind kind)
{
	return kind == LAYOUT_FACT_WRITABLE_TEXT || kind == LAYOUT_FACT_EXEC_STACK ||
	       kind == LAYOUT_FACT_EXEC_HEAP || kind == LAYOUT_FACT_WX;
}

static bool is_new_fact(const struct compare *c, const struct layout_fact *f)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++)
		if (c->diff.items[i].kind == DIFF_FACT && c->diff.items[i].fact == f)
			return true;
	return !c->j->before;
}

/* Executable stacks are one decision of the linker, whatever the number of threads. */
static bool is_same_subject(const struct layout_fact *a, const struct layout_fact *b)
{
	if (is_stack(a->role) && is_stack(b->role) && is_about_perms(a->kind))
		return true;
	return a->role == b->role && !strcmp(a->name, b->name) &&
	       (is_object(a->role) || a->role == LAYOUT_FILE || a->site == b->site);
}

static bool is_told(const struct layout_fact *f, const struct layout_fact *const *told, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if ((told[i]->kind == f->kind ||
		     (is_about_perms(told[i]->kind) && is_about_perms(f->kind))) &&
		    is_same_subject(told[i], f))
			return true;
	return false;
}

/* Names with and without the kernel's mark are one file. */
static bool is_same_file(const char *a, const char *b)
{
	static const char mark[] = " (deleted)";
	size_t n = strlen(a), m = strlen(b), len = sizeof(mark) - 1;

	n -= n > len && !strcmp(a + n - len, mark) ? len : 0;
	m -= m > len && !strcmp(b + m - len, mark) ? len : 0;
	return n == m && !memcmp(a, b, n);
}

static bool is_placed_at(const struct diff_group *g, const struct layout_site *site)
{
	size_t i;

	for (i = 0; i < 2 && g->place[i]; i++)
		if (i >= site->nr_frames || strcmp(g->place[i], site->frames[i]))
			return false;
	return true;
}

/* What became executable, or writable, was often mapped elsewhere than where that was done. */
static bool has_new_perms(const struct compare *c, const struct diff_group *g)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++)
		if (c->diff.items[i].kind == DIFF_PERMS && c->diff.items[i].after == g)
			return strchr(g->perms, 'x') != NULL;
	return false;
}

static bool is_of_fact(const struct compare *c, const struct diff_group *g,
		       const struct layout_fact *f, const struct layout_site *site)
{
	if (f->kind == LAYOUT_FACT_EXEC_STACK)
		return is_stack(g->role) && has_new_perms(c, g);
	if (family(g->role) != family(f->role) || !is_same_file(g->name, f->name))
		return false;
	return is_object(g->role) || !site || is_placed_at(g, site) ||
	       (is_about_perms(f->kind) && has_new_perms(c, g));
}

static void settle_fact(struct compare *c, const struct layout_fact *f,
			const struct layout_site *site)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_group *g = group_of(&c->diff.items[i]);

		if (g && !c->is_settled[i] && is_of_fact(c, g, f, site))
			settle_region(c, g);
	}
}

static bool judge_fact(struct compare *c, const struct layout_fact *f)
{
	enum rule_id rule = RULE_FACT_FIRST + f->kind;
	struct rule_terms terms = judge_terms(c->j, rule);
	bool is_new = is_new_fact(c, f);
	const struct layout_site *site =
		f->site == LAYOUT_NO_SITE ? NULL : &c->j->after->sites[f->site];
	bool is_settled;

	if (terms.severity == SEVERITY_OFF || (!is_new && !terms.always))
		return false;
	is_settled = judge_tell(c->j, rule, &(struct judge_subject){
		.has_region = true, .role = f->role, .section = f->section, .name = f->name,
		.site = site,
	}, (struct judge_change){
		.before = judge_text("%s", !c->j->before ? "no baseline" : is_new ? "no" : "yes"),
		.after = judge_text("yes"),
		.accept = ACCEPT_ALLOW | (c->j->before && !terms.always ? ACCEPT_UPDATE : 0),
	});
	if (is_settled && is_new)
		settle_fact(c, f, site);
	return is_settled;
}

static void judge_facts(struct compare *c)
{
	const struct layout_program *p = c->j->after;
	const struct layout_fact **told = alloc_array(p->nr_facts, sizeof(struct layout_fact *));
	size_t i, k, nr = 0;

	for (k = 0; k < LAYOUT_NR_FACTS; k++)
		for (i = 0; i < p->nr_facts; i++) {
			const struct layout_fact *f = &p->facts[i];

			if (f->kind == fact_order[k] && !is_told(f, told, nr) && judge_fact(c, f))
				told[nr++] = f;
		}
	alloc_free(told);
}

/*
 * Regions.
 */

static struct judge_subject subject_of(const struct diff_item *item)
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
	uint64_t bound = judge_bound(&terms, from.max);

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

static bool judge_raw(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_ADDED && !strcmp(item->after->origin, "raw") &&
	       tell_change(c, RULE_MAPPING_RAW, item);
}

static bool judge_library(struct compare *c, const struct diff_item *item)
{
	return item->kind == DIFF_ADDED && item->after->role == LAYOUT_LIBRARY &&
	       item->after->section == LAYOUT_NO_SECTION && tell_change(c, RULE_LIBRARY_ADDED, item);
}

/* As many more mappings of malloc's as told sites have blocks more. */
static uint64_t known_vmas(const struct compare *c, const struct diff_item *item)
{
	return is_malloc(item->after->role) ? c->heap_blocks : 0;
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
	to = item->after->bytes;
	if (is_malloc(item->after->role))
		known = take(&c->heap_bytes, rise(from, to));
	return tell_growth(c, RULE_REGION_GROWN, item, from, to, known);
}

static bool judge_resident(struct compare *c, const struct diff_item *item)
{
	uint64_t known = 0;

	if (item->kind != DIFF_RESIDENT)
		return false;
	if (is_malloc(item->after->role))
		known = take(&c->heap_resident, rise(item->from, item->to));
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

/*
 * Threads: the number that was started counts. Which stacks are still mapped at the end, and in
 * which arena a thread got its memory, is chance.
 */

static bool is_new_stack(const struct diff_item *item)
{
	return (item->kind == DIFF_ADDED || item->kind == DIFF_MORE) &&
	       family(item->after->role) == LAYOUT_THREAD_STACK;
}

static struct span total_of(const struct layout_program *p, enum layout_total total)
{
	return p->has_total[total] ? p->total[total] : none;
}

/* The greatest change of stacks; else whichever stacks there are. */
static struct judge_subject thread_subject(const struct compare *c)
{
	struct judge_subject subject = { .has_region = true, .role = LAYOUT_THREAD_STACK, .name = "" };
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++)
		if (is_new_stack(&c->diff.items[i]) &&
		    c->diff.items[i].after->role == LAYOUT_THREAD_STACK)
			return subject_of(&c->diff.items[i]);
	for (i = 0; i < c->diff.nr_groups[1]; i++)
		if (c->diff.groups[1][i].role == LAYOUT_THREAD_STACK)
			subject.site = c->diff.groups[1][i].site;
	return subject;
}

static void settle_threads(struct compare *c)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_item *item = &c->diff.items[i];
		const struct diff_group *g = item->after;

		if (!g || c->is_settled[i])
			continue;
		if (is_new_stack(item))
			settle_region(c, g);
		else if (c->nr_threads && g->role == LAYOUT_ARENA &&
			 rise(item->before ? item->before->count : none, g->count) <=
				 ARENA_VMAS * c->nr_threads)
			settle_region(c, g);
	}
}

static void judge_threads(struct compare *c)
{
	struct span from = total_of(c->j->before, LAYOUT_threads);
	struct span to = total_of(c->j->after, LAYOUT_threads);
	struct rule_terms terms = judge_terms(c->j, RULE_THREAD_ADDED);
	uint64_t bound = judge_bound(&terms, from.max);
	struct judge_subject subject;

	if (terms.severity == SEVERITY_OFF)
		return;
	if (to.max > bound) {
		subject = thread_subject(c);
		judge_tell(c->j, RULE_THREAD_ADDED, &subject, (struct judge_change){
			.before = judge_figure(RULE_COUNT, from),
			.after = judge_figure(RULE_COUNT, to),
			.has_numbers = true, .from = from.max, .to = to.max, .limit = bound,
			.accept = ACCEPT_UPDATE | ACCEPT_TOLERANCE,
		});
		c->nr_threads = rise(from, to);
		c->explained[LAYOUT_threads] += c->nr_threads;
	}
	settle_threads(c);
}

/*
 * Heap sites.
 */

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
	c->heap_blocks += vmas;
	e[LAYOUT_heap_live_bytes] += bytes;
	e[LAYOUT_heap_live_blocks] += blocks;
	e[LAYOUT_heap_peak_bytes] += bytes;
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
			 h->live_bytes.max > judge_bound(terms, from.max);
	bool is_settled;

	if (!is_over && !has_grown)
		return;
	is_settled = judge_tell(c->j, RULE_HEAP_SITE, &(struct judge_subject){
		.has_region = true, .role = LAYOUT_HEAP, .name = "", .site = site,
	}, (struct judge_change){
		.before = item ? judge_figure(RULE_BYTES, from) : judge_text("any baseline"),
		.after = judge_figure(RULE_BYTES, h->live_bytes),
		.has_numbers = true, .from = from.max, .to = h->live_bytes.max,
		.limit = is_over ? terms->max.value : judge_bound(terms, from.max),
		.accept = ACCEPT_ALLOW | (is_over ? 0 : ACCEPT_UPDATE),
	});
	if (is_settled && item)
		explain_heap(c, site, rise(from, h->live_bytes));
}

static void judge_heap(struct compare *c)
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
	size_t i;

	diff_init(&c.diff, j->before, j->after);
	c.is_settled = alloc_array(c.diff.nr_items, sizeof(*c.is_settled));
	c.is_explained = alloc_array(c.diff.nr_items, sizeof(*c.is_explained));
	judge_facts(&c);
	if (j->before) {
		pass(&c, judge_raw);
		pass(&c, judge_library);
		judge_threads(&c);
	}
	judge_heap(&c);
	for (i = 0; j->before && i < sizeof(passes) / sizeof(passes[0]); i++)
		pass(&c, passes[i]);
	alloc_free(c.is_settled);
	alloc_free(c.is_explained);
	diff_fini(&c.diff);
}
