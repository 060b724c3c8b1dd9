/* SPDX-License-Identifier: MIT */
#include "mm_physical.h"

#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "out.h"
#include "report.h"

const enum rec_figure mm_physical_figures[NR_RSS_COUNTERS] = {
	[RSS_ANON] = FIGURE_rss_anon_bytes, [RSS_FILE] = FIGURE_rss_file_bytes,
	[RSS_SHMEM] = FIGURE_rss_shmem_bytes,
};

static const char *const sureness_titles[] = {
	[COST_EXACT] = "", [COST_AT_LEAST] = "at least", [COST_ESTIMATE] = "estimate",
};

void mm_physical_init(struct mm_physical *p)
{
	*p = (struct mm_physical){ .is_known = false };
	emptied_init(&p->emptied);
}

void mm_physical_fini(struct mm_physical *p)
{
	alloc_free(p->unreadable);
	emptied_fini(&p->emptied);
	physmaps_fini(&p->maps);
}

/* All lines of a checkpoint were read, and the vmas are still those of that moment. */
static void take_checkpoint(struct mm_physical *p, struct trace *tr)
{
	const struct physmap *map = &p->maps.now;
	const struct mm *mm = &tr->replay.mm;
	size_t i;

	p->is_known = true;
	p->t = map->t;
	p->kernel = map->kernel;
	p->end = map->end;
	memcpy(p->why, map->why, sizeof(p->why));
	page_tables_count(&p->tables, map, &tr->classes, mm, &p->emptied);
	page_counts_make(&p->counts, map, &tr->classes);
	mm_cost_make(&p->cost, map, &tr->classes, mm);
	alloc_free(p->unreadable);
	p->unreadable = p->cost.unreadable ? alloc_string(p->cost.unreadable) : NULL;
	p->cost.unreadable = p->unreadable;
	p->unaccounted = 0;
	for (i = 0; i < map->nr_diffs; i++)
		if (map->diffs[i].cause == TRACE_FRAME_CAUSE_OUTSIDE)
			p->unaccounted += map->diffs[i].pages;
}

void mm_physical_record(struct mm_physical *p, struct trace *tr, const struct record *rec)
{
	physmaps_record(&p->maps, tr, rec);
	emptied_record(&p->emptied, rec);
	if (rec->ev == TRACE_HEADER)
		p->is_forked = rec->header.has_parent;
	else if (rec->ev == TRACE_FRAMES_END)
		take_checkpoint(p, tr);
}

static uint64_t sum(const uint64_t *nr)
{
	return nr[TABLE_PTE] + nr[TABLE_PMD] + nr[TABLE_PUD];
}

static void print_level(const struct page_tables *t, int level, FILE *out)
{
	char buf[OUT_SIZE_MAX];
	uint64_t nr = t->nr[level] + (level == TABLE_PTE ? t->kept : 0);

	fprintf(out, "%-20s %12" PRIu64 " %12s", table_level_names[level], nr,
		out_size(buf, nr * TABLE_BYTES));
	if (level == TABLE_PTE && t->kept)
		fprintf(out, "  %" PRIu64 " of them kept with transparent huge pages", t->kept);
	if (level == TABLE_P4D && !t->has_five_levels)
		fputs("  folded, with four levels", out);
	else if (level >= NR_COUNTED_LEVELS)
		fputs("  not in VmPTE", out);
	fputc('\n', out);
}

/* Why the kernel has @more tables than the pages need. */
static void print_reasons(const struct mm_physical *p, uint64_t more, FILE *out)
{
	const struct page_tables *t = &p->tables;

	if (sum(t->emptied))
		fprintf(out, "  up to %" PRIu64 " under pages taken away (by madvise, brk, or near what "
			"was unmapped), %" PRIu64 " of them by vmtrace\n", sum(t->emptied),
			sum(t->emptied_own));
	if (p->unaccounted)
		fprintf(out, "  those under %" PRIu64 " pages outside all mappings known\n",
			p->unaccounted);
	if (more > sum(t->emptied))
		fprintf(out, "  %" PRIu64 " for other reasons: %spages that were reclaimed, or went "
			"with their file or after\n  the count; all mappings filled would take %" PRIu64
			"\n", more - sum(t->emptied), p->is_forked ?
			"tables that fork copied, the parent's empty ones too; " : "",
			sum(t->filled));
}

static void print_difference(const struct mm_physical *p, FILE *out)
{
	uint64_t ours = page_tables_bytes(&p->tables);
	uint64_t kernel = p->kernel.value[FIGURE_pgtables_bytes];
	uint64_t apart = kernel > ours ? kernel - ours : ours - kernel;
	char buf[OUT_SIZE_MAX];

	fprintf(out, "%-20s %12" PRIu64 " %12s", "VmPTE", kernel / TABLE_BYTES,
		out_size(buf, kernel));
	if (!apart) {
		fputs("  equal\n", out);
		return;
	}
	fprintf(out, "  %" PRIu64 " table%s %s than these pages need\n", apart / TABLE_BYTES,
		apart == TABLE_BYTES ? "" : "s", kernel > ours ? "more" : "less");
	if (kernel > ours)
		print_reasons(p, apart / TABLE_BYTES, out);
	else
		fputs("  pages came after the kernel's count, or were unmapped before it\n", out);
}

static void print_tables(const struct mm_physical *p, FILE *out)
{
	char buf[OUT_SIZE_MAX];
	int level;

	fprintf(out, "\n%-20s %12s %12s\n", "page tables", "tables", "bytes");
	for (level = NR_TABLE_LEVELS - 1; level >= 0; level--)
		print_level(&p->tables, level, out);
	fprintf(out, "%-20s %12" PRIu64 " %12s\n", "pud, pmd and pte",
		page_tables_bytes(&p->tables) / TABLE_BYTES,
		out_size(buf, page_tables_bytes(&p->tables)));
	if (p->kernel.known[FIGURE_pgtables_bytes])
		print_difference(p, out);
	if (!p->tables.has_huge)
		fputs("  which pages are huge is not known before Linux 6.7: those of files count "
		      "as small ones\n", out);
}

static void print_kinds(const struct mm_physical *p, FILE *out)
{
	char buf[OUT_SIZE_MAX];
	int kind;

	fprintf(out, "\n%-20s %12s %12s\n", "kinds of pages", "pages", "bytes");
	for (kind = 0; kind < NR_PAGE_KINDS; kind++)
		if (p->counts.kinds[kind])
			fprintf(out, "%-20s %12" PRIu64 " %12s\n", page_kind_names[kind],
				p->counts.kinds[kind],
				out_size(buf, p->counts.kinds[kind] * MM_PAGE_SIZE));
	if (!p->counts.has_kinds)
		fputs("  without /proc/kpageflags shared memory counts as file, and what is in no "
		      "counter as anon or file\n", out);
}

/* The counters were read before the pages, and reading what stands between them takes pages. */
static void print_scan(const struct mm_physical *p, FILE *out)
{
	const struct rec_frames_end *end = &p->end;
	uint64_t before = end->rss_before * MM_PAGE_SIZE, after = end->rss_after * MM_PAGE_SIZE;

	fprintf(out, "%-20s %20" PRIu64, "all", page_counts_rss_bytes(&p->counts));
	if (before)
		fprintf(out, " %20" PRIu64 "  %s, right before the pages were read; %" PRIu64
			" after that and %" PRIu64 " faults", before,
			before == page_counts_rss_bytes(&p->counts) ? "equal" : "differs", after, end->faults);
	fprintf(out, "\n%-20s %20" PRIu64 "  zero page, hugetlb, memory without struct page\n",
		"in no counter", (uint64_t)(p->counts.rss[RSS_NONE] * MM_PAGE_SIZE));
}

static void print_kernel_rss(uint64_t ours, uint64_t kernel, FILE *out)
{
	uint64_t apart = (ours > kernel ? ours - kernel : kernel - ours) / MM_PAGE_SIZE;

	fprintf(out, " %20" PRIu64 "  ", kernel);
	if (apart)
		fprintf(out, "%" PRIu64 " page%s %s, a moment before", apart, apart == 1 ? "" : "s",
			ours > kernel ? "less" : "more");
	else
		fputs("equal", out);
}

static void print_rss(const struct mm_physical *p, FILE *out)
{
	int i;

	fprintf(out, "\n%-20s %20s %20s\n", "RSS, bytes", "by pages", "by the kernel");
	for (i = 0; i < RSS_NONE; i++) {
		uint64_t ours = p->counts.rss[i] * MM_PAGE_SIZE;
		uint64_t kernel = p->kernel.value[mm_physical_figures[i]];

		fprintf(out, "%-20s %20" PRIu64, rss_counter_names[i], ours);
		if (p->kernel.known[mm_physical_figures[i]])
			print_kernel_rss(ours, kernel, out);
		fputc('\n', out);
	}
	print_scan(p, out);
}

static void print_objects(const struct mm_physical *p, FILE *out)
{
	const struct mm_cost *c = &p->cost;
	char buf[OUT_SIZE_MAX];
	int i;

	fprintf(out, "\n%-20s %12s %12s %12s\n", "kernel memory", "objects", "each", "bytes");
	for (i = 0; i < NR_COST_OBJECTS; i++) {
		fprintf(out, "%-20s %12" PRIu64, cost_object_names[i], c->nr[i]);
		if (c->object_bytes[i])
			fprintf(out, " %12" PRIu64 " %12s", c->object_bytes[i],
				out_size(buf, c->nr[i] * c->object_bytes[i]));
		else
			fprintf(out, " %12s %12s", "-", "-");
		fprintf(out, "%s%s\n", *sureness_titles[cost_sureness[i]] ? "  " : "",
			sureness_titles[cost_sureness[i]]);
	}
	if (c->unreadable) {
		fputs("sizes not readable: /proc/slabinfo (", out);
		out_name(out, c->unreadable);
		fputs(")\n", out);
	}
}

void mm_physical_print(const struct mm_physical *p, FILE *out)
{
	char buf[OUT_SIZE_MAX];

	if (!p->is_known)
		return;
	fprintf(out, "\npages at %s s: ", out_time(buf, p->t));
	out_name(out, *p->why ? p->why : "checkpoint");
	fputc('\n', out);
	print_tables(p, out);
	print_kinds(p, out);
	print_rss(p, out);
	print_objects(p, out);
}
