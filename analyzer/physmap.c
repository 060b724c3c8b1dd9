/* SPDX-License-Identifier: MIT */
/* Lines that are parts of one vma are put together by what the replay has there. */
#include "physmap.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "report.h"

static void map_fini(struct physmap *map)
{
	size_t i;

	for (i = 0; i < map->nr_vmas; i++)
		alloc_free(map->vmas[i].name);
	for (i = 0; i < map->nr_zones; i++)
		alloc_free(map->zones[i].name);
	for (i = 0; i < map->nr_nodes; i++)
		alloc_free(map->nodes[i].cpus);
	for (i = 0; i < map->nr_slabs; i++)
		alloc_free(map->slabs[i].name);
	js_free(map->unreadable);
	alloc_free(map->vmas);
	alloc_free(map->runs);
	alloc_free(map->zones);
	alloc_free(map->nodes);
	alloc_free(map->slabs);
	alloc_free(map->diffs);
	memset(map, 0, sizeof(*map));
}

static void add_topology(struct physmap *map, const struct rec_topology *top)
{
	size_t i;

	/* A second one of the same checkpoint comes from a damaged trace. */
	if (map->zones)
		return;
	map->zones = alloc_array(top->nr_zones, sizeof(*map->zones));
	map->nodes = alloc_array(top->nr_nodes, sizeof(*map->nodes));
	map->slabs = alloc_array(top->nr_slabs, sizeof(*map->slabs));
	for (i = 0; i < top->nr_zones; i++) {
		map->zones[i] = (struct phys_zone){ top->zones[i], alloc_string(top->zones[i].zone) };
		map->zones[i].rec.zone = map->zones[i].name;
	}
	for (i = 0; i < top->nr_nodes; i++) {
		const struct rec_node *n = &top->nodes[i];

		map->nodes[i] = (struct phys_node){ n->node, n->cpus ? alloc_string(n->cpus) : NULL,
						    n->total_bytes, n->free_bytes };
	}
	for (i = 0; i < top->nr_slabs; i++) {
		const struct rec_slab *s = &top->slabs[i];

		map->slabs[i] = (struct phys_slab){ alloc_string(s->name), s->object_bytes };
	}
	map->nr_zones = top->nr_zones;
	map->nr_nodes = top->nr_nodes;
	map->nr_slabs = top->nr_slabs;
	map->unreadable = top->unreadable ? js_ref(top->unreadable) : NULL;
}

static void add_frames(struct physmap *map, struct trace *tr, const struct rec_frames *rec)
{
	const struct vma *vma = vma_lookup(&tr->replay.mm, rec->start);
	struct phys_vma *last = map->nr_vmas ? &map->vmas[map->nr_vmas - 1] : NULL;
	size_t i;

	map->pfn_visible = rec->pfn_visible;
	/* Lines come in order; a damaged trace's may not, and then can't be searched. */
	if (last && rec->start < last->end) {
		map->nr_left_out++;
		return;
	}
	if (last && last->end == rec->start && vma && last->start >= vma->vm_start) {
		last->end = rec->end;
	} else {
		map->vmas = alloc_grow(map->vmas, map->nr_vmas, &map->cap_vmas, sizeof(*map->vmas));
		last = &map->vmas[map->nr_vmas++];
		*last = (struct phys_vma){
			.start = rec->start, .end = rec->end, .vm_flags = vma ? vma->vm_flags : 0,
			.own = rec->own, .first_run = map->nr_runs,
			.name = alloc_string(vma ? vma_name(&tr->replay.mm, vma) : ""),
		};
	}
	last->nr_runs += rec->nr_runs;
	for (i = 0; i < rec->nr_runs; i++) {
		map->runs = alloc_grow(map->runs, map->nr_runs, &map->cap_runs, sizeof(*map->runs));
		map->runs[map->nr_runs++] = rec->runs[i];
	}
}

static struct physmap *map_now(struct physmaps *maps, const struct trace *tr)
{
	struct physmap *map = &maps->now;

	if (!maps->is_new && map->is_known)
		return map;
	map_fini(&maps->before);
	maps->before = *map;
	*map = (struct physmap){ .is_known = true, .t = maps->t, .seq = tr->replay.seq,
				 .kernel = maps->kernel };
	memcpy(map->why, maps->why, sizeof(map->why));
	maps->is_new = false;
	return map;
}

void physmaps_record(struct physmaps *maps, struct trace *tr, const struct record *rec)
{
	struct physmap *map;

	if (rec->ev == TRACE_CHECKPOINT) {
		snprintf(maps->why, sizeof(maps->why), "%s", rec->checkpoint.why);
		maps->t = rec->t;
		maps->kernel = (struct rec_figures){ 0 };
		maps->is_new = true;
	} else if (rec->ev == TRACE_MM) {
		maps->kernel = rec->mm.kernel;
	} else if (rec->ev == TRACE_TOPOLOGY) {
		add_topology(map_now(maps, tr), &rec->topology);
	} else if (rec->ev == TRACE_FRAMES) {
		add_frames(map_now(maps, tr), tr, &rec->frames);
	} else if (rec->ev == TRACE_FRAME_DIFF) {
		map = map_now(maps, tr);
		map->diffs = alloc_grow(map->diffs, map->nr_diffs, &map->cap_diffs, sizeof(*map->diffs));
		map->diffs[map->nr_diffs++] = rec->frame_diff;
	} else if (rec->ev == TRACE_FRAMES_END) {
		map = map_now(maps, tr);
		map->end = rec->frames_end;
		map->has_end = true;
	}
}

void physmaps_fini(struct physmaps *maps)
{
	map_fini(&maps->now);
	map_fini(&maps->before);
}

const struct phys_vma *physmap_vma(const struct physmap *map, uint64_t addr)
{
	size_t lo = 0, hi = map->nr_vmas, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (map->vmas[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < map->nr_vmas && map->vmas[lo].start <= addr ? &map->vmas[lo] : NULL;
}

size_t physmap_first_run(const struct physmap *map, uint64_t addr)
{
	size_t lo = 0, hi = map->nr_runs, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (rec_run_end(&map->runs[mid]) > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

const struct rec_run *physmap_run(const struct physmap *map, uint64_t addr)
{
	size_t i = physmap_first_run(map, addr);

	return i < map->nr_runs && map->runs[i].va <= addr ? &map->runs[i] : NULL;
}

const struct phys_zone *physmap_zone(const struct physmap *map, uint64_t pfn)
{
	size_t i;

	for (i = 0; i < map->nr_zones; i++) {
		const struct rec_zone *zone = &map->zones[i].rec;

		if (pfn >= zone->start_pfn && pfn - zone->start_pfn < zone->spanned)
			return &map->zones[i];
	}
	return NULL;
}
