/* SPDX-License-Identifier: MIT */
/*
 * Budgets: figures of a whole program against fixed limits, and against the baseline's once what
 * told regions added is taken off. A total that is told explains those that follow from it.
 */
#include "check_judge.h"

#include <string.h>

/* Causes before effects. */
static const enum layout_total order[] = {
	LAYOUT_threads, LAYOUT_vmas, LAYOUT_vmas_peak, LAYOUT_heap_live_bytes,
	LAYOUT_heap_live_blocks, LAYOUT_heap_thread_peaks_bytes, LAYOUT_heap_peak_bytes,
	LAYOUT_mapped_bytes,
	LAYOUT_mapped_peak_bytes, LAYOUT_resident_anon_bytes, LAYOUT_resident_file_bytes,
	LAYOUT_huge_bytes, LAYOUT_page_table_bytes, LAYOUT_max_map_count, LAYOUT_unexplained,
	LAYOUT_not_captured, LAYOUT_lost,
};
_Static_assert(sizeof(order) / sizeof(order[0]) == LAYOUT_NR_TOTALS, "a total is not judged");

static const struct {
	enum layout_total cause, effect;
} effects[] = {
	{ LAYOUT_vmas, LAYOUT_vmas_peak },
	{ LAYOUT_heap_live_bytes, LAYOUT_heap_peak_bytes },
	{ LAYOUT_heap_live_bytes, LAYOUT_heap_thread_peaks_bytes },
	{ LAYOUT_heap_live_bytes, LAYOUT_mapped_bytes },
	{ LAYOUT_heap_live_bytes, LAYOUT_mapped_peak_bytes },
	{ LAYOUT_heap_live_bytes, LAYOUT_resident_anon_bytes },
	{ LAYOUT_heap_peak_bytes, LAYOUT_mapped_bytes },
	{ LAYOUT_heap_thread_peaks_bytes, LAYOUT_mapped_bytes },
	{ LAYOUT_heap_peak_bytes, LAYOUT_mapped_peak_bytes },
	{ LAYOUT_heap_thread_peaks_bytes, LAYOUT_mapped_peak_bytes },
	{ LAYOUT_heap_peak_bytes, LAYOUT_resident_anon_bytes },
	{ LAYOUT_heap_thread_peaks_bytes, LAYOUT_resident_anon_bytes },
	{ LAYOUT_heap_thread_peaks_bytes, LAYOUT_heap_peak_bytes },
	{ LAYOUT_mapped_bytes, LAYOUT_mapped_peak_bytes },
};

static void explain_effects(uint64_t explained[LAYOUT_NR_TOTALS], enum layout_total cause,
			    uint64_t amount)
{
	size_t i;

	for (i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
		if (effects[i].cause == cause)
			explain(explained, effects[i].effect, amount);
	if (cause == LAYOUT_heap_live_bytes)
		explain(explained, LAYOUT_heap_live_blocks, amount);
}

static const struct judge_subject whole = { .has_region = false };

/* Return: whether it was told. */
static bool judge_limits(struct judge *j, enum rule_id rule, struct span now)
{
	struct rule_terms terms = judge_terms(j, rule);
	enum rule_unit unit = rule_infos[rule].unit;
	bool is_over = terms.max.is_set && now.max > terms.max.value;
	uint64_t limit = is_over ? terms.max.value : terms.min.value;

	if (terms.severity == SEVERITY_OFF ||
	    !(is_over || (terms.min.is_set && now.max < terms.min.value)))
		return false;
	return judge_tell(j, rule, &whole, (struct judge_change){
		.before = judge_text("%s", is_over ? "at most" : "at least"),
		.after = judge_figure(unit, now),
		.has_numbers = true, .from = limit, .to = now.max, .limit = limit,
		.accept = is_over ? ACCEPT_MAX : ACCEPT_MIN,
	});
}

/* Huge pages are the one thing of which less is worse. */
static void judge_huge(struct judge *j, struct span from, struct span to, uint64_t explained)
{
	struct rule_terms terms = judge_terms(j, RULE_huge_bytes);
	uint64_t slack = judge_bound(&terms, (struct span){ from.min, from.min }) - from.min;
	uint64_t fall = from.min > to.max ? from.min - to.max : 0;

	fall -= fall < explained ? fall : explained;
	if (fall > slack)
		judge_tell(j, RULE_huge_bytes, &whole, (struct judge_change){
			.before = judge_figure(RULE_BYTES, from),
			.after = judge_figure(RULE_BYTES, to),
			.has_numbers = true, .from = from.min, .to = to.max,
			.limit = from.min > slack ? from.min - slack : 0,
			.accept = ACCEPT_UPDATE | ACCEPT_TOLERANCE,
		});
}

static void judge_growth(struct judge *j, enum layout_total total,
			 uint64_t explained[LAYOUT_NR_TOTALS])
{
	struct span from = j->before->total[total], to = j->after->total[total];
	enum rule_id rule = RULE_BUDGET_FIRST + total;
	struct rule_terms terms = judge_terms(j, rule);
	uint64_t rise = to.max > from.max ? to.max - from.max : 0;
	uint64_t bound = judge_bound(&terms, from);

	if (terms.severity == SEVERITY_OFF || (!terms.percent.is_set && !terms.absolute.is_set))
		return;
	if (total == LAYOUT_huge_bytes) {
		judge_huge(j, from, to, explained[total]);
		return;
	}
	rise -= rise < explained[total] ? rise : explained[total];
	if (add_capped(from.max, rise) <= bound)
		return;
	judge_tell(j, rule, &whole, (struct judge_change){
		.before = judge_figure(rule_infos[rule].unit, from),
		.after = judge_figure(rule_infos[rule].unit, to),
		.has_numbers = true, .from = from.max, .to = to.max, .limit = bound,
		.accept = ACCEPT_UPDATE | ACCEPT_TOLERANCE,
	});
	explain_effects(explained, total, rise);
}

static void judge_share(struct judge *j, enum rule_id rule, enum layout_total part,
			enum layout_total all)
{
	const struct layout_program *p = j->after;
	uint64_t share;

	if (!p->has_total[part] || !p->has_total[all] || !p->total[all].max)
		return;
	share = (uint64_t)((unsigned __int128)p->total[part].max * 100 / p->total[all].max);
	judge_limits(j, rule, (struct span){ share, share });
}

/* A record that is not complete, or was never compared with the kernel, proves nothing. */
static void judge_complete(struct judge *j)
{
	static const struct {
		enum layout_total total;
		const char *what;
	} parts[] = {
		{ LAYOUT_unexplained, "unexplained" }, { LAYOUT_not_captured, "not captured" },
		{ LAYOUT_lost, "lost" },
	};
	char text[200] = "";
	bool is_complete = true;
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		bool is_known = j->after->has_total[parts[i].total];
		uint64_t n = j->after->total[parts[i].total].max;
		size_t len = strlen(text);

		if (is_known && !n)
			continue;
		is_complete = false;
		if (is_known)
			snprintf(text + len, sizeof(text) - len, "%s%ju %s", len ? ", " : "",
				 (uintmax_t)n, parts[i].what);
		else
			snprintf(text + len, sizeof(text) - len, "%s%s: unknown", len ? ", " : "",
				 parts[i].what);
	}
	if (!is_complete)
		judge_tell(j, RULE_INCOMPLETE, &whole, (struct judge_change){
			.before = judge_text("none"), .after = judge_text("%s", text),
		});
}

void judge_totals(struct judge *j, uint64_t explained[LAYOUT_NR_TOTALS])
{
	size_t i;

	for (i = 0; i < LAYOUT_NR_TOTALS; i++) {
		enum layout_total total = order[i];

		if (!j->after->has_total[total])
			continue;
		if (judge_limits(j, RULE_BUDGET_FIRST + total, j->after->total[total]))
			continue;
		if (j->before && j->before->has_total[total])
			judge_growth(j, total, explained);
	}
	judge_share(j, RULE_MAP_COUNT_SHARE, LAYOUT_vmas_peak, LAYOUT_max_map_count);
	judge_share(j, RULE_HUGE_SHARE, LAYOUT_huge_bytes, LAYOUT_resident_anon_bytes);
	judge_complete(j);
}
