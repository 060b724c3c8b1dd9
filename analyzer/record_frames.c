/* SPDX-License-Identifier: MIT */
/*
 * What stands behind the map: zones and nodes, classes of pages, runs of frames.
 */
#include "fields.h"

#include <errno.h>
#include <string.h>

static const struct field zone_fields[] = {
	FIELD(struct rec_zone, node, 0, F_U32),
	FIELD(struct rec_zone, zone, 0, F_STR),
	FIELD(struct rec_zone, start_pfn, 0, F_U64),
	FIELD(struct rec_zone, spanned, 0, F_U64),
	FIELD(struct rec_zone, present, OPTIONAL, F_U64),
	FIELD(struct rec_zone, managed, OPTIONAL, F_U64),
	FIELD(struct rec_zone, free, OPTIONAL, F_U64),
	FIELD(struct rec_zone, min, OPTIONAL, F_U64),
	FIELD(struct rec_zone, low, OPTIONAL, F_U64),
	FIELD(struct rec_zone, high, OPTIONAL, F_U64),
};

static const struct field node_fields[] = {
	FIELD(struct rec_node, node, 0, F_U32),
	FIELD(struct rec_node, cpus, OPTIONAL, F_STR),
	FIELD(struct rec_node, total_bytes, OPTIONAL, F_U64),
	FIELD(struct rec_node, free_bytes, OPTIONAL, F_U64),
};

static const struct field slab_fields[] = {
	FIELD(struct rec_slab, object_bytes, 0, F_U64),
};

static int take_zone(struct decode *d, struct json_t *obj, struct rec_zone *zone)
{
	if (TAKE(d, obj, "zones[]", zone_fields, zone))
		return -EINVAL;
	if (zone->spanned > UINT64_MAX - zone->start_pfn)
		return bad(d->err, "a zone ends beyond all frames");
	return 0;
}

static int take_slabs(struct decode *d, struct json_t *slabs, struct rec_topology *top)
{
	void *it;

	for (it = js_iter(slabs); it; it = js_next(slabs, it))
		top->nr_slabs++;
	top->slabs = scratch_alloc(d->scratch, top->nr_slabs, sizeof(*top->slabs));
	top->nr_slabs = 0;
	for (it = js_iter(slabs); it; it = js_next(slabs, it)) {
		struct rec_slab *slab = &top->slabs[top->nr_slabs++];

		slab->name = js_key(it);
		if (!js_is_object(js_value(it)))
			return bad(d->err, "a slab is not an object");
		if (TAKE(d, js_value(it), "slab", slab_fields, slab))
			return -EINVAL;
	}
	return 0;
}

int decode_topology(struct decode *d, struct record *rec)
{
	struct json_t *zones = js_get(d->doc, "zones"), *nodes = js_get(d->doc, "nodes");
	struct json_t *slabs = js_get(d->doc, "slab");
	struct rec_topology *top = &rec->topology;
	size_t i;

	if (!js_is_array(zones) || (nodes && !js_is_array(nodes)) || (slabs && !js_is_object(slabs)))
		return bad(d->err, "zones or nodes is not an array, or slab is not an object");
	top->nr_zones = js_len(zones);
	if (top->nr_zones > REC_ZONES)
		return bad(d->err, "more than %d zones", REC_ZONES);
	top->zones = scratch_alloc(d->scratch, top->nr_zones, sizeof(*top->zones));
	for (i = 0; i < top->nr_zones; i++) {
		if (!js_is_object(js_at(zones, i)))
			return bad(d->err, "zones[%zu] is not an object", i);
		if (take_zone(d, js_at(zones, i), &top->zones[i]))
			return -EINVAL;
	}
	top->nr_nodes = nodes ? js_len(nodes) : 0;
	top->nodes = scratch_alloc(d->scratch, top->nr_nodes, sizeof(*top->nodes));
	for (i = 0; i < top->nr_nodes; i++) {
		if (!js_is_object(js_at(nodes, i)))
			return bad(d->err, "nodes[%zu] is not an object", i);
		if (TAKE(d, js_at(nodes, i), "nodes[]", node_fields, &top->nodes[i]))
			return -EINVAL;
	}
	top->unreadable = js_get(d->doc, "unreadable");
	if (top->unreadable && !js_is_object(top->unreadable))
		return bad(d->err, "unreadable is not an object");
	return slabs ? take_slabs(d, slabs, top) : 0;
}

static const struct field class_fields[] = {
	FIELD(struct rec_page_class, id, 0, F_U32),
	FIELD(struct rec_page_class, pagemap, 0, F_HEX),
	FIELD(struct rec_page_class, kpageflags, OPTIONAL, F_HEX),
	FIELD(struct rec_page_class, mapcount, OPTIONAL, F_U64),
	FIELD(struct rec_page_class, huge, OPTIONAL, F_BOOL),
	FIELD(struct rec_page_class, swap_type, OPTIONAL, F_U32),
};

int decode_page_class(struct decode *d, struct record *rec)
{
	struct rec_page_class *c = &rec->page_class;

	c->has_kpageflags = js_get(d->doc, "kpageflags");
	c->has_mapcount = js_get(d->doc, "mapcount");
	c->has_huge = js_get(d->doc, "huge");
	return TAKE(d, d->doc, "", class_fields, c);
}

/* What else the line counts, its runs tell by class and frame. */
static const struct field frames_fields[] = {
	FIELD(struct rec_frames, start, 0, F_HEX),
	FIELD(struct rec_frames, end, 0, F_HEX),
	FIELD(struct rec_frames, own, OPTIONAL, F_BOOL),
	FIELD(struct rec_frames, resident, 0, F_U64),
	FIELD(struct rec_frames, swapped, OPTIONAL, F_U64),
};

enum { RUN_GAP, RUN_STEP, RUN_PAGES, RUN_CLASS, RUN_ELEMENTS };

/* Where the last run ended. */
struct run_end {
	uint64_t va, pfn;
	uint32_t class;
};

static int take_run(struct json_t *v, const struct rec_frames *f, struct run_end *last,
		    struct rec_run *run)
{
	uint64_t gap, pages = 1;
	uint32_t class = last->class;
	int64_t step = 0;
	size_t nr = js_len(v);

	if (!js_is_array(v) || nr > RUN_ELEMENTS || js_u64(js_at(v, RUN_GAP), &gap) ||
	    (nr > RUN_STEP && take_value(js_at(v, RUN_STEP), F_I64, &step)) ||
	    (nr > RUN_PAGES && js_u64(js_at(v, RUN_PAGES), &pages)) ||
	    (nr > RUN_CLASS && take_value(js_at(v, RUN_CLASS), F_U32, &class)))
		return -EINVAL;
	if (gap > (f->end - last->va) / MM_PAGE_SIZE || !pages ||
	    pages > (f->end - last->va) / MM_PAGE_SIZE - gap)
		return -EINVAL;
	*run = (struct rec_run){ .va = last->va + gap * MM_PAGE_SIZE, .pfn = last->pfn + (uint64_t)step,
				 .pages = pages, .class = class };
	return 0;
}

int decode_frames(struct decode *d, struct record *rec)
{
	struct rec_frames *f = &rec->frames;
	struct json_t *runs = js_get(d->doc, "runs");
	const char *pfn = js_str(js_get(d->doc, "pfn"));
	struct run_end last;
	size_t i;

	if (TAKE(d, d->doc, "", frames_fields, f))
		return -EINVAL;
	if (!is_page_range(f->start, f->end))
		return bad(d->err, "start and end are no range of pages");
	f->pfn_visible = pfn && !strcmp(pfn, "visible");
	if (!js_is_array(runs))
		return bad(d->err, "runs is not an array");
	f->nr_runs = js_len(runs);
	f->runs = scratch_alloc(d->scratch, f->nr_runs, sizeof(*f->runs));
	last = (struct run_end){ .va = f->start };
	for (i = 0; i < f->nr_runs; i++) {
		if (take_run(js_at(runs, i), f, &last, &f->runs[i]))
			return bad(d->err, "runs[%zu] is not [gap, step, pages, class] within the range", i);
		last.va = rec_run_end(&f->runs[i]);
		last.pfn = f->runs[i].pfn + f->runs[i].pages;
		last.class = f->runs[i].class;
	}
	return 0;
}

static const struct field frame_diff_fields[] = {
	FIELD(struct rec_frame_diff, start, 0, F_HEX),
	FIELD(struct rec_frame_diff, end, 0, F_HEX),
	FIELD(struct rec_frame_diff, pages, 0, F_U64),
};

int decode_frame_diff(struct decode *d, struct record *rec)
{
	struct rec_frame_diff *diff = &rec->frame_diff;
	const char *cause = js_str(js_get(d->doc, "cause"));
	int i = cause ? find_name(record_frame_cause_names, TRACE_NR_FRAME_CAUSES, cause) : -1;

	if (i < 0)
		return bad(d->err, "cause is missing or unknown");
	diff->cause = i;
	if (TAKE(d, d->doc, "", frame_diff_fields, diff))
		return -EINVAL;
	if (!is_page_range(diff->start, diff->end))
		return bad(d->err, "start and end are no range of pages");
	return 0;
}

static const struct field frames_end_fields[] = {
	FIELD(struct rec_frames_end, resident, 0, F_U64),
	FIELD(struct rec_frames_end, swapped, 0, F_U64),
	FIELD(struct rec_frames_end, rss_before, OPTIONAL, F_U64),
	FIELD(struct rec_frames_end, rss_after, OPTIONAL, F_U64),
	FIELD(struct rec_frames_end, faults, OPTIONAL, F_U64),
	FIELD(struct rec_frames_end, ns, OPTIONAL, F_U64),
};

int decode_frames_end(struct decode *d, struct record *rec)
{
	return TAKE(d, d->doc, "", frames_end_fields, &rec->frames_end);
}
