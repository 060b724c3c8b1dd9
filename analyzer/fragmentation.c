/* SPDX-License-Identifier: MIT */
#include "fragmentation.h"

#include "report.h"

void fragmentation_init(struct fragmentation *f)
{
	*f = (struct fragmentation){ 0 };
	layout_pieces_init(&f->pieces);
	heap_pages_init(&f->pages);
}

void fragmentation_fini(struct fragmentation *f)
{
	heap_areas_fini(&f->areas);
	heap_pages_fini(&f->pages);
	physmaps_fini(&f->frames);
	layout_pieces_fini(&f->pieces);
}

static void note_call(struct fragmentation *f, const struct record *rec)
{
	if (rec->ev == TRACE_CALL && !rec->call.errno_name && rec->call.origin != TRACE_ORIGIN_SELF)
		layout_pieces_note(&f->pieces, &rec->call);
}

void fragmentation_note(struct fragmentation *f, struct trace *tr, const struct record *rec)
{
	note_call(f, rec);
	physmaps_record(&f->frames, tr, rec);
}

/* Read the trace again, up to the moment at which the heap stands. */
static void go_to_moment(struct trace *tr, struct fragmentation *f)
{
	struct moment at = { MOMENT_TIME, tr->heap_t };
	struct record rec;
	const char *why;

	if (tr->opt->at.kind == MOMENT_END || reader_rewind(&tr->reader))
		return;
	replay_fini(&tr->replay);
	replay_init(&tr->replay);
	while (reader_next(&tr->reader, &rec) > 0 && !moment_is_before(&at, &rec)) {
		if (replay_record(&tr->replay, &rec, &why))
			return;
		note_call(f, &rec);
	}
}

static void add_block(struct fragmentation *f, const struct heap_live *block)
{
	struct heap_area *area = heap_areas_find(&f->areas, block->addr);
	uint64_t size = block->size ? block->size : 1;

	if (!area) {
		f->outside_blocks++;
		f->outside_bytes += block->size;
		return;
	}
	area->live_blocks++;
	area->live_bytes += block->size;
	if (!heap_area_is_shared(area))
		return;
	heap_pages_add(&f->pages, block->stack, block->addr,
		       size < area->end - block->addr ? block->addr + size : area->end);
	if (area->kind == HEAP_AREA_BRK && (!f->has_top || block->addr > f->top.addr)) {
		f->top = *block;
		f->has_top = true;
	}
}

static void add_area(struct held *to, const struct heap_area *area)
{
	to->areas++;
	to->bytes += area->end - area->start;
	to->resident += area->resident;
	to->live_blocks += area->live_blocks;
	to->live_bytes += area->live_bytes;
}

void fragmentation_collect(struct fragmentation *f, struct trace *tr)
{
	struct heap_live block;
	uint64_t nr_pages;
	size_t i, pos = 0;

	go_to_moment(tr, f);
	f->has_resident = tr->opt->at.kind == MOMENT_END && f->frames.now.is_known;
	heap_areas_collect(&f->areas, &tr->replay.mm, &f->pieces,
			   f->has_resident ? &f->frames.now : NULL, &tr->classes);
	while (heap_next_block(&tr->heap, &pos, &block))
		add_block(f, &block);
	for (i = 0; i < f->areas.nr; i++) {
		const struct heap_area *area = &f->areas.list[i];

		if (!heap_area_is_held(area))
			continue;
		add_area(&f->of_kind[area->kind], area);
		add_area(&f->all, area);
	}
	nr_pages = (f->of_kind[HEAP_AREA_BRK].bytes + f->of_kind[HEAP_AREA_ARENA].bytes) /
		   MM_PAGE_SIZE;
	heap_pages_finish(&f->pages, nr_pages);
}

uint64_t fragmentation_break(const struct fragmentation *f)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < f->areas.nr; i++)
		if (f->areas.list[i].kind == HEAP_AREA_BRK)
			end = f->areas.list[i].end;
	return end;
}

uint64_t fragmentation_free_above(const struct fragmentation *f)
{
	uint64_t brk = fragmentation_break(f), end = f->top.addr + f->top.size;

	return end >= f->top.addr && end < brk ? brk - end : 0;
}

uint64_t fragmentation_free_below(const struct fragmentation *f)
{
	uint64_t above = fragmentation_break(f) - f->top.addr;
	uint64_t live = f->of_kind[HEAP_AREA_BRK].live_bytes - f->top.size;
	uint64_t held = f->of_kind[HEAP_AREA_BRK].bytes;

	held = held > above ? held - above : 0;
	return held > live ? held - live : 0;
}
