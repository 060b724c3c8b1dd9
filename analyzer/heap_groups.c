/* SPDX-License-Identifier: MIT */
#include "heap_groups.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "frame_name.h"
#include "heap_figures.h"
#include "report.h"

const char *const heap_by_names[HEAP_NR_BY] = {
	[HEAP_BY_STACK] = "stack", [HEAP_BY_MODULE] = "module", [HEAP_BY_THREAD] = "thread",
	[HEAP_BY_SIZE] = "size", [HEAP_BY_FUNCTION] = "function",
};

const char *const heap_sort_names[HEAP_NR_SORTS] = {
	[HEAP_SORT_PEAK] = "peak", [HEAP_SORT_LIVE] = "live", [HEAP_SORT_ALLOCATIONS] = "allocations",
	[HEAP_SORT_BYTES] = "bytes", [HEAP_SORT_TEMPORARY] = "temporary",
};

uint64_t heap_class_max(unsigned int bits)
{
	return bits ? UINT64_MAX >> (64 - bits) : 0;
}

/* A group of its own with the figures of @sum. */
static struct heap_group *add(struct heap_groups *g, const struct heap_sum *sum)
{
	struct heap_group *group = &g->list[g->nr++];

	group->sum = *sum;
	if (sum->estimate) {
		group->sum.estimate = alloc_zeroed(sizeof(*sum->estimate));
		*group->sum.estimate = *sum->estimate;
	}
	return group;
}

static void drop(struct heap_group *group)
{
	alloc_free(group->sum.estimate);
	alloc_free(group->name);
}

static const char *module_of(const struct trace *tr, const struct stack_node *node)
{
	return frame_module_name(node->module == STACKS_NO_MODULE ?
					 NULL : &tr->stacks.modules[node->module]);
}

/* How near a frame comes to naming who wanted the memory. */
enum wish { WISH_NONE, WISH_LIBC, WISH_LIBRARY, WISH_PROGRAM };

static enum wish wish_of(const char *frame, const char *module)
{
	if (!frame_is_support(frame))
		return WISH_PROGRAM;
	return frame_is_libc(module) || frame_is_malloc(frame) ? WISH_LIBC : WISH_LIBRARY;
}

char *heap_wisher(struct trace *tr, uint32_t stack, bool wants_module)
{
	const struct stack_node *node = stacks_node(&tr->stacks, stack);
	char *best = alloc_string("(no stack)");
	enum wish found = WISH_NONE;

	for (; node && found < WISH_PROGRAM; node = stacks_node(&tr->stacks, node->parent)) {
		const char *module = module_of(tr, node);
		enum wish wish;
		char *text;

		if (!node->ip)
			continue;
		text = frame_text(symbols_get(tr->symbols, node), module);
		wish = wish_of(text, module);
		if (wish > found || (wish == found && wish == WISH_LIBC)) {
			alloc_free(best);
			best = wants_module ? alloc_string(module) : alloc_string(text);
		}
		found = wish > found ? wish : found;
		alloc_free(text);
	}
	return best;
}

static int by_name(const void *a, const void *b)
{
	const struct heap_group *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->sum.stack > y->sum.stack) - (x->sum.stack < y->sum.stack);
}

/* Make one group of those that have one name. */
static void join(struct heap_groups *g)
{
	size_t i, nr = 0;

	if (g->nr)
		qsort(g->list, g->nr, sizeof(*g->list), by_name);
	for (i = 0; i < g->nr; i++) {
		if (nr && !strcmp(g->list[nr - 1].name, g->list[i].name)) {
			heap_add(&g->list[nr - 1].sum, &g->list[i].sum);
			g->list[nr - 1].stacks++;
			drop(&g->list[i]);
		} else {
			g->list[nr++] = g->list[i];
		}
	}
	g->nr = nr;
}

static void add_sites(struct heap_groups *g, struct trace *tr)
{
	size_t i;

	g->list = alloc_array(tr->heap.nr_sites, sizeof(*g->list));
	for (i = 0; i < tr->heap.nr_sites; i++) {
		struct heap_group *group = add(g, &tr->heap.sites[i]);

		group->stacks = 1;
		if (g->by != HEAP_BY_STACK)
			group->name = heap_wisher(tr, group->sum.stack, g->by == HEAP_BY_MODULE);
	}
	if (g->by != HEAP_BY_STACK)
		join(g);
}

static void add_threads(struct heap_groups *g, const struct heap *h)
{
	size_t i;

	g->list = alloc_array(h->nr_threads, sizeof(*g->list));
	for (i = 0; i < h->nr_threads; i++) {
		const struct heap_thread *th = &h->threads[i];
		struct heap_sum sum = {
			.allocations = th->allocations, .bytes = th->bytes, .frees = th->frees,
			.live_blocks = th->live_blocks, .live_bytes = th->live_bytes,
			.peak_bytes = th->peak_bytes, .temporary = th->temporary,
			.failed = th->failed, .estimate = th->estimate,
		};

		add(g, &sum)->tid = th->tid;
	}
}

static void add_classes(struct heap_groups *g, const struct heap *h)
{
	unsigned int i;

	g->list = alloc_array(HEAP_SIZE_CLASSES, sizeof(*g->list));
	for (i = 0; i < HEAP_SIZE_CLASSES; i++)
		if (h->classes[i].allocations)
			add(g, &h->classes[i])->up_to = heap_class_max(i);
}

void heap_groups_make(struct heap_groups *g, struct trace *tr, enum heap_by by)
{
	*g = (struct heap_groups){ .by = by };
	if (by == HEAP_BY_THREAD)
		add_threads(g, &tr->heap);
	else if (by == HEAP_BY_SIZE)
		add_classes(g, &tr->heap);
	else
		add_sites(g, tr);
}

void heap_groups_fini(struct heap_groups *g)
{
	size_t i;

	for (i = 0; i < g->nr; i++)
		drop(&g->list[i]);
	alloc_free(g->list);
	*g = (struct heap_groups){ 0 };
}

/* Without an order of their own groups are told apart by what they are. */
static int compare(const struct heap_group *x, const struct heap_group *y, double a, double b,
		   double a2, double b2)
{
	if (a != b)
		return a < b ? 1 : -1;
	if (a2 != b2)
		return a2 < b2 ? 1 : -1;
	if (x->name)
		return strcmp(x->name, y->name);
	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	if (x->up_to != y->up_to)
		return x->up_to < y->up_to ? -1 : 1;
	return (x->sum.stack > y->sum.stack) - (x->sum.stack < y->sum.stack);
}

static int by_figures(const void *a, const void *b, enum heap_figure first, enum heap_figure second)
{
	const struct heap_group *x = a, *y = b;

	return compare(x, y, heap_value(&x->sum, first), heap_value(&y->sum, first),
		       heap_value(&x->sum, second), heap_value(&y->sum, second));
}

static int by_peak(const void *a, const void *b)
{
	return by_figures(a, b, HEAP_PEAK_BYTES, HEAP_ALLOCATIONS);
}

static int by_live(const void *a, const void *b)
{
	return by_figures(a, b, HEAP_LIVE_BYTES, HEAP_LIVE_BLOCKS);
}

static int by_allocations(const void *a, const void *b)
{
	return by_figures(a, b, HEAP_ALLOCATIONS, HEAP_BYTES);
}

static int by_bytes(const void *a, const void *b)
{
	return by_figures(a, b, HEAP_BYTES, HEAP_ALLOCATIONS);
}

static int by_temporary(const void *a, const void *b)
{
	const struct heap_group *x = a, *y = b;

	return compare(x, y, x->sum.temporary, y->sum.temporary, x->sum.allocations,
		       y->sum.allocations);
}

void heap_groups_sort(struct heap_groups *g, enum heap_sort sort)
{
	static int (*const orders[HEAP_NR_SORTS])(const void *, const void *) = {
		[HEAP_SORT_PEAK] = by_peak, [HEAP_SORT_LIVE] = by_live,
		[HEAP_SORT_ALLOCATIONS] = by_allocations, [HEAP_SORT_BYTES] = by_bytes,
		[HEAP_SORT_TEMPORARY] = by_temporary,
	};

	if (g->nr)
		qsort(g->list, g->nr, sizeof(*g->list), orders[sort]);
}
