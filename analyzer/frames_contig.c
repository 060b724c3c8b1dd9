/* SPDX-License-Identifier: MIT */
#include "frames_contig.h"

#include <vmtrace/mm.h>

void contig_add(struct frames_contig *c, const struct contig_run *run)
{
	struct contig_run *open = &c->open;

	if (open->pages && open->va + open->pages * MM_PAGE_SIZE == run->va &&
	    open->pfn + open->pages == run->pfn) {
		open->pages += run->pages;
		return;
	}
	contig_close(c);
	*open = *run;
}

/* Of equal ones the lower address stays first. */
static void note_largest(struct frames_contig *c, const struct contig_run *run)
{
	size_t i = c->nr_largest;

	if (i < CONTIG_LARGEST)
		c->nr_largest++;
	else if (c->largest[--i].pages >= run->pages)
		return;
	for (; i && c->largest[i - 1].pages < run->pages; i--)
		c->largest[i] = c->largest[i - 1];
	c->largest[i] = *run;
}

void contig_close(struct frames_contig *c)
{
	unsigned int order;

	if (!c->open.pages)
		return;
	order = 63 - __builtin_clzll(c->open.pages);
	order = order < CONTIG_ORDERS ? order : CONTIG_ORDERS - 1;
	c->runs[order]++;
	c->pages[order] += c->open.pages;
	c->nr_runs++;
	c->nr_pages += c->open.pages;
	note_largest(c, &c->open);
	c->open = (struct contig_run){ 0 };
}
