/* SPDX-License-Identifier: MIT */
/*
 * leaks: blocks that were live at the end, by the call stack that allocated them, but for those that
 * are known. Whether the program could still reach a block no trace can tell.
 */
#include <inttypes.h>
#include <string.h>

#include "heap_figures.h"
#include "heap_groups.h"
#include "json.h"
#include "out.h"
#include "report.h"
#include "suppress.h"

enum { DEFAULT_STACKS = 20 };

/* What is live, sorted into what is told and what is not. */
struct leaks {
	struct heap_groups told;	/* call stacks: in front those that are told */
	struct heap_sum sum, suppressed;
	struct heap_estimate sum_estimate, suppressed_estimate;
	uint64_t suppressed_stacks;
	size_t nr;			/* call stacks that are told */
};

static void *leaks_start(struct trace *tr)
{
	const struct suppressions *s = &tr->opt->suppressions;
	size_t i;

	for (i = 0; i < s->nr; i++)
		s->list[i].stacks = s->list[i].blocks = s->list[i].bytes = 0;
	return NULL;
}

/* A check that could not find anything must not pass. */
static void leaks_record(struct trace *tr, void *state, const struct record *rec)
{
	(void)state;
	if (rec->ev == TRACE_HEADER && tr->opt->fail && !strcmp(tr->header.heap, "off"))
		reader_fail(&tr->reader, rec->line, "the heap was not recorded: leaks can't be told");
}

static void leaks_free(void *state)
{
	(void)state;
}

/* Whether @sum's stack is suppressed; counts it. */
static bool suppress(struct trace *tr, const struct heap_sum *sum)
{
	struct suppression *by = suppress_find(&tr->opt->suppressions, tr, sum->stack);

	if (!by)
		return false;
	by->stacks++;
	by->blocks += sum->live_blocks;
	by->bytes += sum->live_bytes;
	return true;
}

static void collect(struct trace *tr, struct leaks *l)
{
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_STACKS;
	struct heap_group *list;
	size_t i, nr = 0;

	*l = (struct leaks){ .suppressed_stacks = 0 };
	if (tr->heap.sample_bytes) {
		l->sum.estimate = &l->sum_estimate;
		l->suppressed.estimate = &l->suppressed_estimate;
	}
	heap_groups_make(&l->told, tr, HEAP_BY_STACK);
	heap_groups_sort(&l->told, HEAP_SORT_LIVE);
	list = l->told.list;
	for (i = 0; i < l->told.nr; i++) {
		struct heap_group swap = list[nr];

		if (!list[i].sum.live_blocks)
			continue;
		if (suppress(tr, &list[i].sum)) {
			heap_add(&l->suppressed, &list[i].sum);
			l->suppressed_stacks++;
			continue;
		}
		heap_add(&l->sum, &list[i].sum);
		list[nr] = list[i];
		list[i] = swap;
		nr++;
	}
	l->told.nr_shown = max && max < nr ? max : nr;
	tr->is_refused = tr->opt->fail && nr;
	l->nr = nr;
}

static void print_suppressed(struct trace *tr, const struct leaks *l)
{
	const struct suppressions *s = &tr->opt->suppressions;
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX];
	size_t i;

	fprintf(tr->out, "suppressed: %s in %s blocks of %" PRIu64 " call stacks\n",
		heap_text(a, &l->suppressed, HEAP_LIVE_BYTES),
		heap_text(b, &l->suppressed, HEAP_LIVE_BLOCKS), l->suppressed_stacks);
	if (!l->suppressed_stacks)
		return;
	fprintf(tr->out, "  %10s %10s  %s\n", "blocks", "bytes", "pattern");
	for (i = 0; i < s->nr; i++) {
		if (!s->list[i].stacks)
			continue;
		fprintf(tr->out, "  %10" PRIu64 " %10" PRIu64 "  ", s->list[i].blocks,
			s->list[i].bytes);
		out_name(tr->out, s->list[i].pattern);
		fputc('\n', tr->out);
	}
}

static void print_leak(struct trace *tr, const struct heap_sum *sum)
{
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX];

	fprintf(tr->out, "\n%s in %s blocks\n", heap_text(a, sum, HEAP_LIVE_BYTES),
		heap_text(b, sum, HEAP_LIVE_BLOCKS));
	symbols_print_stack(tr->symbols, sum->stack, "    ", 0, tr->out);
}

static void leaks_text(struct trace *tr, void *state)
{
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX], size[OUT_SIZE_MAX];
	struct leaks l;
	size_t i;

	(void)state;
	collect(tr, &l);
	if (!strcmp(tr->header.heap, "off"))
		fputs("the heap was not recorded in this trace\n", tr->out);
	if (tr->heap.sample_bytes)
		fprintf(tr->out, "one block for about %s was recorded: these are estimates with their "
			"standard errors\n", out_size(size, tr->heap.sample_bytes));
	fprintf(tr->out, "%s in %s blocks were live at the end\n",
		heap_text(a, &l.sum, HEAP_LIVE_BYTES), heap_text(b, &l.sum, HEAP_LIVE_BLOCKS));
	if (tr->opt->suppressions.nr)
		print_suppressed(tr, &l);
	for (i = 0; i < l.told.nr_shown; i++)
		print_leak(tr, &l.told.list[i].sum);
	if (l.told.nr_shown < l.nr)
		fprintf(tr->out, "\nand %zu more call stacks (--limit 0 shows all)\n",
			l.nr - l.told.nr_shown);
	symbols_print_notes(tr->symbols, tr->out);
	heap_groups_fini(&l.told);
}

static struct json_t *json_suppressed(const struct trace *tr, const struct leaks *l)
{
	const struct suppressions *s = &tr->opt->suppressions;
	struct json_t *obj = js_object(), *list = js_array();
	size_t i;

	js_set_u64(obj, "stacks", l->suppressed_stacks);
	js_set_u64(obj, "live_blocks", l->suppressed.live_blocks);
	js_set_u64(obj, "live_bytes", l->suppressed.live_bytes);
	for (i = 0; i < s->nr; i++) {
		struct json_t *one = js_object();

		js_set_str(one, "pattern", s->list[i].pattern);
		js_set_u64(one, "stacks", s->list[i].stacks);
		js_set_u64(one, "live_blocks", s->list[i].blocks);
		js_set_u64(one, "live_bytes", s->list[i].bytes);
		js_append(list, one);
	}
	js_set(obj, "patterns", list);
	return obj;
}

static struct json_t *leaks_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *list = js_array();
	struct leaks l;
	size_t i;

	(void)state;
	collect(tr, &l);
	js_set_str(obj, "mode", tr->header.heap);
	if (tr->heap.sample_bytes)
		js_set_u64(obj, "sample_bytes", tr->heap.sample_bytes);
	js_set_u64(obj, "stacks", l.nr);
	heap_json_live(obj, &l.sum);
	js_set(obj, "suppressed", json_suppressed(tr, &l));
	for (i = 0; i < l.told.nr_shown; i++) {
		struct json_t *one = js_object();

		heap_json_sum(one, &l.told.list[i].sum);
		js_set(one, "stack", symbols_json_stack(tr->symbols, l.told.list[i].sum.stack));
		js_append(list, one);
	}
	js_set(obj, "leaks", list);
	heap_groups_fini(&l.told);
	return obj;
}

const struct view view_leaks = {
	.name = "leaks",
	.brief = "blocks that were live at the end, by the call stack that allocated them",
	.help = "  --suppressions FILE  leave out what FILE says, in the form of LeakSanitizer's\n"
		"                   suppressions; may be repeated\n"
		"  --fail           exit with status 1 if anything is left\n"
		"  --limit N        show N call stacks (20; 0: all)\n",
	.takes = "lSF",
	.flags = VIEW_HEAP,
	.start = leaks_start,
	.record = leaks_record,
	.text = leaks_text,
	.json = leaks_json,
	.free = leaks_free,
};
