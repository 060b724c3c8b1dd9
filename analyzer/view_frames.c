/* SPDX-License-Identifier: MIT */
/*
 * frames: the physical memory behind each vma at the last checkpoint that has it.
 */
#include <stdlib.h>

#include "alloc.h"
#include "frames_by.h"
#include "frames_view.h"

static void *frames_start(struct trace *tr)
{
	(void)tr;
	return alloc_zeroed(sizeof(struct frames_view));
}

static void frames_record(struct trace *tr, void *state, const struct record *rec)
{
	struct frames_view *v = state;

	physmaps_record(&v->maps, tr, rec);
}

static int compare_ranks(const void *a, const void *b)
{
	const struct frames_rank *x = a, *y = b;

	if (x->pages != y->pages)
		return x->pages > y->pages ? -1 : 1;
	return x->vma < y->vma ? -1 : x->vma > y->vma;
}

static void compute(const struct trace *tr, struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	size_t i;

	v->source.map = map;
	v->source.classes = &tr->classes;
	v->source.thp_on_advice = tr->header.rules & MM_RULE_THP_MADVISE;
	phys_zones_init(&v->source.zones, map);
	frames_sum_init(&v->all, &v->source);
	v->ranks = alloc_array(map->nr_vmas, sizeof(*v->ranks));
	for (i = 0; i < map->nr_vmas; i++) {
		uint64_t present = v->all.all.pages, swapped = v->all.swapped;

		frames_sum_vma(&v->all, &v->source, &map->vmas[i]);
		present = v->all.all.pages - present;
		v->own_pages += map->vmas[i].own ? present : 0;
		v->ranks[i] = (struct frames_rank){ i, present + v->all.swapped - swapped };
	}
	qsort(v->ranks, map->nr_vmas, sizeof(*v->ranks), compare_ranks);
	v->has_churn = v->maps.before.is_known;
	if (v->has_churn)
		frames_churn_init(&v->churn, &v->maps.before, map, &tr->classes);
}

bool frames_is_incomplete(const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;

	return map->has_end && (map->end.resident != v->all.all.pages ||
				map->end.swapped != v->all.swapped);
}

static void frames_text(struct trace *tr, void *state)
{
	struct frames_view *v = state;

	if (!v->maps.now.is_known) {
		fputs("no frames in this trace (VMTRACE_FRAMES=final or checkpoint records them)\n",
		      tr->out);
		return;
	}
	compute(tr, v);
	frames_print(tr, v);
}

static struct json_t *frames_json(struct trace *tr, void *state)
{
	compute(tr, state);
	return frames_build_json(tr, state);
}

static void frames_free(void *state)
{
	struct frames_view *v = state;

	frames_churn_fini(&v->churn);
	frames_sum_fini(&v->all);
	phys_zones_fini(&v->source.zones);
	physmaps_fini(&v->maps);
	alloc_free(v->ranks);
	alloc_free(v);
}

const struct view view_frames = {
	.name = "frames",
	.brief = "the physical memory behind each mapping at the last checkpoint",
	.help = "  --by WHAT        who owns the pages instead, by stack, module, function or thread\n"
		"  --limit N        the N largest mappings (10, with --json 10000), or owners (20);\n"
		"                   0: all\n"
		"  --own            show vmtrace's mappings one by one (--json: always; not with --by)\n",
	.takes = "lo",
	.with_by = &view_frames_by,
	.start = frames_start,
	.record = frames_record,
	.text = frames_text,
	.json = frames_json,
	.free = frames_free,
};
