/* SPDX-License-Identifier: MIT */
/*
 * The view of frames for programs. Sizes are bytes; what is not known is null, what is 0 is mostly
 * left out of the parts that there are many of.
 */
#include "frames_json.h"

#include <stdlib.h>

#include "alloc.h"
#include "json.h"

enum { DEFAULT_MAPPINGS = 10000 };	/* a few KiB each */

/* Of @nr mappings. */
static size_t nr_shown(const struct trace *tr, size_t nr)
{
	uint64_t limit = tr->opt->has_limit ? tr->opt->limit : DEFAULT_MAPPINGS;

	return limit && limit < nr ? limit : nr;
}

/* What takes frame numbers to know. */
static void set_placed(struct json_t *obj, const char *key, const struct physmap *map, uint64_t pages)
{
	if (map->pfn_visible)
		frames_set_pages(obj, key, pages);
	else
		js_set(obj, key, js_null());
}

static struct json_t *json_zones(const struct physmap *map, const struct frames_sum *sum)
{
	struct json_t *list = js_array();
	size_t i;

	for (i = 0; i < map->nr_zones; i++) {
		const struct rec_zone *zone = &map->zones[i].rec;
		struct json_t *obj = js_object();

		js_set_u64(obj, "node", zone->node);
		js_set_str(obj, "zone", map->zones[i].name);
		set_placed(obj, "bytes", map, sum->zones[i]);
		frames_set_pages(obj, "present_bytes", zone->present);
		frames_set_pages(obj, "managed_bytes", zone->managed);
		frames_set_pages(obj, "free_bytes", zone->free);
		frames_set_pages(obj, "min_bytes", zone->min);
		frames_set_pages(obj, "low_bytes", zone->low);
		frames_set_pages(obj, "high_bytes", zone->high);
		js_append(list, obj);
	}
	return list;
}

/* Those of a vma, as far as it has any. */
static struct json_t *json_own_zones(const struct physmap *map, const struct frames_sum *sum)
{
	struct json_t *list = js_array();
	size_t i;

	for (i = 0; i <= map->nr_zones; i++) {
		struct json_t *obj;

		if (!sum->zones[i])
			continue;
		obj = js_object();
		js_set(obj, "node", i < map->nr_zones ? js_number(map->zones[i].rec.node) : js_null());
		js_set_str(obj, "zone", i < map->nr_zones ? map->zones[i].name : NULL);
		frames_set_pages(obj, "bytes", sum->zones[i]);
		js_append(list, obj);
	}
	return list;
}

static struct json_t *json_nodes(const struct physmap *map, const struct frames_sum *sum)
{
	struct json_t *list = js_array();
	size_t i;

	for (i = 0; i < map->nr_nodes; i++) {
		const struct phys_node *node = &map->nodes[i];
		struct json_t *obj = js_object();

		js_set_u64(obj, "node", node->node);
		js_set_str(obj, "cpus", node->cpus);
		set_placed(obj, "bytes", map, frames_sum_node(sum, map, node->node));
		js_set_u64(obj, "total_bytes", node->total_bytes);
		js_set_u64(obj, "free_bytes", node->free_bytes);
		js_append(list, obj);
	}
	return list;
}

static struct json_t *json_kernel(const struct rec_figures *f)
{
	static const enum rec_figure shown[] = {
		FIGURE_rss_bytes, FIGURE_rss_anon_bytes, FIGURE_rss_file_bytes,
		FIGURE_rss_shmem_bytes, FIGURE_swap_bytes, FIGURE_pss_bytes, FIGURE_uss_bytes,
		FIGURE_swap_pss_bytes,
	};
	struct json_t *obj = js_object();
	size_t i;

	for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (f->known[shown[i]])
			js_set_u64(obj, rec_figure_names[shown[i]], f->value[shown[i]]);
	return obj;
}

static struct json_t *json_scan(const struct frames_view *v)
{
	const struct rec_frames_end *end = &v->maps.now.end;
	struct json_t *obj;

	if (!v->maps.now.has_end)
		return js_null();
	obj = js_object();
	js_set_u64(obj, "ns", end->ns);
	js_set_u64(obj, "faults", end->faults);
	js_set_u64(obj, "rss_before_pages", end->rss_before);
	js_set_u64(obj, "rss_after_pages", end->rss_after);
	js_set_u64(obj, "resident_pages", end->resident);
	js_set_u64(obj, "swapped_pages", end->swapped);
	return obj;
}

static void set_range(struct json_t *obj, const struct phys_vma *vma)
{
	js_set_hex(obj, "start", vma->start);
	js_set_hex(obj, "end", vma->end);
	js_set_str(obj, "name", vma->name);
	js_set_bool(obj, "own", vma->own);
}

static void set_churn(struct json_t *obj, const struct frames_view *v, const uint64_t *pages)
{
	bool can_move = v->maps.before.pfn_visible && v->maps.now.pfn_visible;
	int i;

	for (i = 0; i < NR_CHURNS; i++)
		if (i == CHURN_MOVED && !can_move)
			js_set(obj, churn_names[i], js_null());
		else
			frames_set_pages(obj, churn_names[i], pages[i]);
}

static struct json_t *json_churn(const struct trace *tr, const struct frames_view *v)
{
	size_t i, nr = nr_shown(tr, v->churn.nr_vmas);
	struct json_t *obj, *list, *bytes;

	if (!v->has_churn)
		return js_null();
	obj = js_object();
	bytes = js_object();
	list = js_array();
	js_set_u64(obj, "since_t", v->maps.before.t);
	js_set_str(obj, "since_why", v->maps.before.why);
	set_churn(bytes, v, v->churn.pages);
	js_set(obj, "bytes", bytes);
	for (i = 0; i < nr; i++) {
		struct json_t *one = js_object();

		set_range(one, v->churn.vmas[i].vma);
		bytes = js_object();
		set_churn(bytes, v, v->churn.vmas[i].pages);
		js_set(one, "bytes", bytes);
		js_append(list, one);
	}
	js_set(obj, "vmas", list);
	js_set_u64(obj, "left_out", v->churn.nr_vmas - nr);
	return obj;
}

static struct json_t *json_differences(const struct physmap *map)
{
	struct json_t *list = js_array();
	size_t i;

	for (i = 0; i < map->nr_diffs; i++) {
		struct json_t *obj = js_object();

		js_set_str(obj, "cause", record_frame_cause_names[map->diffs[i].cause]);
		js_set_hex(obj, "start", map->diffs[i].start);
		js_set_hex(obj, "end", map->diffs[i].end);
		js_set_u64(obj, "pages", map->diffs[i].pages);
		js_append(list, obj);
	}
	return list;
}

static int compare_indexes(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

/* By address; those that are largest. */
static struct json_t *json_vmas(const struct trace *tr, const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	size_t i, nr = nr_shown(tr, map->nr_vmas);
	size_t *indexes = alloc_array(nr, sizeof(*indexes));
	struct json_t *list = js_array();
	struct frames_sum sum;

	for (i = 0; i < nr; i++)
		indexes[i] = v->ranks[i].vma;
	if (nr)
		qsort(indexes, nr, sizeof(*indexes), compare_indexes);
	frames_sum_init(&sum, &v->source);
	for (i = 0; i < nr; i++) {
		const struct phys_vma *vma = &map->vmas[indexes[i]];
		struct json_t *obj = js_object();

		frames_sum_reset(&sum, &v->source);
		frames_sum_vma(&sum, &v->source, vma);
		set_range(obj, vma);
		frames_set_sums(obj, v, &sum);
		js_set(obj, "zones", json_own_zones(map, &sum));
		js_append(list, obj);
	}
	frames_sum_fini(&sum);
	alloc_free(indexes);
	return list;
}

struct json_t *frames_build_json(struct trace *tr, const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	struct json_t *obj = js_object();

	js_set_bool(obj, "recorded", map->is_known);
	js_set_u64(obj, "t", map->t);
	js_set_u64(obj, "event", map->seq);
	js_set_str(obj, "why", map->why);
	js_set_str(obj, "pfn", map->pfn_visible ? "visible" : "hidden");
	js_set_u64(obj, "resident_pages", v->all.all.pages);
	js_set_u64(obj, "swapped_pages", v->all.swapped);
	js_set_u64(obj, "pages_of_unknown_class", v->all.nr_untold);
	js_set_u64(obj, "lines_left_out", map->nr_left_out);
	js_set_bool(obj, "complete", map->has_end && !frames_is_incomplete(v));
	frames_set_pages(obj, "own_bytes", v->own_pages);
	frames_set_sums(obj, v, &v->all);
	js_set(obj, "kernel", json_kernel(&map->kernel));
	js_set(obj, "scan", json_scan(v));
	js_set(obj, "unreadable", map->unreadable ? js_ref(map->unreadable) : js_object());
	js_set(obj, "nodes", json_nodes(map, &v->all));
	js_set(obj, "zones", json_zones(map, &v->all));
	set_placed(obj, "outside_zones_bytes", map, v->all.zones[map->nr_zones]);
	js_set(obj, "churn", json_churn(tr, v));
	js_set(obj, "differences", json_differences(map));
	js_set(obj, "vmas", json_vmas(tr, v));
	js_set_u64(obj, "left_out", map->nr_vmas - nr_shown(tr, map->nr_vmas));
	return obj;
}
