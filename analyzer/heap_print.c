/* SPDX-License-Identifier: MIT */
/*
 * The view heap for people.
 */
#include <inttypes.h>
#include <string.h>

#include "heap_findings_show.h"
#include "heap_timeline.h"
#include "out.h"
#include "report.h"
#include "view_heap.h"

static void print_totals(struct trace *tr, const struct heap_sum *all)
{
	const struct heap *h = &tr->heap;
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX], t[OUT_SIZE_MAX];

	if (!strcmp(tr->header.heap, "off"))
		fputs("the heap was not recorded in this trace\n", tr->out);
	if (h->sample_bytes)
		fprintf(tr->out, "one block for about %s was recorded: figures with ± are estimates "
			"and their standard errors\n", out_size(t, h->sample_bytes));
	fprintf(tr->out, "allocations %s (%s asked for), frees %" PRIu64 ", of these by realloc %"
		PRIu64 "\n", heap_text(a, all, HEAP_ALLOCATIONS), heap_text(b, all, HEAP_BYTES),
		h->frees, h->reallocations);
	if (!h->sample_bytes)
		fprintf(tr->out, "temporary %" PRIu64 " (%s): freed by their thread before it "
			"allocated again\n", h->temporary, heap_text_temporary(a, all));
	fprintf(tr->out, "failed %" PRIu64 ", frees of blocks from before the trace %" PRIu64 "\n",
		h->failed, h->unknown_frees);
	fprintf(tr->out, "peak %s in %s blocks at %s s\n", heap_text(a, all, HEAP_PEAK_BYTES),
		heap_text(b, all, HEAP_PEAK_BLOCKS), out_time(t, h->peak_t));
	if (tr->opt->at.kind != MOMENT_END)
		fprintf(tr->out, "live at %s s ", out_time(t, tr->heap_t));
	else
		fputs("live at the end ", tr->out);
	fprintf(tr->out, "%s in %s blocks\n", heap_text(a, all, HEAP_LIVE_BYTES),
		heap_text(b, all, HEAP_LIVE_BLOCKS));
	heap_findings_print(tr);
}

/* What the ranking is by, and what of it a group has a share of. */
static enum heap_figure figure_of(enum heap_sort sort)
{
	static const enum heap_figure figures[HEAP_NR_SORTS] = {
		[HEAP_SORT_PEAK] = HEAP_PEAK_BYTES, [HEAP_SORT_LIVE] = HEAP_LIVE_BYTES,
		[HEAP_SORT_ALLOCATIONS] = HEAP_ALLOCATIONS, [HEAP_SORT_BYTES] = HEAP_BYTES,
		[HEAP_SORT_TEMPORARY] = HEAP_ALLOCATIONS,
	};

	return figures[sort];
}

static void print_stack(struct trace *tr, const struct heap_group *g, const struct heap_sum *all)
{
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX], c[HEAP_FIGURE_MAX];
	const struct heap_sum *s = &g->sum;

	fprintf(tr->out, "\n%s in %s blocks at the peak (%s)", heap_text(a, s, HEAP_PEAK_BYTES),
		heap_text(b, s, HEAP_PEAK_BLOCKS),
		heap_text_share(c, heap_value(s, HEAP_PEAK_BYTES),
				heap_value(all, HEAP_PEAK_BYTES)));
	fprintf(tr->out, "; %s in %s live\n", heap_text(a, s, HEAP_LIVE_BYTES),
		heap_text(b, s, HEAP_LIVE_BLOCKS));
	fprintf(tr->out, "%s allocations, %s in all", heap_text(a, s, HEAP_ALLOCATIONS),
		heap_text(b, s, HEAP_BYTES));
	if (!s->estimate)
		fprintf(tr->out, ", %s temporary", heap_text_temporary(c, s));
	fputc('\n', tr->out);
	symbols_print_stack(tr->symbols, s->stack, "    ", 0, tr->out);
}

static void print_name(const struct view_heap *v, const struct heap_group *g, FILE *out)
{
	enum heap_by by = v->groups.by;
	const char *name = by == HEAP_BY_THREAD ? view_heap_thread_name(v, g->tid) : g->name;

	fputs("  ", out);
	if (by == HEAP_BY_THREAD)
		fprintf(out, "%" PRId64 "%s", g->tid, name ? " " : "");
	if (by == HEAP_BY_SIZE)
		fprintf(out, "up to %" PRIu64, g->up_to);
	if (name)
		out_name(out, name);
	fputc('\n', out);
}

static void print_row(struct trace *tr, const struct view_heap *v, const struct heap_group *g)
{
	enum heap_figure figure = figure_of(v->sort);
	int width = g->sum.estimate ? 22 : 11;
	char a[HEAP_FIGURE_MAX];
	const struct heap_sum *s = &g->sum;

	/* A thread's peak is at another time than the whole's. */
	heap_text_share(a, heap_value(s, figure),
			v->groups.by == HEAP_BY_THREAD && figure == HEAP_PEAK_BYTES ?
				0 : heap_value(&v->all, figure));
	fprintf(tr->out, "%7s", a);
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_PEAK_BYTES));
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_LIVE_BYTES));
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_BYTES));
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_ALLOCATIONS));
	fprintf(tr->out, " %9s", heap_text_temporary(a, s));
	print_name(v, g, tr->out);
}

static void print_groups(struct trace *tr, const struct view_heap *v)
{
	const struct heap_groups *g = &v->groups;
	int width = v->all.estimate ? 21 : 11;	/* the sign in rows is two bytes */
	size_t i;

	if (g->by != HEAP_BY_STACK)
		fprintf(tr->out, "\n%7s %*s %*s %*s %*s %9s  %s\n", "share", width,
			g->by == HEAP_BY_THREAD ? "own peak" : "peak", width, "live", width,
			"bytes", width, "allocations", "temporary", heap_by_names[g->by]);
	for (i = 0; i < g->nr_shown; i++) {
		if (g->by == HEAP_BY_STACK)
			print_stack(tr, &g->list[i], &v->all);
		else
			print_row(tr, v, &g->list[i]);
	}
	if (g->nr_shown < g->nr)
		fprintf(tr->out, "\nand %zu more (--limit 0 shows all)\n", g->nr - g->nr_shown);
}

void view_heap_print(struct trace *tr, const struct view_heap *v)
{
	print_totals(tr, &v->all);
	if (tr->opt->timeline)
		heap_timeline_print(&tr->heap.series, tr->out);
	print_groups(tr, v);
	symbols_print_notes(tr->symbols, tr->out);
}
