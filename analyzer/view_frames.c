/* SPDX-License-Identifier: MIT */
/*
 * frames: the physical memory behind each vma at the last checkpoint that has it.
 */
#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "frames_by.h"
#include "json.h"
#include "out.h"
#include "report.h"

enum { ORDERS = 11 };			/* runs by the buddy order they fill: 1, 2, 4 … 1024 pages */

struct frames_vma {
	uint64_t start, end, resident, swapped, file, exclusive;
	uint64_t nr_runs, longest;
	uint64_t orders[ORDERS];
	bool runs_cut;
	char *name;
	struct json_t *zones, *flags;
};

struct frames {
	struct frames_vma *list;
	size_t nr, cap;
	uint64_t t;
	bool pfn_visible;
	bool is_new;			/* a checkpoint began: its first line replaces what there is */
};

static void *frames_start(struct trace *tr)
{
	(void)tr;
	return alloc_zeroed(sizeof(struct frames));
}

static void forget(struct frames *fr)
{
	size_t i;

	for (i = 0; i < fr->nr; i++) {
		alloc_free(fr->list[i].name);
		js_free(fr->list[i].zones);
		js_free(fr->list[i].flags);
	}
	fr->nr = 0;
}

static unsigned int order_of(uint64_t pages)
{
	unsigned int order = 63 - __builtin_clzll(pages);

	return order < ORDERS ? order : ORDERS - 1;
}

static void add_vma(struct trace *tr, struct frames *fr, const struct rec_frames *rec)
{
	struct vma *vma = vma_lookup(&tr->replay.mm, rec->start);
	struct frames_vma *v;
	size_t i;

	fr->list = alloc_grow(fr->list, fr->nr, &fr->cap, sizeof(*fr->list));
	v = &fr->list[fr->nr++];
	*v = (struct frames_vma){
		.start = rec->start, .end = rec->end, .resident = rec->resident,
		.swapped = rec->swapped, .file = rec->file, .exclusive = rec->exclusive,
		.nr_runs = rec->nr_runs,
		.name = alloc_string(vma ? vma_name(&tr->replay.mm, vma) : ""),
		.zones = rec->zones ? js_ref(rec->zones) : NULL,
		.flags = rec->flags ? js_ref(rec->flags) : NULL,
	};
	for (i = 0; i < rec->nr_runs; i++) {
		uint64_t pages = rec->runs[i].pages;

		v->orders[order_of(pages)]++;
		v->longest = pages > v->longest ? pages : v->longest;
	}
}

static void frames_record(struct trace *tr, void *state, const struct record *rec)
{
	struct frames *fr = state;

	if (rec->ev == TRACE_CHECKPOINT) {
		fr->is_new = true;
	} else if (rec->ev == TRACE_FRAMES) {
		if (fr->is_new)
			forget(fr);
		fr->is_new = false;
		fr->t = rec->t;
		fr->pfn_visible = rec->frames.pfn_visible;
		add_vma(tr, fr, &rec->frames);
	}
}

static void print_counts(struct trace *tr, struct json_t *obj, const char *label)
{
	uint64_t n;
	void *it;

	if (!obj)
		return;
	fprintf(tr->out, "    %s", label);
	for (it = js_iter(obj); it; it = js_next(obj, it)) {
		(void)js_u64(js_value(it), &n);
		fputc(' ', tr->out);
		out_name(tr->out, js_key(it));
		fprintf(tr->out, " %" PRIu64, n);
	}
	fputc('\n', tr->out);
}

static void print_vma(struct trace *tr, const struct frames_vma *v)
{
	unsigned int i;

	fprintf(tr->out,
		"%12" PRIx64 "-%12" PRIx64 " %10" PRIu64 " %8" PRIu64 " %10" PRIu64 " %10" PRIu64
		"  ",
		v->start, v->end, v->resident, v->swapped, v->file, v->exclusive);
	out_name(tr->out, v->name);
	fputc('\n', tr->out);
	print_counts(tr, v->zones, "zones");
	print_counts(tr, v->flags, "flags");
	if (!v->nr_runs)
		return;
	fprintf(tr->out, "    runs %" PRIu64 "%s, longest %" PRIu64 " pages, by order", v->nr_runs,
		v->runs_cut ? " (cut)" : "", v->longest);
	for (i = 0; i < ORDERS; i++)
		if (v->orders[i])
			fprintf(tr->out, " %u:%" PRIu64, i, v->orders[i]);
	fputc('\n', tr->out);
}

static void frames_text(struct trace *tr, void *state)
{
	const struct frames *fr = state;
	uint64_t resident = 0, swapped = 0;
	char buf[OUT_SIZE_MAX];
	size_t i;

	if (!fr->nr) {
		fputs("no frames in this trace (VMTRACE_FRAMES=final or checkpoint records them)\n",
		      tr->out);
		return;
	}
	fprintf(tr->out, "at %s s; page frame numbers %s\n", out_time(buf, fr->t),
		fr->pfn_visible ? "visible" : "hidden (CAP_SYS_ADMIN shows them)");
	fprintf(tr->out, "%25s %10s %8s %10s %10s\n", "pages:", "resident", "swapped", "file",
		"exclusive");
	for (i = 0; i < fr->nr; i++) {
		print_vma(tr, &fr->list[i]);
		resident += fr->list[i].resident;
		swapped += fr->list[i].swapped;
	}
	fprintf(tr->out, "%25s %10" PRIu64 " %8" PRIu64 "\n", "total", resident, swapped);
}

static struct json_t *json_vma(const struct frames_vma *v)
{
	struct json_t *obj = js_object(), *runs, *orders;
	char order[8];
	unsigned int i;

	js_set_hex(obj, "start", v->start);
	js_set_hex(obj, "end", v->end);
	js_set_str(obj, "name", v->name);
	js_set_u64(obj, "resident", v->resident);
	js_set_u64(obj, "swapped", v->swapped);
	js_set_u64(obj, "file", v->file);
	js_set_u64(obj, "exclusive", v->exclusive);
	if (v->zones)
		js_set(obj, "zones", js_ref(v->zones));
	if (v->flags)
		js_set(obj, "flags", js_ref(v->flags));
	if (!v->nr_runs)
		return obj;
	runs = js_object();
	orders = js_object();
	js_set_u64(runs, "count", v->nr_runs);
	js_set_bool(runs, "cut", v->runs_cut);
	js_set_u64(runs, "longest", v->longest);
	for (i = 0; i < ORDERS; i++) {
		snprintf(order, sizeof(order), "%u", i);
		if (v->orders[i])
			js_set_u64(orders, order, v->orders[i]);
	}
	js_set(runs, "orders", orders);
	js_set(obj, "runs", runs);
	return obj;
}

static struct json_t *frames_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *list = js_array();
	const struct frames *fr = state;
	uint64_t resident = 0, swapped = 0;
	size_t i;

	for (i = 0; i < fr->nr; i++) {
		js_append(list, json_vma(&fr->list[i]));
		resident += fr->list[i].resident;
		swapped += fr->list[i].swapped;
	}
	js_set_u64(obj, "t", fr->t);
	js_set_str(obj, "pfn", tr->header.pfn_visible ? "visible" : "hidden");
	js_set_u64(obj, "resident_pages", resident);
	js_set_u64(obj, "swapped_pages", swapped);
	js_set(obj, "vmas", list);
	return obj;
}

static void frames_free(void *state)
{
	struct frames *fr = state;

	forget(fr);
	alloc_free(fr->list);
	alloc_free(fr);
}

const struct view view_frames = {
	.name = "frames",
	.brief = "the physical memory behind each mapping at the last checkpoint",
	.help = FRAMES_BY_HELP,
	.takes = "",
	.with_by = &view_frames_by,
	.start = frames_start,
	.record = frames_record,
	.text = frames_text,
	.json = frames_json,
	.free = frames_free,
};
