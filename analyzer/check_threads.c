/* SPDX-License-Identifier: MIT */
/*
 * Threads: the number that was started counts. Which stacks are still mapped at the end, and in
 * which arena a thread got its memory, is chance.
 */
#include "check_compare.h"

enum {
	ARENA_VMAS = 3,			/* a thread's arena: in use, reserved, a second heap */
	/* Reserved for a moment, so that an arena can begin at a multiple of its size. */
	ARENA_BYTES = 64 << 20,
};

static const struct span none = { 0, 0 };

static bool is_new_stack(const struct diff_item *item)
{
	return (item->kind == DIFF_ADDED || item->kind == DIFF_MORE) &&
	       family(item->after->role) == LAYOUT_THREAD_STACK;
}

static struct span total_of(const struct layout_program *p, enum layout_total total)
{
	return p->has_total[total] ? p->total[total] : none;
}

static void tell_threads(struct compare *c, const struct layout_site *site, struct span from,
			 struct span to, uint64_t bound)
{
	const struct judge_subject subject = {
		.has_region = true, .role = LAYOUT_THREAD_STACK, .name = "", .site = site,
	};

	judge_tell(c->j, RULE_THREAD_ADDED, &subject, (struct judge_change){
		.before = judge_figure(RULE_COUNT, from),
		.after = judge_figure(RULE_COUNT, to),
		.has_numbers = true, .from = from.max, .to = to.max, .limit = bound,
		.accept = ACCEPT_UPDATE | ACCEPT_TOLERANCE,
	});
}

/* Each place that made more; all of them in one if the trace does not know who. */
static void tell_makers(struct compare *c, const struct rule_terms *terms, struct span from,
			struct span to)
{
	bool is_told = false;
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_item *item = &c->diff.items[i];
		uint64_t bound = judge_bound(terms, item->from);

		if (item->kind != DIFF_THREADS || !item->site || item->to.max <= bound)
			continue;
		tell_threads(c, item->site, item->from, item->to, bound);
		is_told = true;
	}
	if (!is_told)
		tell_threads(c, NULL, from, to, judge_bound(terms, from));
}

static void settle_threads(struct compare *c, uint64_t nr_threads)
{
	size_t i;

	for (i = 0; i < c->diff.nr_items; i++) {
		const struct diff_item *item = &c->diff.items[i];
		const struct diff_group *g = item->after;

		if (!g || c->is_settled[i])
			continue;
		if (is_new_stack(item))
			settle_region(c, g);
		else if (nr_threads && g->role == LAYOUT_ARENA &&
			 rise(item->before ? item->before->count : none, g->count) <=
				 ARENA_VMAS * (nr_threads < UINT32_MAX ? nr_threads : UINT32_MAX))
			settle_region(c, g);
	}
}

void judge_threads(struct compare *c)
{
	struct span from = total_of(c->j->before, LAYOUT_threads);
	struct span to = total_of(c->j->after, LAYOUT_threads);
	struct rule_terms terms = judge_terms(c->j, RULE_THREAD_ADDED);
	uint64_t bound = judge_bound(&terms, from);
	uint64_t nr_threads = 0;

	if (terms.severity == SEVERITY_OFF)
		return;
	if (to.max > bound) {
		tell_makers(c, &terms, from, to);
		nr_threads = rise(from, to);
		explain(c->explained, LAYOUT_threads, nr_threads);
	}
	explain(c->explained, LAYOUT_mapped_peak_bytes,
		to.max < UINT64_MAX / ARENA_BYTES ? to.max * ARENA_BYTES : UINT64_MAX);
	settle_threads(c, nr_threads);
}
