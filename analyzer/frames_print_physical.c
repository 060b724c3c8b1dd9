/* SPDX-License-Identifier: MIT */
#include "frames_print.h"

#include <inttypes.h>
#include <stdlib.h>

#include "alloc.h"
#include "heap_figures.h"
#include "out.h"

enum { CHURN_VMAS_MAX = 20 };

static void print_nodes(struct trace *tr, const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX], c[OUT_SIZE_MAX];
	size_t i;

	for (i = 0; i < map->nr_nodes; i++) {
		const struct phys_node *node = &map->nodes[i];

		fprintf(tr->out, "node %u: ", node->node);
		if (map->pfn_visible)
			fprintf(tr->out, "%s of ",
				frames_size(a, frames_sum_node(&v->all, map, node->node)));
		fprintf(tr->out, "%s, %s free", out_size(b, node->total_bytes),
			out_size(c, node->free_bytes));
		if (node->cpus) {
			fputs(", CPUs ", tr->out);
			out_name(tr->out, node->cpus);
		}
		fputc('\n', tr->out);
	}
}

static void print_zone(struct trace *tr, const struct phys_zone *zone, bool is_known, uint64_t pages)
{
	const struct rec_zone *z = &zone->rec;
	char text[OUT_SIZE_MAX], share[HEAP_FIGURE_MAX], *name = out_spelt(zone->name);

	fprintf(tr->out, "%4u %-8s", z->node, name);
	alloc_free(name);
	fprintf(tr->out, " %10s", is_known ? frames_size(text, pages) : "-");
	fprintf(tr->out, " %6s", is_known ? heap_text_share(share, pages, z->present) : "-");
	fprintf(tr->out, " %10s", frames_size(text, z->present));
	fprintf(tr->out, " %10s", frames_size(text, z->free));
	fprintf(tr->out, " %10s", frames_size(text, z->min));
	fprintf(tr->out, " %10s", frames_size(text, z->low));
	fprintf(tr->out, " %10s\n", frames_size(text, z->high));
}

void frames_print_topology(struct trace *tr, const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	char text[OUT_SIZE_MAX];
	size_t i;

	if (!map->nr_zones && !map->nr_nodes)
		return;
	fputc('\n', tr->out);
	print_nodes(tr, v);
	if (map->nr_zones)
		fprintf(tr->out, "%4s %-8s %10s %6s %10s %10s %10s %10s %10s\n", "node", "zone", "ours",
			"share", "present", "free", "min", "low", "high");
	for (i = 0; i < map->nr_zones; i++)
		print_zone(tr, &map->zones[i], map->pfn_visible, v->all.zones[i]);
	if (v->all.zones[i])
		fprintf(tr->out, "%4s %-8s %10s\n", "", "none", frames_size(text, v->all.zones[i]));
}

static void print_largest(struct trace *tr, const struct physmap *map, const struct contig_run *run)
{
	const struct phys_vma *vma = physmap_vma(map, run->va);
	char text[OUT_SIZE_MAX];

	fprintf(tr->out, "%11s  %012" PRIx64 " at frame 0x%" PRIx64, frames_size(text, run->pages),
		run->va, run->pfn);
	if (vma) {
		fputs("  ", tr->out);
		frames_print_name(tr, vma);
	}
	fputc('\n', tr->out);
}

void frames_print_contig(struct trace *tr, const struct frames_view *v)
{
	const struct frames_contig *c = &v->all.contig;
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];
	size_t i;

	if (!c->nr_runs)
		return;
	fprintf(tr->out, "\n%" PRIu64 " runs of pages whose frames are one behind the other, %s on "
		"average\n%5s %11s %8s %11s\n", c->nr_runs, frames_size(a, c->nr_pages / c->nr_runs),
		"order", "from", "runs", "memory");
	for (i = 0; i < CONTIG_ORDERS; i++)
		if (c->runs[i])
			fprintf(tr->out, "%5zu %11s %8" PRIu64 " %11s\n", i,
				frames_size(a, 1ull << i), c->runs[i], frames_size(b, c->pages[i]));
	fputs("the largest\n", tr->out);
	for (i = 0; i < c->nr_largest; i++)
		print_largest(tr, &v->maps.now, &c->largest[i]);
}

static void print_churn_line(struct trace *tr, const uint64_t *pages)
{
	char text[OUT_SIZE_MAX];
	int i;

	for (i = 0; i < NR_CHURNS; i++)
		fprintf(tr->out, " %10s", pages[i] ? frames_size(text, pages[i]) : "-");
}

static bool has_churn(const struct frames_churn *churn)
{
	int i;

	for (i = 0; i < NR_CHURNS; i++)
		if (churn->pages[i])
			return true;
	return false;
}

static int compare_churn(const void *a, const void *b)
{
	const struct churn_vma *x = *(const struct churn_vma *const *)a;
	const struct churn_vma *y = *(const struct churn_vma *const *)b;
	uint64_t of_x = 0, of_y = 0;
	int i;

	for (i = 0; i < NR_CHURNS; i++) {
		of_x += x->pages[i];
		of_y += y->pages[i];
	}
	if (of_x != of_y)
		return of_x > of_y ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* One by one, those with most first; vmtrace's together, unless they are asked for. */
static void print_churn_vmas(struct trace *tr, const struct frames_churn *churn)
{
	const struct churn_vma **sorted = alloc_array(churn->nr_vmas, sizeof(*sorted));
	uint64_t own[NR_CHURNS] = { 0 };
	size_t i, k, nr = 0, nr_own = 0;

	for (i = 0; i < churn->nr_vmas; i++)
		sorted[i] = &churn->vmas[i];
	qsort(sorted, churn->nr_vmas, sizeof(*sorted), compare_churn);
	for (i = 0; i < churn->nr_vmas; i++) {
		const struct churn_vma *one = sorted[i];

		if (one->vma->own && !tr->opt->own) {
			for (k = 0; k < NR_CHURNS; k++)
				own[k] += one->pages[k];
			nr_own++;
		} else if (nr++ < CHURN_VMAS_MAX) {
			print_churn_line(tr, one->pages);
			fprintf(tr->out, "  %012" PRIx64 " ", one->vma->start);
			frames_print_name(tr, one->vma);
			fputc('\n', tr->out);
		}
	}
	alloc_free(sorted);
	if (nr_own) {
		print_churn_line(tr, own);
		fputs("  vmtrace's\n", tr->out);
	}
	if (nr > CHURN_VMAS_MAX)
		fprintf(tr->out, "%zu more mappings (--json shows all)\n", nr - CHURN_VMAS_MAX);
}

void frames_print_churn(struct trace *tr, const struct frames_view *v)
{
	const struct frames_churn *churn = &v->churn;
	char time[OUT_SIZE_MAX];
	size_t i;

	if (!v->has_churn)
		return;
	fprintf(tr->out, "\nsince %s s, checkpoint \"", out_time(time, v->maps.before.t));
	out_name(tr->out, v->maps.before.why);
	if (!has_churn(churn)) {
		fputs("\": the same pages\n", tr->out);
		return;
	}
	fputs("\":\n", tr->out);
	for (i = 0; i < NR_CHURNS; i++)
		fprintf(tr->out, " %10s", churn_texts[i]);
	fputc('\n', tr->out);
	print_churn_line(tr, churn->pages);
	fputs("  all\n", tr->out);
	print_churn_vmas(tr, churn);
}
