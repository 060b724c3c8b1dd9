/* SPDX-License-Identifier: MIT */
/*
 * fragmentation: what the heap holds against what of it is live, and what keeps the rest from being
 * given back: pages with a few live bytes, and the block that lies below the break.
 */
#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "fragmentation.h"
#include "heap_figures.h"
#include "json.h"
#include "out.h"
#include "report.h"

enum { DEFAULT_STACKS = 20 };

static void *fragmentation_start(struct trace *tr)
{
	struct fragmentation *f = alloc_zeroed(sizeof(*f));

	(void)tr;
	fragmentation_init(f);
	return f;
}

static void fragmentation_free(void *state)
{
	fragmentation_fini(state);
	alloc_free(state);
}

static void fragmentation_record(struct trace *tr, void *state, const struct record *rec)
{
	/* Of another moment than the end is known only when the heap has been read. */
	if (tr->opt->at.kind == MOMENT_END)
		fragmentation_note(state, tr, rec);
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
	char share[HEAP_FIGURE_MAX], size[OUT_SIZE_MAX];
	int i;

	for (i = 0; i < HEAP_PAGE_CLASSES; i++)
		nr += f->pages.classes[i];
	fprintf(tr->out, "\npages of the brk heap and of arenas, by the bytes that are live\n");
	for (i = 0; i < HEAP_PAGE_CLASSES; i++)
		fprintf(tr->out, "%8s %% %10" PRIu64 " %11s %7s\n", heap_page_class_names[i],
			f->pages.classes[i], out_size(size, f->pages.classes[i] * MM_PAGE_SIZE),
			heap_text_share(share, f->pages.classes[i], nr));
}

static void print_top(struct trace *tr, const struct fragmentation *f)
{
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	if (!f->has_top)
		return;
	fprintf(tr->out, "\nthe brk heap ends at 0x%" PRIx64 "; its highest block, %" PRIu64
		" bytes at 0x%" PRIx64 ", keeps %s free below it and has %s above it\n",
		fragmentation_break(f), f->top.size, f->top.addr, out_size(a, fragmentation_free_below(f)),
		out_size(b, fragmentation_free_above(f)));
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
	fragmentation_collect(f, tr);
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
	js_set_hex(obj, "end", fragmentation_break(f));
	js_set_u64(obj, "free_above", fragmentation_free_above(f));
	js_set_u64(obj, "free_below", fragmentation_free_below(f));
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
	fragmentation_collect(f, tr);
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
