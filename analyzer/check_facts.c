/* SPDX-License-Identifier: MIT */
/*
 * Facts: what no program should have, each told once a subject.
 */
#include "check_compare.h"

#include <string.h>

#include "alloc.h"
#include "hash.h"

static bool is_stack(enum layout_role role)
{
	return role == LAYOUT_STACK || family(role) == LAYOUT_THREAD_STACK;
}

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

/* Executable stacks are one decision of the linker, whatever the number of threads. */
static bool is_same_subject(const struct layout_fact *a, const struct layout_fact *b)
{
	if (is_stack(a->role) && is_stack(b->role) && is_about_perms(a->kind))
		return true;
	return a->role == b->role && !strcmp(a->name, b->name) &&
	       (is_object(a->role) || a->role == LAYOUT_FILE || a->site == b->site);
}

/* What was told, with a number that is the same for the same subject. */
struct told_fact {
	const struct layout_fact *fact;
	uint64_t key;
};

static uint64_t fact_key(const struct layout_fact *f)
{
	if (is_stack(f->role) && is_about_perms(f->kind))
		return 0;
	return hash_line(HASH_START, f->name);
}

static bool is_told(const struct layout_fact *f, const struct told_fact *told, size_t nr)
{
	uint64_t key = fact_key(f);
	size_t i;

	for (i = 0; i < nr; i++)
		if (told[i].key == key &&
		    (told[i].fact->kind == f->kind ||
		     (is_about_perms(told[i].fact->kind) && is_about_perms(f->kind))) &&
		    is_same_subject(told[i].fact, f))
			return true;
	return false;
}

struct fact_suit {
	const struct layout_fact *fact;
	const struct layout_site *site;
};

static bool is_fact_of(const struct diff_group *g, const void *arg)
{
	const struct fact_suit *f = arg;

	return family(g->role) == family(f->fact->role) && is_same_file(g->name, f->fact->name) &&
	       (is_object(g->role) || !f->site || is_placed_at(g, f->site));
}

/* What became executable, or writable, was often mapped elsewhere than where that was done. */
static bool is_of_fact(const struct compare *c, const struct diff_item *item,
		       const struct fact_suit *f)
{
	const struct diff_group *g = group_of(item);
	bool has_new_perms = item->after && c->has_new_perms[region_index(c, item)];

	if (f->fact->kind == LAYOUT_FACT_EXEC_STACK)
		return has_new_perms && is_stack(g->role);
	if (f->site && !has_new_perms)
		return false;		/* settle_placed() found it */
	return is_fact_of(g, f) ||
	       (has_new_perms && is_about_perms(f->fact->kind) &&
		family(g->role) == family(f->fact->role) && is_same_file(g->name, f->fact->name));
}

static void settle_fact(struct compare *c, const struct layout_fact *f,
			const struct layout_site *site)
{
	const struct fact_suit suit = { f, site };
	size_t i;

	if (f->kind != LAYOUT_FACT_EXEC_STACK)
		settle_placed(c, f->role, f->name, site, is_fact_of, &suit);
	/* The rest is not found by its place. */
	for (i = 0; (!site || is_about_perms(f->kind)) && i < c->diff.nr_items; i++) {
		const struct diff_item *item = &c->diff.items[i];

		if (!c->is_settled[i] && group_of(item) && is_of_fact(c, item, &suit))
			settle_region(c, group_of(item));
	}
}

static bool judge_fact(struct compare *c, const struct layout_fact *f, bool is_new)
{
	enum rule_id rule = RULE_FACT_FIRST + f->kind;
	struct rule_terms terms = judge_terms(c->j, rule);
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

/* For each fact: whether the baseline hasn't got it. */
static bool *new_facts(const struct compare *c)
{
	const struct layout_program *p = c->j->after;
	bool *is_new = alloc_array(p->nr_facts, sizeof(*is_new));
	size_t i;

	for (i = 0; i < p->nr_facts; i++)
		is_new[i] = !c->j->before;
	for (i = 0; i < c->diff.nr_items; i++)
		if (c->diff.items[i].kind == DIFF_FACT)
			is_new[c->diff.items[i].fact - p->facts] = true;
	return is_new;
}

void judge_facts(struct compare *c)
{
	const struct layout_program *p = c->j->after;
	struct told_fact *told = alloc_array(p->nr_facts, sizeof(*told));
	bool *is_new = new_facts(c);
	size_t i, k, nr = 0;

	for (k = 0; k < LAYOUT_NR_FACTS; k++)
		for (i = 0; i < p->nr_facts; i++) {
			const struct layout_fact *f = &p->facts[i];

			if (f->kind == fact_order[k] && !is_told(f, told, nr) &&
			    judge_fact(c, f, is_new[i]))
				told[nr++] = (struct told_fact){ f, fact_key(f) };
		}
	alloc_free(is_new);
	alloc_free(told);
}
