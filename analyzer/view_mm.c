/* SPDX-License-Identifier: MIT */
/*
 * mm: the counters of the address space at each checkpoint, the shadow's beside the kernel's; page
 * tables, RSS and the kernel's objects at the last one with frames.
 */
#include <inttypes.h>

#include "alloc.h"
#include "json.h"
#include "mm_physical.h"
#include "out.h"
#include "report.h"
#include "summary.h"

enum { CHECKPOINTS_MAX = 10000 };	/* kept at most; the last one always is */

struct checkpoint {
	uint64_t t, seq;
	char why[16];
	struct rec_figures shadow, kernel;
};

struct mm_view {
	struct checkpoint *list;
	size_t nr, cap;
	uint64_t nr_dropped;
	char why[16];
	struct mm_physical physical;
};

static void *mm_start(struct trace *tr)
{
	struct mm_view *v = alloc_zeroed(sizeof(*v));

	(void)tr;
	mm_physical_init(&v->physical);
	return v;
}

static void mm_record(struct trace *tr, void *state, const struct record *rec)
{
	struct mm_view *v = state;
	struct checkpoint *cp;

	mm_physical_record(&v->physical, tr, rec);
	if (rec->ev == TRACE_CHECKPOINT)
		snprintf(v->why, sizeof(v->why), "%s", rec->checkpoint.why);
	if (rec->ev != TRACE_MM)
		return;
	if (v->nr == CHECKPOINTS_MAX) {
		v->nr--;
		v->nr_dropped++;
	}
	v->list = alloc_grow(v->list, v->nr, &v->cap, sizeof(*v->list));
	cp = &v->list[v->nr++];
	*cp = (struct checkpoint){ .t = rec->t, .seq = tr->replay.seq, .shadow = rec->mm.shadow,
				   .kernel = rec->mm.kernel };
	snprintf(cp->why, sizeof(cp->why), "%s", v->why);
	summary_fill_shadow(&cp->shadow, &tr->replay.mm);
}

static void print_value(FILE *out, const struct rec_figures *f, unsigned int i)
{
	char buf[OUT_SIZE_MAX] = "-";

	if (f->known[i] && rec_figure_is_address(i))
		snprintf(buf, sizeof(buf), "0x%" PRIx64, f->value[i]);
	else if (f->known[i])
		snprintf(buf, sizeof(buf), "%" PRIu64, f->value[i]);
	fprintf(out, " %20s", buf);
}

static bool is_comparable(const struct checkpoint *cp, unsigned int i)
{
	return cp->shadow.known[i] && cp->kernel.known[i];
}

static void mm_text(struct trace *tr, void *state)
{
	const struct mm_view *v = state;
	char time[OUT_SIZE_MAX];
	unsigned int i;
	size_t n;

	if (!v->nr)
		fputs("no checkpoints with counters in this trace\n", tr->out);
	for (n = 0; n < v->nr; n++) {
		const struct checkpoint *cp = &v->list[n];

		fprintf(tr->out, "%s%s s, after event %" PRIu64 ": ", n ? "\n" : "",
			out_time(time, cp->t), cp->seq);
		out_name(tr->out, *cp->why ? cp->why : "checkpoint");
		fprintf(tr->out, "\n%-20s %20s %20s\n", "", "shadow", "kernel");
		for (i = 0; i < NR_FIGURES; i++) {
			if (!cp->shadow.known[i] && !cp->kernel.known[i])
				continue;
			fprintf(tr->out, "%-20s", rec_figure_names[i]);
			print_value(tr->out, &cp->shadow, i);
			print_value(tr->out, &cp->kernel, i);
			if (is_comparable(cp, i))
				fputs(cp->shadow.value[i] == cp->kernel.value[i] ? "  equal" :
				      "  differs", tr->out);
			fputc('\n', tr->out);
		}
	}
	if (v->nr_dropped)
		fprintf(tr->out, "\n%" PRIu64 " checkpoints before the last one were left out\n",
			v->nr_dropped);
	mm_physical_print(&v->physical, tr->out);
}

static struct json_t *json_figure(const struct checkpoint *cp, unsigned int i)
{
	const struct rec_figures *pair[] = { &cp->shadow, &cp->kernel };
	static const char *const names[] = { "shadow", "kernel" };
	struct json_t *obj = js_object();
	int k;

	for (k = 0; k < 2; k++) {
		if (!pair[k]->known[i])
			continue;
		if (rec_figure_is_address(i))
			js_set_hex(obj, names[k], pair[k]->value[i]);
		else
			js_set_u64(obj, names[k], pair[k]->value[i]);
	}
	if (is_comparable(cp, i))
		js_set_bool(obj, "equal", cp->shadow.value[i] == cp->kernel.value[i]);
	return obj;
}

static struct json_t *mm_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *list = js_array();
	const struct mm_view *v = state;
	unsigned int i;
	size_t n;

	(void)tr;
	for (n = 0; n < v->nr; n++) {
		const struct checkpoint *cp = &v->list[n];
		struct json_t *one = js_object(), *figures = js_object();

		js_set_u64(one, "t", cp->t);
		js_set_u64(one, "event", cp->seq);
		js_set_str(one, "why", cp->why);
		for (i = 0; i < NR_FIGURES; i++)
			if (cp->shadow.known[i] || cp->kernel.known[i])
				js_set(figures, rec_figure_names[i], json_figure(cp, i));
		js_set(one, "figures", figures);
		js_append(list, one);
	}
	js_set(obj, "checkpoints", list);
	js_set_u64(obj, "left_out", v->nr_dropped);
	mm_physical_json(obj, &v->physical);
	return obj;
}

static void mm_free(void *state)
{
	struct mm_view *v = state;

	mm_physical_fini(&v->physical);
	alloc_free(v->list);
	alloc_free(v);
}

const struct view view_mm = {
	.name = "mm",
	.brief = "the counters at each checkpoint, shadow beside kernel; page tables and RSS",
	.help = "",
	.takes = "",
	.start = mm_start,
	.record = mm_record,
	.text = mm_text,
	.json = mm_json,
	.free = mm_free,
};
