/* SPDX-License-Identifier: MIT */
/*
 * The view heap for programs. Other programs depend on these members: add, don't rename.
 */
#include <string.h>

#include "heap_findings_show.h"
#include "heap_timeline.h"
#include "json.h"
#include "report.h"
#include "view_heap.h"

static struct json_t *json_classes(const struct heap *h)
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

static struct json_t *json_totals(const struct trace *tr, const struct heap_sum *all)
{
	const struct heap *h = &tr->heap;
	struct json_t *obj = js_object();

	js_set_str(obj, "mode", tr->header.heap);
	if (h->sample_bytes)
		js_set_u64(obj, "sample_bytes", h->sample_bytes);
	js_set_u64(obj, "t", tr->heap_t);
	heap_json_sum(obj, all);
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

static struct json_t *json_group(struct trace *tr, const struct view_heap *v,
				 const struct heap_group *g)
{
	double peak = heap_value(&v->all, HEAP_PEAK_BYTES);
	enum heap_by by = v->groups.by;
	struct json_t *obj = js_object();

	if (by == HEAP_BY_SIZE)
		js_set_u64(obj, "up_to", g->up_to);
	if (by == HEAP_BY_THREAD)
		js_set(obj, "tid", js_signed(g->tid));
	if (by == HEAP_BY_THREAD && view_heap_thread_name(v, g->tid))
		js_set_str(obj, "name", view_heap_thread_name(v, g->tid));
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

struct json_t *view_heap_json(struct trace *tr, const struct view_heap *v)
{
	struct json_t *obj = json_totals(tr, &v->all), *list = js_array();
	const struct heap_groups *g = &v->groups;
	size_t i;

	for (i = 0; i < g->nr_shown; i++)
		js_append(list, json_group(tr, v, &g->list[i]));
	js_set(obj, "findings", heap_findings_json(tr));
	js_set(obj, "classes", json_classes(&tr->heap));
	if (tr->opt->timeline)
		js_set(obj, "timeline", heap_timeline_json(&tr->heap.series));
	js_set_str(obj, "by", heap_by_names[g->by]);
	js_set_str(obj, "sort", heap_sort_names[v->sort]);
	js_set_u64(obj, "groups", g->nr);
	js_set(obj, "top", list);
	return obj;
}
