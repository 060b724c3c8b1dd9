/* SPDX-License-Identifier: MIT */
/*
 * Facts: what no program should have, each told once a subject.
 */
#include "check_compare.h"

#include <string.h>

#include "alloc.h"

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

void judge_facts(struct compare *c)
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
