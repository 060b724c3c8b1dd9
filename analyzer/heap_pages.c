/* SPDX-License-Identifier: MIT */
#include "heap_pages.h"

#include <stdlib.h>

#include "alloc.h"

enum { PAGE_BYTES = MM_PAGE_SIZE };

const char *const heap_page_class_names[HEAP_PAGE_CLASSES] = {
	"0", "1-25", "26-50", "51-75", "76-99", "100",
};

/* A page at the end of a block. */
struct end {
	uint32_t live;			/* bytes */
	uint32_t stack : 31, is_shared : 1;	/* shared: by blocks of several stacks */
};

void heap_pages_init(struct heap_pages *p)
{
	*p = (struct heap_pages){ 0 };
	table_init(&p->ends, sizeof(struct end));
}

void heap_pages_fini(struct heap_pages *p)
{
	table_fini(&p->ends);
	alloc_free(p->keepers);
}

static void add_end(struct heap_pages *p, uint32_t stack, uint64_t page, uint64_t bytes)
{
	bool is_new;
	struct end *end = table_put(&p->ends, page, &is_new);

	if (is_new)
		end->stack = stack;
	end->is_shared |= end->stack != (stack & INT32_MAX);
	/* Blocks that overlap come from a trace that lies, or has lost a free. */
	end->live = end->live + bytes < PAGE_BYTES ? end->live + bytes : PAGE_BYTES;
}

void heap_pages_add(struct heap_pages *p, uint32_t stack, uint64_t start, uint64_t end)
{
	uint64_t first = start / PAGE_BYTES, last = (end - 1) / PAGE_BYTES;

	if (first == last) {
		add_end(p, stack, first, end - start);
		return;
	}
	add_end(p, stack, first, (first + 1) * PAGE_BYTES - start);
	add_end(p, stack, last, end - last * PAGE_BYTES);
	p->nr_inside += last - first - 1;
}

static unsigned int class_of(uint32_t live)
{
	return live == PAGE_BYTES ? HEAP_PAGE_CLASSES - 1 :
				    (live + PAGE_BYTES / 4 - 1) / (PAGE_BYTES / 4);
}

static int by_pages(const void *a, const void *b)
{
	const struct heap_keeper *x = a, *y = b;

	if (x->pages != y->pages)
		return x->pages < y->pages ? 1 : -1;
	if (x->live_bytes != y->live_bytes)
		return x->live_bytes > y->live_bytes ? 1 : -1;
	return (x->stack > y->stack) - (x->stack < y->stack);
}

static void collect_keepers(struct heap_pages *p, const struct table *of_stack)
{
	uint64_t stack;
	size_t i;

	p->keepers = alloc_array(of_stack->nr, sizeof(*p->keepers));
	for (i = 0; i < of_stack->cap; i++) {
		const struct heap_keeper *keeper = table_at(of_stack, i, &stack);

		if (keeper)
			p->keepers[p->nr_keepers++] = *keeper;
	}
	if (p->nr_keepers)
		qsort(p->keepers, p->nr_keepers, sizeof(*p->keepers), by_pages);
}

void heap_pages_finish(struct heap_pages *p, uint64_t nr_pages)
{
	uint64_t page, nr_used = p->nr_inside + p->ends.nr;
	struct table of_stack;
	bool is_new;
	size_t i;

	table_init(&of_stack, sizeof(struct heap_keeper));
	for (i = 0; i < p->ends.cap; i++) {
		const struct end *end = table_at(&p->ends, i, &page);
		struct heap_keeper *keeper;

		if (!end)
			continue;
		p->classes[class_of(end->live)]++;
		if (end->is_shared || end->live == PAGE_BYTES)
			continue;
		keeper = table_put(&of_stack, end->stack, &is_new);
		keeper->stack = end->stack;
		keeper->pages++;
		keeper->live_bytes += end->live;
	}
	p->classes[HEAP_PAGE_CLASSES - 1] += p->nr_inside;
	p->classes[0] = nr_pages > nr_used ? nr_pages - nr_used : 0;
	collect_keepers(p, &of_stack);
	table_fini(&of_stack);
}
