/* SPDX-License-Identifier: MIT */
/*
 * heap and leaks: who allocated. One list of call stacks, ranked by what was live at the peak, or by
 * what was still live at the end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "out.h"
#include "report.h"

enum { DEFAULT_SITES = 20 };

static void *no_state(struct trace *tr)
{
	(void)tr;
	return NULL;
}

static void no_free(void *state)
{
	(void)state;
}

static int by_stack(const struct heap_sum *x, const struct heap_sum *y)
{
	return (x->stack > y->stack) - (x->stack < y->stack);
}

static int by_peak(const void *a, const void *b)
{
	const struct heap_sum *x = a, *y = b;

	if (x->peak_bytes != y->peak_bytes)
		return x->peak_bytes < y->peak_bytes ? 1 : -1;
	if (x->allocations != y->allocations)
		return x->allocations < y->allocations ? 1 : -1;
	return by_stack(x, y);
}

static int by_live(const void *a, const void *b)
{
	const struct heap_sum *x = a, *y = b;

	if (x->live_bytes != y->live_bytes)
		return x->live_bytes < y->live_bytes ? 1 : -1;
	if (x->live_blocks != y->live_blocks)
		return x->live_blocks < y->live_blocks ? 1 : -1;
	return by_stack(x, y);
}

/* Put the @max greatest sites first; their number. */
static size_t rank(struct trace *tr, int (*compare)(const void *, const void *))
{
	struct heap *h = &tr->heap;
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_SITES;

	if (h->nr_sites)
		qsort(h->sites, h->nr_sites, sizeof(*h->sites), compare);
	return max && max < h->nr_sites ? max : h->nr_sites;
}

static void print_totals(struct trace *tr)
{
	const struct heap *h = &tr->heap;
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	if (!strcmp(tr->header.heap, "off"))
		fputs("the heap was not recorded in this trace\n", tr->out);
	fprintf(tr->out,
		"allocations %" PRIu64 " (%s asked for), frees %" PRIu64
		", of these by realloc %" PRIu64 "\n",
		h->allocations, out_size(a, h->bytes), h->frees, h->reallocations);
	fprintf(tr->out, "failed %" PRIu64 ", frees of blocks from before the trace %" PRIu64 "\n",
		h->failed, h->unknown_frees);
	fprintf(tr->out, "peak %s in %" PRIu64 " blocks at %s s\n", out_size(a, h->peak_bytes),
		h->peak_blocks, out_time(b, h->peak_t));
	fprintf(tr->out, "live at the end %s in %" PRIu64 " blocks\n", out_size(a, h->live_bytes),
		h->live_blocks);
}

/* The sizes of a class: those that need @bits bits. */
static uint64_t class_max(unsigned int bits)
{
	return bits ? UINT64_MAX >> (64 - bits) : 0;
}

static void print_classes(struct trace *tr)
{
	unsigned int i;

	fprintf(tr->out, "\n%22s %14s %20s\n", "size up to", "allocations", "bytes");
	for (i = 0; i < HEAP_SIZE_CLASSES; i++)
		if (tr->heap.classes[i].allocations)
			fprintf(tr->out, "%22" PRIu64 " %14" PRIu64 " %20" PRIu64 "\n", class_max(i),
				tr->heap.classes[i].allocations, tr->heap.classes[i].bytes);
}

static void heap_text(struct trace *tr, void *state)
{
	size_t i, nr = rank(tr, by_peak);
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	(void)state;
	print_totals(tr);
	print_classes(tr);
	for (i = 0; i < nr; i++) {
		const struct heap_sum *site = &tr->heap.sites[i];

		fprintf(tr->out, "\n%s in %" PRIu64 " blocks at the peak; %" PRIu64
			" allocations, %s in all\n", out_size(a, site->peak_bytes), site->peak_blocks,
			site->allocations, out_size(b, site->bytes));
		symbols_print_stack(tr->symbols, site->stack, "    ", 0, tr->out);
	}
	symbols_print_notes(tr->symbols, tr->out);
}

static struct json_t *json_site(struct trace *tr, const struct heap_sum *site)
{
	struct json_t *obj = js_object();

	js_set_u64(obj, "allocations", site->allocations);
	js_set_u64(obj, "bytes", site->bytes);
	js_set_u64(obj, "peak_bytes", site->peak_bytes);
	js_set_u64(obj, "peak_blocks", site->peak_blocks);
	js_set_u64(obj, "live_bytes", site->live_bytes);
	js_set_u64(obj, "live_blocks", site->live_blocks);
	js_set(obj, "stack", symbols_json_stack(tr->symbols, site->stack));
	return obj;
}

static struct json_t *json_classes(const struct heap *h)
{
	struct json_t *list = js_array();
	unsigned int i;

	for (i = 0; i < HEAP_SIZE_CLASSES; i++) {
		struct json_t *obj;

		if (!h->classes[i].allocations)
			continue;
		obj = js_object();
		js_set_u64(obj, "up_to", class_max(i));
		js_set_u64(obj, "allocations", h->classes[i].allocations);
		js_set_u64(obj, "bytes", h->classes[i].bytes);
		js_append(list, obj);
	}
	return list;
}

static struct json_t *json_totals(struct trace *tr)
{
	const struct heap *h = &tr->heap;
	struct json_t *obj = js_object();

	js_set_str(obj, "mode", tr->header.heap);
	js_set_u64(obj, "allocations", h->allocations);
	js_set_u64(obj, "frees", h->frees);
	js_set_u64(obj, "reallocations", h->reallocations);
	js_set_u64(obj, "failed", h->failed);
	js_set_u64(obj, "unknown_frees", h->unknown_frees);
	js_set_u64(obj, "bytes", h->bytes);
	js_set_u64(obj, "live_blocks", h->live_blocks);
	js_set_u64(obj, "live_bytes", h->live_bytes);
	js_set_u64(obj, "peak_blocks", h->peak_blocks);
	js_set_u64(obj, "peak_bytes", h->peak_bytes);
	js_set_u64(obj, "peak_t", h->peak_t);
	js_set_u64(obj, "sites", h->nr_sites);
	return obj;
}

static struct json_t *heap_json(struct trace *tr, void *state)
{
	struct json_t *obj = json_totals(tr), *list = js_array();
	size_t i, nr = rank(tr, by_peak);

	(void)state;
	for (i = 0; i < nr; i++)
		js_append(list, json_site(tr, &tr->heap.sites[i]));
	js_set(obj, "classes", json_classes(&tr->heap));
	js_set(obj, "top", list);
	return obj;
}

static void leaks_text(struct trace *tr, void *state)
{
	size_t i, nr = rank(tr, by_live);
	char a[OUT_SIZE_MAX];

	(void)state;
	fprintf(tr->out, "%s in %" PRIu64 " blocks were live at the end\n",
		out_size(a, tr->heap.live_bytes), tr->heap.live_blocks);
	for (i = 0; i < nr && tr->heap.sites[i].live_blocks; i++) {
		const struct heap_sum *site = &tr->heap.sites[i];

		fprintf(tr->out, "\n%s in %" PRIu64 " blocks\n", out_size(a, site->live_bytes),
			site->live_blocks);
		symbols_print_stack(tr->symbols, site->stack, "    ", 0, tr->out);
	}
	symbols_print_notes(tr->symbols, tr->out);
}

static struct json_t *leaks_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *list = js_array();
	size_t i, nr = rank(tr, by_live);

	(void)state;
	js_set_u64(obj, "live_blocks", tr->heap.live_blocks);
	js_set_u64(obj, "live_bytes", tr->heap.live_bytes);
	for (i = 0; i < nr && tr->heap.sites[i].live_blocks; i++)
		js_append(list, json_site(tr, &tr->heap.sites[i]));
	js_set(obj, "leaks", list);
	return obj;
}

const struct view view_heap = {
	.name = "heap",
	.brief = "totals of the heap and who allocated what was live at its peak",
	.help = "  --limit N        show N call stacks (20; 0: all)\n",
	.takes = "l",
	.flags = VIEW_HEAP,
	.start = no_state,
	.text = heap_text,
	.json = heap_json,
	.free = no_free,
};

const struct view view_leaks = {
	.name = "leaks",
	.brief = "blocks that were live at the end, by the call stack that allocated them",
	.help = "  --limit N        show N call stacks (20; 0: all)\n",
	.takes = "l",
	.flags = VIEW_HEAP,
	.start = no_state,
	.text = leaks_text,
	.json = leaks_json,
	.free = no_free,
};
