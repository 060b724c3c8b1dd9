/* SPDX-License-Identifier: MIT */
/*
 * heap: what was allocated, when, and by whom: call stacks, or modules, functions, threads, sizes,
 * ranked by one of their figures.
 */
#include "view_heap.h"

#include "alloc.h"
#include "json.h"
#include "report.h"

enum { DEFAULT_GROUPS = 20 };

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
	heap_groups_fini(&v->groups);
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

const char *view_heap_thread_name(const struct view_heap *v, int64_t tid)
{
	char **name = table_find(&v->name_of_tid, tid);

	return name ? *name : NULL;
}

static void collect(struct trace *tr, struct view_heap *v)
{
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_GROUPS;

	v->sort = tr->opt->heap_sort;
	if (!tr->opt->has_heap_sort)
		v->sort = tr->opt->at.kind == MOMENT_END ? HEAP_SORT_PEAK : HEAP_SORT_LIVE;
	v->all = heap_whole(&tr->heap);
	heap_groups_make(&v->groups, tr, tr->opt->heap_by);
	heap_groups_sort(&v->groups, v->sort);
	v->groups.nr_shown = max && max < v->groups.nr ? max : v->groups.nr;
}

static void heap_text_all(struct trace *tr, void *state)
{
	collect(tr, state);
	view_heap_print(tr, state);
}

static struct json_t *heap_json(struct trace *tr, void *state)
{
	collect(tr, state);
	return view_heap_json(tr, state);
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
