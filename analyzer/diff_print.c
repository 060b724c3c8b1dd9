/* SPDX-License-Identifier: MIT */
/* What diff found, for people and as JSON. */
#include <inttypes.h>
#include <string.h>

#include "diff.h"
#include "json.h"
#include "out.h"

static const char *const flag_names[][2] = {
	{ "gd", "grows down" }, { "lo", "locked" }, { "lf", "locked on fault" },
	{ "dc", "not copied by fork" }, { "nr", "noreserve" }, { "ht", "hugetlb" },
	{ "wf", "wiped on fork" }, { "dd", "not in core dumps" }, { "hg", "hugepage" },
	{ "nh", "nohugepage" }, { "mg", "mergeable" }, { "sl", "sealed" }, { "dp", "droppable" },
};

static bool is_count(const struct diff_item *item)
{
	return item->kind == DIFF_THREADS || item->kind == DIFF_MORE ||
	       item->kind == DIFF_FEWER || item->kind == DIFF_SPLIT ||
	       item->kind == DIFF_MERGED;
}

/* Totals whose names say so are bytes. */
static bool is_bytes(const struct diff_item *item)
{
	const char *name = layout_total_names[item->total];
	size_t n = strlen(name);

	if (item->kind != DIFF_TOTAL)
		return !is_count(item);
	return n > 6 && !strcmp(name + n - 6, "_bytes");
}

static void print_value(uint64_t value, bool bytes, FILE *out)
{
	char buf[OUT_SIZE_MAX];

	if (bytes)
		fputs(out_size(buf, value), out);
	else
		fprintf(out, "%" PRIu64, value);
}

static void print_span(const struct span *span, bool bytes, FILE *out)
{
	print_value(span->min, bytes, out);
	if (span->min == span->max)
		return;
	fputs(" to ", out);
	print_value(span->max, bytes, out);
}

static void print_flags(const char *flags, FILE *out)
{
	const char *comma = "";
	size_t i;

	if (!*flags)
		fputs("none", out);
	for (i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++) {
		if (!strstr(flags, flag_names[i][0]))
			continue;
		fprintf(out, "%s%s", comma, flag_names[i][1]);
		comma = ", ";
	}
}

static void print_change(const struct diff_item *item, FILE *out)
{
	const struct diff_group *x = item->before, *y = item->after;
	const struct diff_group *one = x ? x : y;

	switch (item->kind) {
	case DIFF_FACT:
	case DIFF_FACT_GONE:
		break;
	case DIFF_PERMS:
		fprintf(out, ": %s -> %s", x->perms, y->perms);
		break;
	case DIFF_FLAGS:
		fputs(": ", out);
		print_flags(x->flags, out);
		fputs(" -> ", out);
		print_flags(y->flags, out);
		break;
	case DIFF_ADDED:
	case DIFF_REMOVED:
		fputs(": ", out);
		print_span(&one->count, false, out);
		fprintf(out, one->count.max == 1 ? " vma %s, " : " vmas %s, ", one->perms);
		print_span(&one->bytes, true, out);
		break;
	default:
		fputs(": ", out);
		print_span(&item->from, is_bytes(item), out);
		fputs(" -> ", out);
		print_span(&item->to, is_bytes(item), out);
		if (is_count(item))
			fputs(item->kind == DIFF_THREADS ? " threads" : " vmas", out);
	}
}

static enum out_colour colour_of(enum diff_kind kind)
{
	if (kind <= DIFF_PERMS)
		return OUT_RED;
	return kind >= DIFF_FEWER ? OUT_GREEN : OUT_YELLOW;
}

static void print_subject(const struct diff_item *item, FILE *out)
{
	const struct diff_group *g = item->after ? item->after : item->before;

	if (g) {
		layout_describe(out, g->role, g->section, g->name);
	} else if (item->fact) {
		fprintf(out, "%s: ", layout_fact_names[item->fact->kind]);
		layout_describe(out, item->fact->role, item->fact->section, item->fact->name);
	} else if (item->kind == DIFF_HEAP_SITE) {
		fputs("live at the end", out);
	} else if (item->kind == DIFF_THREADS) {
		fputs("made by", out);
	} else {
		fputs(layout_total_names[item->total], out);
	}
}

static void print_item(const struct diff_item *item, bool colour, FILE *out)
{
	size_t i;

	fputs("  ", out);
	out_colour(out, colour, colour_of(item->kind));
	fprintf(out, "%-11s", diff_kind_names[item->kind]);
	out_colour(out, colour, OUT_PLAIN);
	fputc(' ', out);
	print_subject(item, out);
	print_change(item, out);
	fputc('\n', out);
	for (i = 0; item->site && i < item->site->nr_frames; i++) {
		fputs("                ", out);
		out_name(out, item->site->frames[i]);
		fputc('\n', out);
	}
}

static void print_program(const char *name, const char *what, FILE *out)
{
	out_name(out, name);
	fputs(what, out);
}

static void text_program(const struct layout_program *before, const struct layout_program *after,
			 bool colour, FILE *out)
{
	struct diff diff;
	size_t i;

	diff_init(&diff, before, after);
	print_program(after->name, diff.nr_items ? "\n" : ": equal\n", out);
	for (i = 0; i < diff.nr_items; i++)
		print_item(&diff.items[i], colour, out);
	diff_fini(&diff);
}

void diff_print_text(const struct layout *before, const struct layout *after, bool colour, FILE *out)
{
	size_t i;

	for (i = 0; i < after->nr_programs; i++) {
		const struct layout_program *p = &after->programs[i], *q = layout_find(before, p->name);

		if (q)
			text_program(q, p, colour, out);
		else
			print_program(p->name, ": a program that was not there\n", out);
	}
	for (i = 0; i < before->nr_programs; i++)
		if (!layout_find(after, before->programs[i].name))
			print_program(before->programs[i].name, ": is gone\n", out);
}

static struct json_t *json_span(const struct span *span)
{
	struct json_t *list = js_array();

	js_append(list, js_number(span->min));
	js_append(list, js_number(span->max));
	return list;
}

static struct json_t *json_side(const struct diff_group *g)
{
	struct json_t *obj = js_object();

	js_set(obj, "vmas", json_span(&g->count));
	js_set(obj, "bytes", json_span(&g->bytes));
	js_set(obj, "resident", json_span(&g->resident));
	js_set_str(obj, "perms", g->perms);
	js_set_str(obj, "flags", g->flags);
	return obj;
}

static struct json_t *json_item(const struct diff_item *item)
{
	const struct diff_group *g = item->after ? item->after : item->before;
	struct json_t *obj = js_object(), *frames;
	size_t i;

	js_set_str(obj, "kind", diff_kind_names[item->kind]);
	if (g)
		layout_set_place(obj, g->role, g->section, g->name);
	if (item->before)
		js_set(obj, "before", json_side(item->before));
	if (item->after)
		js_set(obj, "after", json_side(item->after));
	if (item->fact) {
		js_set_str(obj, "fact", layout_fact_names[item->fact->kind]);
		layout_set_place(obj, item->fact->role, item->fact->section, item->fact->name);
	}
	if (item->kind == DIFF_TOTAL)
		js_set_str(obj, "total", layout_total_names[item->total]);
	if (!g && !item->fact) {
		js_set(obj, "from", json_span(&item->from));
		js_set(obj, "to", json_span(&item->to));
	}
	if (item->site) {
		frames = js_array();
		for (i = 0; i < item->site->nr_frames; i++)
			js_append(frames, js_string(item->site->frames[i]));
		js_set(obj, "site", frames);
	}
	return obj;
}

static struct json_t *json_program(const struct layout_program *before,
				   const struct layout_program *after)
{
	struct json_t *obj = js_object(), *list = js_array();
	struct diff diff;
	size_t i;

	js_set_str(obj, "name", after ? after->name : before->name);
	js_set_str(obj, "status", !before ? "added" : !after ? "removed" : "both");
	diff_init(&diff, before, after);
	for (i = 0; before && after && i < diff.nr_items; i++)
		js_append(list, json_item(&diff.items[i]));
	diff_fini(&diff);
	js_set(obj, "differences", list);
	return obj;
}

struct json_t *diff_json(const struct layout *before, const struct layout *after)
{
	struct json_t *doc = js_object(), *list = js_array();
	size_t i;

	for (i = 0; i < after->nr_programs; i++)
		js_append(list, json_program(layout_find(before, after->programs[i].name),
					     &after->programs[i]));
	for (i = 0; i < before->nr_programs; i++)
		if (!layout_find(after, before->programs[i].name))
			js_append(list, json_program(&before->programs[i], NULL));
	js_set(doc, "programs", list);
	return doc;
}
