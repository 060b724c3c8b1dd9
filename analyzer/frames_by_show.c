/* SPDX-License-Identifier: MIT */
/*
 * frames --by: the owners of resident memory, the greatest first, for people and for programs.
 */
#include <inttypes.h>

#include "alloc.h"
#include "frames_by.h"
#include "heap_figures.h"
#include "json.h"
#include "out.h"
#include "report.h"

enum { DEFAULT_ROWS = 20 };

static const char *const titles[FRAMES_NR_OWNERS] = {
	[FRAMES_OWNER_MAPPED] = "mapped by", [FRAMES_OWNER_HEAP] = "heap, allocated by",
	[FRAMES_OWNER_FREE] = "free heap memory, mapped by",
	[FRAMES_OWNER_START] = "there at start",
	[FRAMES_OWNER_UNSEEN] = "mapped by a call that was not captured",
	[FRAMES_OWNER_OWN] = "vmtrace's own",
};

static void *by_start(struct trace *tr)
{
	struct frames_by *f = alloc_zeroed(sizeof(*f));

	frames_by_init(f, tr->opt->heap_by);
	return f;
}

static void by_free(void *state)
{
	frames_by_fini(state);
	alloc_free(state);
}

static void by_record(struct trace *tr, void *state, const struct record *rec)
{
	frames_by_record(state, tr, rec);
}

static size_t nr_shown(const struct trace *tr, const struct frames_by *f)
{
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_ROWS;

	return max && max < f->nr_rows ? max : f->nr_rows;
}

/* Free memory of a heap that was there at start, or whose call had no stack taken. */
static const char *title_of(const struct frames_row *row)
{
	if (row->owner == FRAMES_OWNER_FREE && !row->stack)
		return "free heap memory";
	return titles[row->owner];
}

static const char *name_of(const struct frames_row *row)
{
	if (row->owner == FRAMES_OWNER_OWN)
		return "vmtrace";
	return *row->name ? row->name : "(anonymous)";
}

static const char *text_if(char *buf, bool is_known, uint64_t bytes)
{
	return is_known ? out_size(buf, bytes) : "-";
}

static void print_totals(struct trace *tr, const struct frames_by *f)
{
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX], c[OUT_SIZE_MAX], d[OUT_SIZE_MAX];

	fprintf(tr->out, "at %s s, checkpoint ", out_time(a, f->t));
	out_name(tr->out, f->why);
	fprintf(tr->out, ", after event %" PRIu64 "\n", f->seq);
	if (!f->is_complete)
		fputs("the checkpoint is not complete: pages are missing\n", tr->out);
	fprintf(tr->out, "resident %s, PSS %s, huge %s, swapped %s in %" PRIu64 " pages\n",
		out_size(a, f->all.resident), text_if(b, f->has_pss, f->all.pss),
		text_if(c, f->has_huge, f->all.huge), out_size(d, f->all.swapped), f->all.pages);
	if (tr->heap.sample_bytes)
		fputs("only a sample of blocks was recorded: the heap is that of who mapped it\n",
		      tr->out);
	else if (!f->has_blocks)
		fputs("no blocks were recorded: the heap is that of who mapped it\n", tr->out);
}

static void print_stack(struct trace *tr, const struct frames_by *f, const struct frames_row *row)
{
	char a[OUT_SIZE_MAX], share[HEAP_FIGURE_MAX];
	const struct owner_sum *s = &row->sum;

	fprintf(tr->out, "\n%s resident (%s)", out_size(a, s->resident),
		heap_text_share(share, s->resident, f->all.resident));
	if (f->has_pss)
		fprintf(tr->out, ", PSS %s", out_size(a, s->pss));
	if (f->has_huge && s->huge)
		fprintf(tr->out, ", huge %s", out_size(a, s->huge));
	if (s->swapped)
		fprintf(tr->out, ", swapped %s", out_size(a, s->swapped));
	fprintf(tr->out, ", on %" PRIu64 " pages: %s", s->pages, title_of(row));
	if (row->name && row->owner != FRAMES_OWNER_OWN) {
		fputs(": ", tr->out);
		out_name(tr->out, name_of(row));
	}
	fputc('\n', tr->out);
	if (frames_owner_has_stack(row->owner) && row->stack)
		symbols_print_stack(tr->symbols, row->stack, "    ", 0, tr->out);
	else if (frames_owner_has_stack(row->owner) && row->owner != FRAMES_OWNER_FREE)
		fputs("    (no stack)\n", tr->out);
}

static void print_row(struct trace *tr, const struct frames_by *f, const struct frames_row *row)
{
	char buf[OUT_SIZE_MAX], share[HEAP_FIGURE_MAX];
	const struct owner_sum *s = &row->sum;

	fprintf(tr->out, "%7s", heap_text_share(share, s->resident, f->all.resident));
	fprintf(tr->out, " %11s", out_size(buf, s->resident));
	fprintf(tr->out, " %11s", text_if(buf, f->has_pss, s->pss));
	fprintf(tr->out, " %11s", text_if(buf, f->has_huge, s->huge));
	fprintf(tr->out, " %11s %9" PRIu64 "  %-9s ", out_size(buf, s->swapped), s->pages,
		frames_owner_names[row->owner]);
	if (row->name)
		out_name(tr->out, name_of(row));
	else
		fprintf(tr->out, "%" PRId64, row->tid);
	fputc('\n', tr->out);
}

static void by_text(struct trace *tr, void *state)
{
	struct frames_by *f = state;
	size_t i, nr;

	if (!f->is_known) {
		fputs("no frames in this trace (VMTRACE_FRAMES=final or checkpoint records them)\n",
		      tr->out);
		return;
	}
	frames_by_collect(f, tr);
	nr = nr_shown(tr, f);
	print_totals(tr, f);
	if (f->by != HEAP_BY_STACK)
		fprintf(tr->out, "\n%7s %11s %11s %11s %11s %9s  %-9s %s\n", "share", "resident",
			"PSS", "huge", "swapped", "pages", "how", heap_by_names[f->by]);
	for (i = 0; i < nr; i++) {
		if (f->by == HEAP_BY_STACK)
			print_stack(tr, f, &f->rows[i]);
		else
			print_row(tr, f, &f->rows[i]);
	}
	if (nr < f->nr_rows)
		fprintf(tr->out, "\nand %zu more (--limit 0 shows all)\n", f->nr_rows - nr);
	symbols_print_notes(tr->symbols, tr->out);
}

static void json_sum(struct json_t *obj, const struct frames_by *f, const struct owner_sum *s)
{
	js_set_u64(obj, "resident_bytes", s->resident);
	js_set(obj, "pss_bytes", f->has_pss ? js_number(s->pss + 0.5) : js_null());
	js_set(obj, "huge_bytes", f->has_huge ? js_number(s->huge) : js_null());
	js_set_u64(obj, "swapped_bytes", s->swapped);
	js_set_u64(obj, "pages", s->pages);
}

static struct json_t *json_row(struct trace *tr, const struct frames_by *f,
			       const struct frames_row *row)
{
	struct json_t *obj = js_object();

	js_set_str(obj, "how", frames_owner_names[row->owner]);
	if (row->name)
		js_set_str(obj, "name", row->name);
	if (frames_owner_has_stack(row->owner) && f->by == HEAP_BY_THREAD)
		js_set(obj, "tid", js_signed(row->tid));
	else if (frames_owner_has_stack(row->owner) && f->by != HEAP_BY_STACK)
		js_set_u64(obj, "stacks", row->stacks);
	json_sum(obj, f, &row->sum);
	if (frames_owner_has_stack(row->owner) && f->by == HEAP_BY_STACK)
		js_set(obj, "stack", symbols_json_stack(tr->symbols, row->stack));
	return obj;
}

static struct json_t *by_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *list = js_array();
	struct frames_by *f = state;
	size_t i, nr;

	frames_by_collect(f, tr);
	nr = nr_shown(tr, f);
	js_set_u64(obj, "t", f->t);
	js_set_str(obj, "why", f->why);
	js_set_u64(obj, "event", f->seq);
	js_set_str(obj, "pfn", f->pfn_visible ? "visible" : "hidden");
	js_set_bool(obj, "complete", f->is_complete);
	js_set_bool(obj, "blocks", f->has_blocks);
	json_sum(obj, f, &f->all);
	js_set_str(obj, "by", heap_by_names[f->by]);
	js_set_u64(obj, "groups", f->nr_rows);
	for (i = 0; i < nr; i++)
		js_append(list, json_row(tr, f, &f->rows[i]));
	js_set(obj, "top", list);
	return obj;
}

const struct view view_frames_by = {
	.name = "frames",
	.takes = "bl",
	.takes_by = 1u << HEAP_BY_STACK | 1u << HEAP_BY_MODULE | 1u << HEAP_BY_FUNCTION |
		    1u << HEAP_BY_THREAD,
	.flags = VIEW_HEAP,
	.start = by_start,
	.record = by_record,
	.text = by_text,
	.json = by_json,
	.free = by_free,
};
