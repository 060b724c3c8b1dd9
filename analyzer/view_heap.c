/* SPDX-License-Identifier: MIT */
/*
 * heap: what was allocated, when, and by whom: call stacks, or modules, functions, threads, sizes,
 * ranked by one of their figures.
 */
#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "heap_figures.h"
#include "heap_findings_show.h"
#include "heap_groups.h"
#include "heap_timeline.h"
#include "json.h"
#include "out.h"
#include "report.h"
#include "table.h"

enum { DEFAULT_GROUPS = 20 };

struct view_heap {
	struct table name_of_tid;	/* tid -> char *, allocated */
};

static void *heap_start(struct trace *tr)
{
	struct view_heap *v = alloc_zeroed(sizeof(*v));

	(void)tr;
	table_init(&v->name_of_tid, sizeof(char *));
	return v;
}

static void heap_free(void *state)
{
	struct view_heap *v = state;
	uint64_t tid;
	size_t i;

	for (i = 0; i < v->name_of_tid.cap; i++) {
		char **name = table_at(&v->name_of_tid, i, &tid);

		if (name)
			alloc_free(*name);
	}
	table_fini(&v->name_of_tid);
	alloc_free(v);
}

static void heap_record(struct trace *tr, void *state, const struct record *rec)
{
	struct view_heap *v = state;
	bool is_new;
	char **name;

	(void)tr;
	if (rec->ev != TRACE_THREAD || !rec->thread.name)
		return;
	name = table_put(&v->name_of_tid, rec->thread.tid, &is_new);
	alloc_free(*name);
	*name = alloc_string(rec->thread.name);
}

static const char *thread_name(const struct view_heap *v, int64_t tid)
{
	char **name = table_find(&v->name_of_tid, tid);

	return name ? *name : NULL;
}

/* Whether what is live is that of an earlier moment than the end. */
static bool is_moment(const struct trace *tr)
{
	return tr->opt->at.kind != MOMENT_END;
}

static enum heap_sort sort_of(const struct trace *tr)
{
	if (tr->opt->has_heap_sort)
		return tr->opt->heap_sort;
	return is_moment(tr) ? HEAP_SORT_LIVE : HEAP_SORT_PEAK;
}

static struct heap_groups make_groups(struct trace *tr)
{
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_GROUPS;
	struct heap_groups g;

	heap_groups_make(&g, tr, tr->opt->heap_by);
	heap_groups_sort(&g, sort_of(tr));
	g.nr_shown = max && max < g.nr ? max : g.nr;
	return g;
}

static void print_totals(struct trace *tr)
{
	struct heap *h = &tr->heap;
	struct heap_sum all = heap_whole(h);
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX], t[OUT_SIZE_MAX];

	if (!strcmp(tr->header.heap, "off"))
		fputs("the heap was not recorded in this trace\n", tr->out);
	if (h->sample_bytes)
		fprintf(tr->out, "one block for about %s was recorded: figures with ± are estimates "
			"and their standard errors\n", out_size(t, h->sample_bytes));
	fprintf(tr->out, "allocations %s (%s asked for), frees %" PRIu64 ", of these by realloc %"
		PRIu64 "\n", heap_text(a, &all, HEAP_ALLOCATIONS), heap_text(b, &all, HEAP_BYTES),
		h->frees, h->reallocations);
	if (!h->sample_bytes)
		fprintf(tr->out, "temporary %" PRIu64 " (%s): freed by their thread before it "
			"allocated again\n", h->temporary, heap_text_temporary(a, &all));
	fprintf(tr->out, "failed %" PRIu64 ", frees of blocks from before the trace %" PRIu64 "\n",
		h->failed, h->unknown_frees);
	fprintf(tr->out, "peak %s in %s blocks at %s s\n", heap_text(a, &all, HEAP_PEAK_BYTES),
		heap_text(b, &all, HEAP_PEAK_BLOCKS), out_time(t, h->peak_t));
	if (is_moment(tr))
		fprintf(tr->out, "live at %s s ", out_time(t, tr->heap_t));
	else
		fputs("live at the end ", tr->out);
	fprintf(tr->out, "%s in %s blocks\n", heap_text(a, &all, HEAP_LIVE_BYTES),
		heap_text(b, &all, HEAP_LIVE_BLOCKS));
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

static void print_name(const struct view_heap *v, enum heap_by by, const struct heap_group *g,
		       FILE *out)
{
	const char *name = by == HEAP_BY_THREAD ? thread_name(v, g->tid) : g->name;

	fputs("  ", out);
	if (by == HEAP_BY_THREAD)
		fprintf(out, "%" PRId64 "%s", g->tid, name ? " " : "");
	if (by == HEAP_BY_SIZE)
		fprintf(out, "up to %" PRIu64, g->up_to);
	if (name)
		out_name(out, name);
	fputc('\n', out);
}

static void print_row(struct trace *tr, const struct view_heap *v, enum heap_by by,
		      const struct heap_group *g, const struct heap_sum *all)
{
	enum heap_figure figure = figure_of(sort_of(tr));
	int width = g->sum.estimate ? 22 : 11;
	char a[HEAP_FIGURE_MAX];
	const struct heap_sum *s = &g->sum;

	/* A thread's peak is at another time than the whole's. */
	heap_text_share(a, heap_value(s, figure),
			by == HEAP_BY_THREAD && figure == HEAP_PEAK_BYTES ?
				0 : heap_value(all, figure));
	fprintf(tr->out, "%7s", a);
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_PEAK_BYTES));
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_LIVE_BYTES));
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_BYTES));
	fprintf(tr->out, " %*s", width, heap_text(a, s, HEAP_ALLOCATIONS));
	fprintf(tr->out, " %9s", heap_text_temporary(a, s));
	print_name(v, by, g, tr->out);
}

static void print_groups(struct trace *tr, const struct view_heap *v)
{
	struct heap_groups g = make_groups(tr);
	struct heap_sum all = heap_whole(&tr->heap);
	int width = all.estimate ? 21 : 11;	/* the sign in rows is two bytes */
	size_t i;

	if (g.by != HEAP_BY_STACK)
		fprintf(tr->out, "\n%7s %*s %*s %*s %*s %9s  %s\n", "share", width,
			g.by == HEAP_BY_THREAD ? "own peak" : "peak", width, "live", width,
			"bytes", width, "allocations", "temporary", heap_by_names[g.by]);
	for (i = 0; i < g.nr_shown; i++) {
		if (g.by == HEAP_BY_STACK)
			print_stack(tr, &g.list[i], &all);
		else
			print_row(tr, v, g.by, &g.list[i], &all);
	}
	if (g.nr_shown < g.nr)
		fprintf(tr->out, "\nand %zu more (--limit 0 shows all)\n", g.nr - g.nr_shown);
	heap_groups_fini(&g);
}

static void heap_text_all(struct trace *tr, void *state)
{
	print_totals(tr);
	if (tr->opt->timeline)
		heap_timeline_print(&tr->heap.series, tr->out);
	print_groups(tr, state);
	symbols_print_notes(tr->symbols, tr->out);
}

static struct json_t *json_classes(struct heap *h)
{
	struct json_t *list = js_array();
	unsigned int i;

	for (i = 0; i < HEAP_SIZE_CLASSES; i++) {
		struct json_t *obj;

		if (!h->classes[i].allocations)
			continue;
		obj = js_object();
		js_set_u64(obj, "up_to", heap_class_max(i));
		heap_json_sum(obj, &h->classes[i]);
		js_append(list, obj);
	}
	return list;
}

static struct json_t *json_totals(struct trace *tr)
{
	struct heap *h = &tr->heap;
	struct heap_sum all = heap_whole(h);
	struct json_t *obj = js_object();

	js_set_str(obj, "mode", tr->header.heap);
	if (h->sample_bytes)
		js_set_u64(obj, "sample_bytes", h->sample_bytes);
	js_set_u64(obj, "t", tr->heap_t);
	heap_json_sum(obj, &all);
	js_set_u64(obj, "frees", h->frees);
	js_set_u64(obj, "reallocations", h->reallocations);
	js_set_u64(obj, "failed", h->failed);
	js_set_u64(obj, "unknown_frees", h->unknown_frees);
	js_set_u64(obj, "double_frees", h->double_frees);
	js_set_u64(obj, "invalid_frees", h->invalid_frees);
	js_set_u64(obj, "peak_t", h->peak_t);
	js_set_u64(obj, "sites", h->nr_sites);
	return obj;
}

static struct json_t *json_group(struct trace *tr, const struct view_heap *v, enum heap_by by,
				 const struct heap_group *g, const struct heap_sum *all)
{
	double peak = heap_value(all, HEAP_PEAK_BYTES);
	struct json_t *obj = js_object();

	if (by == HEAP_BY_SIZE)
		js_set_u64(obj, "up_to", g->up_to);
	if (by == HEAP_BY_THREAD)
		js_set(obj, "tid", js_signed(g->tid));
	if (by == HEAP_BY_THREAD && thread_name(v, g->tid))
		js_set_str(obj, "name", thread_name(v, g->tid));
	if (g->name) {
		js_set_str(obj, "name", g->name);
		js_set_u64(obj, "stacks", g->stacks);
	}
	heap_json_sum(obj, &g->sum);
	if (by != HEAP_BY_THREAD)
		js_set(obj, "peak_share",
		       js_real(peak > 0 ? heap_value(&g->sum, HEAP_PEAK_BYTES) / peak : 0));
	if (by == HEAP_BY_STACK)
		js_set(obj, "stack", symbols_json_stack(tr->symbols, g->sum.stack));
	return obj;
}

static struct json_t *heap_json(struct trace *tr, void *state)
{
	struct json_t *obj = json_totals(tr), *list = js_array();
	struct heap_sum all = heap_whole(&tr->heap);
	struct heap_groups g = make_groups(tr);
	size_t i;

	for (i = 0; i < g.nr_shown; i++)
		js_append(list, json_group(tr, state, g.by, &g.list[i], &all));
	js_set(obj, "findings", heap_findings_json(tr));
	js_set(obj, "classes", json_classes(&tr->heap));
	if (tr->opt->timeline)
		js_set(obj, "timeline", heap_timeline_json(&tr->heap.series));
	js_set_str(obj, "by", heap_by_names[g.by]);
	js_set_str(obj, "sort", heap_sort_names[sort_of(tr)]);
	js_set_u64(obj, "groups", g.nr);
	js_set(obj, "top", list);
	heap_groups_fini(&g);
	return obj;
}

const struct view view_heap = {
	.name = "heap",
	.brief = "totals of the heap and who allocated what was live at its peak",
	.help = "  --by WHAT        sum up by stack (default), module, function, thread or size\n"
		"  --sort FIGURE    the greatest first, by peak (default), live, allocations, bytes or\n"
		"                   temporary\n"
		"  --at start|end|peak|EVENT|TIME  what was live at that moment; the peak is the heap's\n"
		"  --timeline       add how the heap went over time\n"
		"  --limit N        show N groups (20; 0: all)\n",
	.takes = "abltr",
	.flags = VIEW_HEAP,
	.start = heap_start,
	.record = heap_record,
	.text = heap_text_all,
	.json = heap_json,
	.free = heap_free,
};
