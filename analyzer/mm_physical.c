/* SPDX-License-Identifier: MIT */
#include "mm_physical.h"

#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "out.h"
#include "report.h"

#define RSS_NAME(symbol, name) [RSS_##symbol] = name,
static const char *const rss_names[NR_RSS_COUNTERS] = { RSS_COUNTERS(RSS_NAME) };

static const enum rec_figure rss_figures[NR_RSS_COUNTERS] = {
	[RSS_ANON] = FIGURE_rss_anon_bytes, [RSS_FILE] = FIGURE_rss_file_bytes,
	[RSS_SHMEM] = FIGURE_rss_shmem_bytes,
};

static const char *const sureness_names[] = {
	[COST_EXACT] = "exact", [COST_AT_LEAST] = "at_least", [COST_ESTIMATE] = "estimate",
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
	p->kernel = p->next_kernel;
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
	else if (rec->ev == TRACE_CHECKPOINT)
		p->next_kernel = (struct rec_figures){ .known = { false } };
	else if (rec->ev == TRACE_MM)
		p->next_kernel = rec->mm.kernel;
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
		fprintf(out, "  up to %" PRIu64 " under pages taken away (by madvise, brk, or near what was "
			"unmapped), %" PRIu64 " of them by vmtrace\n", sum(t->emptied),
			sum(t->emptied_own));
	if (p->unaccounted)
		fprintf(out, "  those under %" PRIu64 " pages outside all mappings known\n",
			p->unaccounted);
	if (more > sum(t->emptied))
		fprintf(out, "  %" PRIu64 " for other reasons: %spages that were reclaimed, or went with "
			"their file or after the count;\n  all mappings filled would take %" PRIu64 "\n",
			more - sum(t->emptied),
			p->is_forked ? "tables that fork copied, the parent's empty ones too; " : "",
			sum(t->filled));
}

static void print_difference(const struct mm_physical *p, FILE *out)
{
	uint64_t ours = page_tables_bytes(&p->tables);
	uint64_t kernel = p->kernel.value[FIGURE_pgtables_bytes];
	uint64_t apart = kernel > ours ? kernel - ours : ours - kernel;
	char buf[OUT_SIZE_MAX];

	fprintf(out, "%-20s %12" PRIu64 " %12s", "VmPTE", kernel / TABLE_BYTES, out_size(buf, kernel));
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
		fputs("  which pages are huge is not known before Linux 6.7: those of files count as "
		      "small ones\n", out);
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

static uint64_t rss_bytes(const struct mm_physical *p)
{
	uint64_t pages = 0;
	int i;

	for (i = 0; i < RSS_NONE; i++)
		pages += p->counts.rss[i];
	return pages * MM_PAGE_SIZE;
}

/* The counters were read before the pages, and reading what stands between them takes pages. */
static void print_scan(const struct mm_physical *p, FILE *out)
{
	const struct rec_frames_end *end = &p->end;
	uint64_t before = end->rss_before * MM_PAGE_SIZE, after = end->rss_after * MM_PAGE_SIZE;

	fprintf(out, "%-20s %20" PRIu64, "all", rss_bytes(p));
	if (before)
		fprintf(out, " %20" PRIu64 "  %s, right before the pages were read; %" PRIu64 " after "
			"that and %" PRIu64 " faults", before,
			before == rss_bytes(p) ? "equal" : "differs", after, end->faults);
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
		uint64_t kernel = p->kernel.value[rss_figures[i]];

		fprintf(out, "%-20s %20" PRIu64, rss_names[i], ours);
		if (p->kernel.known[rss_figures[i]])
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

static struct json_t *json_levels(const uint64_t *nr, int levels)
{
	struct json_t *obj = js_object();
	int level;

	for (level = 0; level < levels; level++)
		js_set_u64(obj, table_level_names[level], nr[level]);
	return obj;
}

static struct json_t *json_tables(const struct mm_physical *p)
{
	const struct page_tables *t = &p->tables;
	bool known = p->kernel.known[FIGURE_pgtables_bytes];
	struct json_t *obj = js_object();

	js_set(obj, "needed", json_levels(t->nr, NR_TABLE_LEVELS));
	js_set_u64(obj, "kept_with_huge_pages", t->kept);
	js_set_u64(obj, "counted_bytes", page_tables_bytes(t));
	js_set(obj, "kernel_bytes", known ? js_number(p->kernel.value[FIGURE_pgtables_bytes]) : js_null());
	js_set(obj, "emptied_at_most", json_levels(t->emptied, NR_COUNTED_LEVELS));
	js_set(obj, "emptied_by_vmtrace", json_levels(t->emptied_own, NR_COUNTED_LEVELS));
	js_set(obj, "if_filled", json_levels(t->filled, NR_COUNTED_LEVELS));
	js_set_bool(obj, "copied_by_fork", p->is_forked);
	js_set_bool(obj, "five_levels", t->has_five_levels);
	js_set_bool(obj, "huge_known", t->has_huge);
	return obj;
}

static struct json_t *json_rss(const struct mm_physical *p)
{
	struct json_t *obj = js_object(), *kinds = js_object();
	int i;

	for (i = 0; i < NR_PAGE_KINDS; i++)
		js_set_u64(kinds, page_kind_names[i], p->counts.kinds[i]);
	js_set(obj, "kinds_pages", kinds);
	js_set_bool(obj, "kinds_known", p->counts.has_kinds);
	for (i = 0; i < RSS_NONE; i++) {
		bool known = p->kernel.known[rss_figures[i]];
		struct json_t *one = js_object();

		js_set_u64(one, "bytes", p->counts.rss[i] * MM_PAGE_SIZE);
		js_set(one, "kernel_bytes", known ? js_number(p->kernel.value[rss_figures[i]]) : js_null());
		js_set(obj, rss_names[i], one);
	}
	js_set_u64(obj, "bytes", rss_bytes(p));
	js_set(obj, "kernel_bytes_before", p->end.rss_before ?
	       js_number(p->end.rss_before * MM_PAGE_SIZE) : js_null());
	js_set(obj, "kernel_bytes_after", p->end.rss_after ?
	       js_number(p->end.rss_after * MM_PAGE_SIZE) : js_null());
	js_set_u64(obj, "faults", p->end.faults);
	js_set_u64(obj, "uncounted_bytes", p->counts.rss[RSS_NONE] * MM_PAGE_SIZE);
	return obj;
}

static struct json_t *json_objects(const struct mm_physical *p)
{
	struct json_t *obj = js_object(), *objects = js_object();
	const struct mm_cost *c = &p->cost;
	int i;

	for (i = 0; i < NR_COST_OBJECTS; i++) {
		struct json_t *one = js_object();
		bool known = c->object_bytes[i];

		js_set_u64(one, "objects", c->nr[i]);
		js_set_str(one, "sureness", sureness_names[cost_sureness[i]]);
		js_set(one, "object_bytes", known ? js_number(c->object_bytes[i]) : js_null());
		js_set(one, "bytes", known ? js_number(c->nr[i] * c->object_bytes[i]) : js_null());
		js_set(objects, cost_object_names[i], one);
	}
	js_set(obj, "objects", objects);
	js_set_u64(obj, "objects_bytes", mm_cost_bytes(c));
	js_set_str(obj, "slabinfo_error", c->unreadable);
	return obj;
}

void mm_physical_json(struct json_t *obj, const struct mm_physical *p)
{
	struct json_t *one;

	if (!p->is_known)
		return;
	one = js_object();
	js_set_u64(one, "t", p->t);
	js_set_str(one, "why", p->why);
	js_set(one, "page_tables", json_tables(p));
	js_set(one, "rss", json_rss(p));
	js_set(one, "kernel_memory", json_objects(p));
	js_set(obj, "pages", one);
}
