/* SPDX-License-Identifier: MIT */
/*
 * fragmentation: what the heap holds against what of it is live, and what keeps the rest from being
 * given back: pages with a few live bytes, and the block that lies below the break.
 */
#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "heap_areas.h"
#include "heap_figures.h"
#include "heap_pages.h"
#include "json.h"
#include "out.h"
#include "report.h"

enum { DEFAULT_STACKS = 20 };

/* What areas of one kind, or all, add up to. */
struct held {
	uint64_t areas, bytes, resident, live_blocks, live_bytes;
};

struct fragmentation {
	struct layout_pieces pieces;
	struct layout_frames frames;
	struct heap_areas areas;
	struct heap_pages pages;
	struct held of_kind[HEAP_NR_AREAS], all;
	uint64_t outside_blocks, outside_bytes;	/* live in no memory known to be a heap's */
	struct heap_live top;			/* the highest block of the brk heap */
	bool has_top;
	bool has_resident;
};

static void *fragmentation_start(struct trace *tr)
{
	struct fragmentation *f = alloc_zeroed(sizeof(*f));

	(void)tr;
	layout_pieces_init(&f->pieces);
	heap_pages_init(&f->pages);
	return f;
}

static void fragmentation_free(void *state)
{
	struct fragmentation *f = state;

	heap_areas_fini(&f->areas);
	heap_pages_fini(&f->pages);
	layout_frames_fini(&f->frames);
	layout_pieces_fini(&f->pieces);
	alloc_free(f);
}

static void note(struct fragmentation *f, const struct record *rec)
{
	if (rec->ev == TRACE_CALL && !rec->call.errno_name && rec->call.origin != TRACE_ORIGIN_SELF)
		layout_pieces_note(&f->pieces, &rec->call);
	if (rec->ev == TRACE_CHECKPOINT)
		f->frames.is_new = true;
	if (rec->ev == TRACE_FRAMES)
		layout_frames_note(&f->frames, &rec->frames);
}

static void fragmentation_record(struct trace *tr, void *state, const struct record *rec)
{
	/* Of another moment than the end is known only when the heap has been read. */
	if (tr->opt->at.kind == MOMENT_END)
		note(state, rec);
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
		note(f, &rec);
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

static void collect(struct trace *tr, struct fragmentation *f)
{
	struct heap_live block;
	uint64_t nr_pages;
	size_t i, pos = 0;

	go_to_moment(tr, f);
	f->has_resident = tr->opt->at.kind == MOMENT_END && f->frames.is_known;
	heap_areas_collect(&f->areas, &tr->replay.mm, &f->pieces,
			   f->has_resident ? &f->frames : NULL);
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

/* Where the brk heap ends, and how much of it lies free below @addr. */
static uint64_t brk_end(const struct fragmentation *f)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < f->areas.nr; i++)
		if (f->areas.list[i].kind == HEAP_AREA_BRK)
			end = f->areas.list[i].end;
	return end;
}

static uint64_t top_end(const struct fragmentation *f)
{
	uint64_t end = f->top.addr + f->top.size;

	return end < f->top.addr || end > brk_end(f) ? brk_end(f) : end;
}

static uint64_t free_below_top(const struct fragmentation *f)
{
	uint64_t above = brk_end(f) - f->top.addr;
	uint64_t live = f->of_kind[HEAP_AREA_BRK].live_bytes - f->top.size;
	uint64_t held = f->of_kind[HEAP_AREA_BRK].bytes;

	held = held > above ? held - above : 0;
	return held > live ? held - live : 0;
}

static uint64_t nr_shown(const struct trace *tr, uint64_t nr)
{
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_STACKS;

	return max && max < nr ? max : nr;
}

static void print_held(const struct trace *tr, const struct fragmentation *f, const struct held *h,
		       const char *title)
{
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX], c[OUT_SIZE_MAX], share[HEAP_FIGURE_MAX];

	fprintf(tr->out, "%-14s %6" PRIu64 " %11s %11s %11s %9" PRIu64 " %7s\n", title, h->areas,
		out_size(a, h->bytes), f->has_resident ? out_size(b, h->resident) : "-",
		out_size(c, h->live_bytes), h->live_blocks,
		heap_text_share(share, h->live_bytes, h->bytes));
}

static void print_areas(const struct trace *tr, const struct fragmentation *f)
{
	char a[OUT_SIZE_MAX];
	int i;

	fprintf(tr->out, "%-14s %6s %11s %11s %11s %9s %7s\n", "", "areas", "held", "resident",
		"live", "blocks", "share");
	for (i = 0; i < HEAP_NR_AREAS; i++)
		if (f->of_kind[i].areas)
			print_held(tr, f, &f->of_kind[i], heap_area_titles[i]);
	print_held(tr, f, &f->all, "all");
	if (f->outside_blocks)
		fprintf(tr->out, "elsewhere: %s in %" PRIu64 " blocks\n",
			out_size(a, f->outside_bytes), f->outside_blocks);
}

static void print_pages(const struct trace *tr, const struct fragmentation *f)
{
	uint64_t nr = 0;
	char share[HEAP_FIGURE_MAX];
	int i;

	for (i = 0; i < HEAP_PAGE_CLASSES; i++)
		nr += f->pages.classes[i];
	fprintf(tr->out, "\npages of the brk heap and of arenas, by the bytes that are live\n");
	for (i = 0; i < HEAP_PAGE_CLASSES; i++)
		fprintf(tr->out, "%8s %% %10" PRIu64 " %8s\n", heap_page_class_names[i],
			f->pages.classes[i], heap_text_share(share, f->pages.classes[i], nr));
}

static void print_top(struct trace *tr, const struct fragmentation *f)
{
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	if (!f->has_top)
		return;
	fprintf(tr->out, "\nthe brk heap ends at 0x%" PRIx64 "; its highest block, %" PRIu64
		" bytes at 0x%" PRIx64 ", keeps %s free below it and has %s above it\n", brk_end(f),
		f->top.size, f->top.addr, out_size(a, free_below_top(f)),
		out_size(b, brk_end(f) - top_end(f)));
	symbols_print_stack(tr->symbols, f->top.stack, "    ", 0, tr->out);
}

static void print_keepers(struct trace *tr, const struct fragmentation *f)
{
	uint64_t i, nr = nr_shown(tr, f->pages.nr_keepers);
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	for (i = 0; i < nr; i++) {
		const struct heap_keeper *k = &f->pages.keepers[i];

		fprintf(tr->out, "\n%" PRIu64 " pages (%s) are kept by no more than %s, all "
			"allocated by\n", k->pages, out_size(a, k->pages * MM_PAGE_SIZE),
			out_size(b, k->live_bytes));
		symbols_print_stack(tr->symbols, k->stack, "    ", 0, tr->out);
	}
}

static void fragmentation_text(struct trace *tr, void *state)
{
	struct fragmentation *f = state;
	char t[OUT_SIZE_MAX];

	if (!strcmp(tr->header.heap, "off"))
		fputs("the heap was not recorded in this trace\n", tr->out);
	if (tr->heap.sample_bytes) {
		fputs("only a sample of the blocks was recorded: which pages are empty is unknown\n",
		      tr->out);
		return;
	}
	collect(tr, f);
	fprintf(tr->out, "at %s s\n", out_time(t, tr->heap_t));
	print_areas(tr, f);
	print_pages(tr, f);
	print_top(tr, f);
	print_keepers(tr, f);
	symbols_print_notes(tr->symbols, tr->out);
}

static struct json_t *json_held(const struct fragmentation *f, const struct held *h)
{
	struct json_t *obj = js_object();

	js_set_u64(obj, "areas", h->areas);
	js_set_u64(obj, "held_bytes", h->bytes);
	js_set(obj, "resident_bytes", f->has_resident ? js_number(h->resident) : js_null());
	js_set_u64(obj, "live_bytes", h->live_bytes);
	js_set_u64(obj, "live_blocks", h->live_blocks);
	js_set(obj, "live_share", h->bytes ? js_real((double)h->live_bytes / h->bytes) : js_null());
	return obj;
}

static struct json_t *json_areas(const struct fragmentation *f)
{
	struct json_t *obj = js_object();
	int i;

	for (i = 0; i < HEAP_NR_AREAS; i++)
		js_set(obj, heap_area_names[i], json_held(f, &f->of_kind[i]));
	return obj;
}

static struct json_t *json_pages(const struct fragmentation *f)
{
	struct json_t *obj = js_object();
	int i;

	for (i = 0; i < HEAP_PAGE_CLASSES; i++)
		js_set_u64(obj, heap_page_class_names[i], f->pages.classes[i]);
	return obj;
}

static struct json_t *json_top(struct trace *tr, const struct fragmentation *f)
{
	struct json_t *obj, *block;

	if (!f->has_top)
		return js_null();
	obj = js_object();
	block = js_object();
	js_set_hex(block, "addr", f->top.addr);
	js_set_u64(block, "size", f->top.size);
	js_set_u64(block, "allocated_t", f->top.t);
	js_set(block, "allocated_tid", js_signed(f->top.tid));
	js_set(block, "stack", symbols_json_stack(tr->symbols, f->top.stack));
	js_set_hex(obj, "end", brk_end(f));
	js_set_u64(obj, "free_above", brk_end(f) - top_end(f));
	js_set_u64(obj, "free_below", free_below_top(f));
	js_set(obj, "block", block);
	return obj;
}

static struct json_t *json_keepers(struct trace *tr, const struct fragmentation *f)
{
	uint64_t i, nr = nr_shown(tr, f->pages.nr_keepers);
	struct json_t *list = js_array();

	for (i = 0; i < nr; i++) {
		const struct heap_keeper *k = &f->pages.keepers[i];
		struct json_t *obj = js_object();

		js_set_u64(obj, "pages", k->pages);
		js_set_u64(obj, "live_bytes", k->live_bytes);
		js_set(obj, "stack", symbols_json_stack(tr->symbols, k->stack));
		js_append(list, obj);
	}
	return list;
}

static struct json_t *fragmentation_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object();
	struct fragmentation *f = state;

	js_set_str(obj, "mode", tr->header.heap);
	js_set_u64(obj, "t", tr->heap_t);
	if (tr->heap.sample_bytes)
		return obj;
	collect(tr, f);
	js_set(obj, "all", json_held(f, &f->all));
	js_set(obj, "kinds", json_areas(f));
	js_set_u64(obj, "outside_blocks", f->outside_blocks);
	js_set_u64(obj, "outside_bytes", f->outside_bytes);
	js_set(obj, "pages", json_pages(f));
	js_set(obj, "break", json_top(tr, f));
	js_set(obj, "keepers", json_keepers(tr, f));
	return obj;
}

const struct view view_fragmentation = {
	.name = "fragmentation",
	.brief = "what the heap holds against what is live, and what keeps it from shrinking",
	.help = "  --at start|end|peak|EVENT|TIME  the moment; the peak is the heap's\n"
		"  --limit N        show N call stacks (20; 0: all)\n",
	.takes = "al",
	.flags = VIEW_HEAP,
	.start = fragmentation_start,
	.record = fragmentation_record,
	.text = fragmentation_text,
	.json = fragmentation_json,
	.free = fragmentation_free,
};
