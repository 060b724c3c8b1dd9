/* SPDX-License-Identifier: MIT */
/*
 * check over layouts made by hand: each kind of change gives one finding, and none gives two.
 */
#include "check_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "check.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static char *app_frames[] = { (char *)"worker (app)", (char *)"main (app)" };
static char *other_frames[] = { (char *)"grow (app)", (char *)"main (app)" };

static struct span exactly(uint64_t n)
{
	return (struct span){ n, n };
}

static struct layout_region *add_region(struct layout_program *p, enum layout_role role,
					enum layout_section section, const char *name,
					const char *perms, uint64_t bytes)
{
	struct layout_region *r = layout_region_new(p);

	r->role = role;
	r->section = section;
	r->name = alloc_string(name);
	strcpy(r->perms, perms);
	r->flags = alloc_string("");
	r->origin = "app";
	r->bytes = exactly(bytes);
	r->resident = exactly(0);
	r->huge = exactly(0);
	r->traces = 1;
	return r;
}

static void add_fact(struct layout_program *p, enum layout_fact_kind kind, enum layout_role role,
		     enum layout_section section, const char *name, uint32_t site)
{
	struct layout_fact *f = layout_fact_new(p);

	*f = (struct layout_fact){ .kind = kind, .role = role, .section = section,
				   .name = alloc_string(name), .site = site, .traces = 1 };
}

static void add_heap(struct layout_program *p, uint32_t site, uint64_t bytes, uint64_t blocks)
{
	struct layout_heap *h = layout_heap_new(p);

	*h = (struct layout_heap){ .site = site, .live_bytes = exactly(bytes),
				   .live_blocks = exactly(blocks), .traces = 1 };
}

static void add_library(struct layout_program *p, const char *name)
{
	add_region(p, LAYOUT_LIBRARY, LAYOUT_TEXT, name, "r-xp", MIB);
	add_region(p, LAYOUT_LIBRARY, LAYOUT_RODATA, name, "r--p", 256 * KIB);
	add_region(p, LAYOUT_LIBRARY, LAYOUT_DATA, name, "rw-p", 64 * KIB);
}

static void add_thread(struct layout_program *p)
{
	add_region(p, LAYOUT_THREAD_GUARD, LAYOUT_NO_SECTION, "", "---p", 4 * KIB)->site = 0;
	add_region(p, LAYOUT_THREAD_STACK, LAYOUT_NO_SECTION, "", "rw-p", 8 * MIB)->site = 0;
}

static void set_threads(struct layout_program *p, uint64_t nr)
{
	if (!p->nr_threads)
		*layout_threads_new(p) = (struct layout_threads){ .site = 0, .traces = 1 };
	p->threads[0].count = exactly(nr);
	p->has_total[LAYOUT_threads] = true;
	p->total[LAYOUT_threads] = exactly(nr);
}

static void set_total(struct layout_program *p, enum layout_total total, uint64_t value)
{
	p->has_total[total] = true;
	p->total[total] = exactly(value);
}

/* A program with a library, a heap, 32 MiB that are resident and half of them huge, and a thread. */
static struct layout_program *make(struct layout *layout, const char *name)
{
	struct layout_program *p = layout_program_get(layout, name);
	struct layout_region *r;
	size_t i;

	p->machine = alloc_string("x86_64");
	p->tier = alloc_string("libc");
	p->page_size = 4096;
	p->traces = 1;
	layout_site_add(p, app_frames, 2);
	layout_site_add(p, other_frames, 2);
	add_region(p, LAYOUT_PROGRAM, LAYOUT_TEXT, "", "r-xp", MIB);
	add_region(p, LAYOUT_PROGRAM, LAYOUT_DATA, "", "rw-p", 64 * KIB);
	add_library(p, "libc.so.6");
	r = add_region(p, LAYOUT_HEAP, LAYOUT_NO_SECTION, "", "rw-p", MIB);
	r->resident = exactly(MIB);
	r = add_region(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", "rw-p", 64 * MIB);
	r->resident = exactly(32 * MIB);
	r->huge = exactly(16 * MIB);
	r->site = 0;
	r = add_region(p, LAYOUT_ARENA, LAYOUT_NO_SECTION, "", "rw-p", 4 * MIB);
	r->resident = exactly(4 * MIB);
	add_region(p, LAYOUT_STACK, LAYOUT_NO_SECTION, "", "rw-p", 132 * KIB);
	add_thread(p);
	add_heap(p, 0, 512 * KIB, 100);
	for (i = 0; i < LAYOUT_NR_TOTALS; i++)
		set_total(p, i, 0);
	set_total(p, LAYOUT_max_map_count, 65530);
	set_threads(p, 1);
	set_total(p, LAYOUT_heap_thread_peaks_bytes, 5 * MIB);
	set_total(p, LAYOUT_heap_live_bytes, MIB);
	set_total(p, LAYOUT_heap_live_blocks, 200);
	set_total(p, LAYOUT_page_table_bytes, 200 * KIB);
	set_total(p, LAYOUT_resident_file_bytes, 2 * MIB);
	return p;
}

static struct layout_region *region_of(struct layout_program *p, enum layout_role role,
				       enum layout_section section)
{
	size_t i;

	for (i = 0; i < p->nr_regions; i++)
		if (p->regions[i].role == role && p->regions[i].section == section)
			return &p->regions[i];
	abort();
}

/* The totals that follow from regions. */
static void sum_up(struct layout_program *p)
{
	uint64_t bytes = 0, resident = 0, huge = 0;
	size_t i;

	for (i = 0; i < p->nr_regions; i++) {
		bytes += p->regions[i].bytes.max;
		resident += p->regions[i].resident.max;
		huge += p->regions[i].huge.max;
	}
	set_total(p, LAYOUT_vmas, p->nr_regions);
	set_total(p, LAYOUT_vmas_peak, p->nr_regions + 2);
	set_total(p, LAYOUT_mapped_bytes, bytes);
	set_total(p, LAYOUT_mapped_peak_bytes, bytes + MIB);
	set_total(p, LAYOUT_resident_anon_bytes, resident);
	set_total(p, LAYOUT_huge_bytes, huge);
}

static void set_perms(struct layout_region *r, const char *perms)
{
	strcpy(r->perms, perms);
}

static void set_flags(struct layout_region *r, const char *flags)
{
	alloc_free(r->flags);
	r->flags = alloc_string(flags);
}

/*
 * Seeds.
 */

static void seed_nothing(struct layout_program *p)
{
	(void)p;
}

static void seed_noise(struct layout_program *p)
{
	region_of(p, LAYOUT_HEAP, LAYOUT_NO_SECTION)->bytes = exactly(MIB + 132 * KIB);
	region_of(p, LAYOUT_HEAP, LAYOUT_NO_SECTION)->resident = exactly(MIB + 100 * KIB);
	add_region(p, LAYOUT_MALLOC_MMAP, LAYOUT_NO_SECTION, "", "rw-p", 200 * KIB);
	p->heap[0].live_bytes = exactly(600 * KIB);
	set_total(p, LAYOUT_page_table_bytes, 260 * KIB);
	set_total(p, LAYOUT_resident_file_bytes, 4 * MIB);
}

static void seed_thread(struct layout_program *p)
{
	add_thread(p);
	add_region(p, LAYOUT_ARENA, LAYOUT_NO_SECTION, "", "rw-p", 64 * MIB)->resident =
		exactly(MIB);
	set_threads(p, 2);
}

static void seed_thread_gone(struct layout_program *p)
{
	set_threads(p, 2);
}

static void seed_rwx(struct layout_program *p)
{
	add_region(p, LAYOUT_JIT, LAYOUT_NO_SECTION, "", "rwxp", 4 * KIB)->site = 1;
	add_fact(p, LAYOUT_FACT_WX, LAYOUT_JIT, LAYOUT_NO_SECTION, "", 1);
}

/* Mapped by one function, made executable by another. */
static void seed_rwx_later(struct layout_program *p)
{
	set_perms(region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION), "rwxp");
	add_fact(p, LAYOUT_FACT_WX, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", 1);
}

static void seed_text(struct layout_program *p)
{
	set_perms(region_of(p, LAYOUT_PROGRAM, LAYOUT_TEXT), "rwxp");
	add_fact(p, LAYOUT_FACT_WX, LAYOUT_PROGRAM, LAYOUT_TEXT, "", 1);
	add_fact(p, LAYOUT_FACT_WRITABLE_TEXT, LAYOUT_PROGRAM, LAYOUT_TEXT, "", 1);
}

static void seed_exec_stack(struct layout_program *p)
{
	set_perms(region_of(p, LAYOUT_STACK, LAYOUT_NO_SECTION), "rwxp");
	set_perms(region_of(p, LAYOUT_THREAD_STACK, LAYOUT_NO_SECTION), "rwxp");
	add_fact(p, LAYOUT_FACT_EXEC_STACK, LAYOUT_STACK, LAYOUT_NO_SECTION, "", LAYOUT_NO_SITE);
	add_fact(p, LAYOUT_FACT_EXEC_STACK, LAYOUT_THREAD_STACK, LAYOUT_NO_SECTION, "", 0);
	add_fact(p, LAYOUT_FACT_WX, LAYOUT_THREAD_STACK, LAYOUT_NO_SECTION, "", 0);
}

static void seed_no_relro(struct layout_program *p)
{
	region_of(p, LAYOUT_PROGRAM, LAYOUT_DATA)->bytes = exactly(MIB);
	add_fact(p, LAYOUT_FACT_NO_RELRO, LAYOUT_PROGRAM, LAYOUT_DATA, "", LAYOUT_NO_SITE);
}

static void seed_no_guard(struct layout_program *p)
{
	struct layout_region *guard = region_of(p, LAYOUT_THREAD_GUARD, LAYOUT_NO_SECTION);

	alloc_free(guard->name);
	alloc_free(guard->flags);
	*guard = p->regions[--p->nr_regions];
	add_fact(p, LAYOUT_FACT_NO_GUARD, LAYOUT_THREAD_STACK, LAYOUT_NO_SECTION, "", 0);
}

static void seed_deleted(struct layout_program *p)
{
	add_region(p, LAYOUT_FILE, LAYOUT_NO_SECTION, "/tmp/gone", "rw-s", 8 * KIB)->site = 1;
	add_fact(p, LAYOUT_FACT_DELETED, LAYOUT_FILE, LAYOUT_NO_SECTION, "/tmp/gone", 1);
}

static void seed_leak(struct layout_program *p)
{
	add_heap(p, 1, MIB, 1024);
	region_of(p, LAYOUT_HEAP, LAYOUT_NO_SECTION)->bytes = exactly(2 * MIB + 64 * KIB);
	region_of(p, LAYOUT_HEAP, LAYOUT_NO_SECTION)->resident = exactly(2 * MIB);
	set_total(p, LAYOUT_heap_live_bytes, 2 * MIB);
	set_total(p, LAYOUT_heap_live_blocks, 1224);
	set_total(p, LAYOUT_heap_thread_peaks_bytes, 6 * MIB);
}

/* Blocks so large that malloc maps each of them. */
static void seed_large_leak(struct layout_program *p)
{
	int i;

	add_heap(p, 1, 40 * MIB, 40);
	for (i = 0; i < 40; i++)
		add_region(p, LAYOUT_MALLOC_MMAP, LAYOUT_NO_SECTION, "", "rw-p", MIB + 4 * KIB)
			->resident = exactly(MIB);
	set_total(p, LAYOUT_heap_live_bytes, 41 * MIB);
	set_total(p, LAYOUT_heap_thread_peaks_bytes, 45 * MIB);
}

static void seed_arena(struct layout_program *p)
{
	region_of(p, LAYOUT_ARENA, LAYOUT_NO_SECTION)->bytes = exactly(8 * MIB);
	region_of(p, LAYOUT_ARENA, LAYOUT_NO_SECTION)->resident = exactly(8 * MIB);
	set_total(p, LAYOUT_heap_thread_peaks_bytes, 9 * MIB);
}

static void seed_split(struct layout_program *p)
{
	uint64_t bytes = 64 * MIB / 4096;
	int i;

	region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION)->bytes = exactly(64 * MIB - 3000 * bytes);
	for (i = 0; i < 3000; i++)
		add_region(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", i % 2 ? "rw-p" : "r--p", bytes)
			->site = 0;
}

static void seed_resident(struct layout_program *p)
{
	region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION)->resident = exactly(39 * MIB);
	set_total(p, LAYOUT_page_table_bytes, 220 * KIB);
}

static void seed_not_huge(struct layout_program *p)
{
	struct layout_region *r = region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION);

	set_flags(r, "nh");
	r->huge = exactly(0);
}

static void seed_huge_gone(struct layout_program *p)
{
	region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION)->huge = exactly(0);
}

static void seed_library(struct layout_program *p)
{
	add_library(p, "libz.so.1");
}

static void seed_bad_library(struct layout_program *p)
{
	add_library(p, "libz.so.1");
	add_fact(p, LAYOUT_FACT_NO_RELRO, LAYOUT_LIBRARY, LAYOUT_DATA, "libz.so.1", LAYOUT_NO_SITE);
}

static void seed_raw(struct layout_program *p)
{
	struct layout_region *r = add_region(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", "r--p", 4096);

	r->origin = "raw";
	r->site = 1;
}

/* The place maps in other ways, too. */
static void seed_raw_beside(struct layout_program *p)
{
	struct layout_region *r = add_region(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", "r--p", 4096);

	r->origin = "raw";
	r->site = 0;
}

static void seed_perms(struct layout_program *p)
{
	set_perms(region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION), "r--p");
}

static void seed_added(struct layout_program *p)
{
	add_region(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", "rw-p", 256 * MIB)->site = 1;
}

static void seed_more(struct layout_program *p)
{
	int i;

	for (i = 0; i < 100; i++)
		add_region(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION, "", "rw-p", MIB)->site = 0;
}

static void seed_grown(struct layout_program *p)
{
	region_of(p, LAYOUT_ANONYMOUS, LAYOUT_NO_SECTION)->bytes = exactly(128 * MIB);
}

static void seed_peak(struct layout_program *p)
{
	(void)p;
}

static const struct {
	const char *what;
	void (*seed)(struct layout_program *p);
	int rule;			/* -1: nothing is found */
	enum severity severity;
	const char *frame;		/* innermost; NULL: no site */
} seeds[] = {
	{ "nothing", seed_nothing, -1, SEVERITY_OFF, NULL },
	{ "noise", seed_noise, -1, SEVERITY_OFF, NULL },
	{ "thread", seed_thread, RULE_THREAD_ADDED, SEVERITY_ERROR, "worker (app)" },
	{ "thread that ended", seed_thread_gone, RULE_THREAD_ADDED, SEVERITY_ERROR, "worker (app)" },
	{ "rwx", seed_rwx, RULE_WX, SEVERITY_ERROR, "grow (app)" },
	{ "rwx later", seed_rwx_later, RULE_WX, SEVERITY_ERROR, "grow (app)" },
	{ "text", seed_text, RULE_WRITABLE_TEXT, SEVERITY_ERROR, "grow (app)" },
	{ "executable stack", seed_exec_stack, RULE_EXEC_STACK, SEVERITY_ERROR, NULL },
	{ "no relro", seed_no_relro, RULE_NO_RELRO, SEVERITY_ERROR, NULL },
	{ "no guard", seed_no_guard, RULE_NO_GUARD, SEVERITY_ERROR, "worker (app)" },
	{ "deleted", seed_deleted, RULE_DELETED, SEVERITY_ERROR, "grow (app)" },
	{ "leak", seed_leak, RULE_HEAP_SITE, SEVERITY_ERROR, "grow (app)" },
	{ "large leak", seed_large_leak, RULE_HEAP_SITE, SEVERITY_ERROR, "grow (app)" },
	{ "arena", seed_arena, RULE_RESIDENT, SEVERITY_ERROR, NULL },
	{ "split", seed_split, RULE_REGION_SPLIT, SEVERITY_ERROR, "worker (app)" },
	{ "resident", seed_resident, RULE_RESIDENT, SEVERITY_ERROR, "worker (app)" },
	{ "not huge", seed_not_huge, RULE_FLAGS, SEVERITY_ERROR, "worker (app)" },
	{ "huge gone", seed_huge_gone, RULE_huge_bytes, SEVERITY_WARNING, NULL },
	{ "library", seed_library, RULE_LIBRARY_ADDED, SEVERITY_ERROR, NULL },
	{ "library without relro", seed_bad_library, RULE_NO_RELRO, SEVERITY_ERROR, NULL },
	{ "raw", seed_raw, RULE_MAPPING_RAW, SEVERITY_ERROR, "grow (app)" },
	{ "raw beside", seed_raw_beside, RULE_MAPPING_RAW, SEVERITY_ERROR, "worker (app)" },
	{ "permissions", seed_perms, RULE_PERMISSIONS, SEVERITY_ERROR, "worker (app)" },
	{ "added", seed_added, RULE_REGION_ADDED, SEVERITY_ERROR, "grow (app)" },
	{ "more", seed_more, RULE_REGION_MORE, SEVERITY_ERROR, "worker (app)" },
	{ "grown", seed_grown, RULE_REGION_GROWN, SEVERITY_ERROR, "worker (app)" },
	{ "peak", seed_peak, RULE_vmas_peak, SEVERITY_ERROR, NULL },
};

static void add_rules(struct rules *rules, const char *what)
{
	char err[600];

	CHECK_EQ(rules_add(rules, what, err, sizeof(err)), 0);
}

static void print_findings(const char *what, const struct check *check)
{
	size_t i;

	for (i = 0; i < check->nr; i++)
		fprintf(stderr, "%s: %s: %s\n", what, rule_infos[check->findings[i].rule].name,
			check->findings[i].message);
}

static void test_seeds(void)
{
	struct layout before, after;
	struct layout_program *p;
	struct check check;
	struct rules rules;
	int failures;
	size_t i;

	rules_init(&rules);
	add_rules(&rules, "default");
	for (i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		failures = check_failures;
		layout_init(&before);
		layout_init(&after);
		sum_up(make(&before, "app"));
		p = make(&after, "app");
		seeds[i].seed(p);
		sum_up(p);
		if (seeds[i].seed == seed_peak)
			set_total(p, LAYOUT_vmas_peak, 200);
		check_run(&check, &before, &after, &rules);
		CHECK_EQ(check.nr, seeds[i].rule >= 0);
		if (check.nr) {
			CHECK_EQ(check.findings[0].rule, seeds[i].rule);
			CHECK_EQ(check.findings[0].severity, seeds[i].severity);
			if (seeds[i].frame && check.findings[0].site)
				CHECK_STR(check.findings[0].site->frames[0], seeds[i].frame);
			if (seeds[i].frame)
				CHECK_EQ(check.findings[0].site != NULL, true);
		}
		if (check_failures != failures)
			print_findings(seeds[i].what, &check);
		check_fini(&check);
		layout_fini(&before);
		layout_fini(&after);
	}
	rules_fini(&rules);
}

/* Hardening forbids what the baseline has, too; the default lets it be. */
static void test_always(void)
{
	struct layout layout;
	struct layout_program *p;
	struct rules rules;
	struct check check;

	rules_init(&rules);
	layout_init(&layout);
	p = make(&layout, "app");
	seed_rwx(p);
	sum_up(p);
	add_rules(&rules, "default");
	check_run(&check, &layout, &layout, &rules);
	CHECK_EQ(check.nr, 0);
	check_fini(&check);
	check_run(&check, NULL, &layout, &rules);
	CHECK_EQ(check.nr, 1);
	check_fini(&check);
	add_rules(&rules, "hardening");
	check_run(&check, &layout, &layout, &rules);
	CHECK_EQ(check.nr, 1);
	CHECK_EQ(check.findings[0].rule, RULE_WX);
	check_fini(&check);
	rules_fini(&rules);
	layout_fini(&layout);
}

static size_t run_with(const struct layout *before, const struct layout *after, const char *text,
		       struct check *check)
{
	struct rules rules;
	char err[600] = "";

	rules_init(&rules);
	CHECK_EQ(rules_add_text(&rules, "FILE", text, err, sizeof(err)), 0);
	CHECK_STR(err, "");
	check_run(check, before, after, &rules);
	rules_fini(&rules);
	return check->nr;
}

#define ONLY(text) "{\"rules_version\": 1, \"extends\": [], \"rules\": [" text "]}"

static const struct {
	const char *rules;
	int rule;			/* -1: nothing is found */
} limits[] = {
	{ ONLY("{\"rule\": \"vmas\", \"max\": 10}"), RULE_vmas },
	{ ONLY("{\"rule\": \"vmas\", \"max\": 100}"), -1 },
	{ ONLY("{\"rule\": \"vmas\", \"min\": 100}"), RULE_vmas },
	{ ONLY("{\"rule\": \"vmas\", \"program\": \"other*\", \"max\": 1}"), -1 },
	{ ONLY("{\"rule\": \"vmas\", \"tolerance\": \"0%\"}"), -1 },
	{ ONLY("{\"rule\": \"mapped-bytes\", \"max\": \"1 MiB\"}"), RULE_mapped_bytes },
	{ ONLY("{\"rule\": \"huge-share\", \"min\": \"44%\"}"), RULE_HUGE_SHARE },
	{ ONLY("{\"rule\": \"huge-share\", \"min\": \"43%\"}"), -1 },
	{ ONLY("{\"rule\": \"map-count-share\", \"max\": \"1%\"}"), -1 },
	{ ONLY("{\"rule\": \"heap-site\", \"max\": \"256 KiB\"}"), RULE_HEAP_SITE },
	{ ONLY("{\"rule\": \"heap-site\", \"max\": \"1 MiB\"}"), -1 },
	{ ONLY("{\"rule\": \"heap-site\", \"max\": 1, \"allow\": [{\"site\": \"worker\"}]}"), -1 },
	{ ONLY("{\"rule\": \"incomplete\"}"), RULE_INCOMPLETE },
};

static void test_limits(void)
{
	struct layout_program *p;
	struct layout layout;
	struct check check;
	size_t i;

	layout_init(&layout);
	p = make(&layout, "app");
	sum_up(p);
	set_total(p, LAYOUT_lost, 3);
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		CHECK_EQ(run_with(NULL, &layout, limits[i].rules, &check), limits[i].rule >= 0);
		if (check.nr)
			CHECK_EQ(check.findings[0].rule, limits[i].rule);
		check_fini(&check);
	}
	layout_fini(&layout);
}

/* What is allowed is explained, too. */
static void test_allowed(void)
{
	struct layout before, after;
	struct layout_program *p;
	struct check check;

	layout_init(&before);
	layout_init(&after);
	sum_up(make(&before, "app"));
	p = make(&after, "app");
	seed_added(p);
	sum_up(p);
	CHECK_EQ(run_with(&before, &after,
			  "{\"rules_version\": 1, \"rules\": [{\"rule\": \"region-added\","
			  "\"allow\": [{\"role\": \"anonymous\", \"site\": \"grow (app)\"}]}]}",
			  &check), 0);
	print_findings("allowed", &check);
	check_fini(&check);
	layout_fini(&before);
	layout_fini(&after);
}

static void test_programs(void)
{
	struct layout before, after;
	struct rules rules;
	struct check check;

	rules_init(&rules);
	add_rules(&rules, "default");
	layout_init(&before);
	layout_init(&after);
	sum_up(make(&before, "app"));
	sum_up(make(&before, "old"));
	sum_up(make(&after, "app"));
	sum_up(make(&after, "new"));
	check_run(&check, &before, &after, &rules);
	CHECK_EQ(check.nr, 2);
	CHECK_EQ(check.findings[0].rule, RULE_PROGRAM_ADDED);
	CHECK_STR(check.findings[0].program, "new");
	CHECK_EQ(check.findings[1].rule, RULE_PROGRAM_REMOVED);
	CHECK_STR(check.findings[1].program, "old");
	CHECK_EQ(check_is_failed(&check, &(struct check_context){ 0 }), false);
	CHECK_EQ(check_is_failed(&check, &(struct check_context){ .is_strict = true }), true);
	check_fini(&check);
	layout_fini(&before);
	layout_fini(&after);
	rules_fini(&rules);
}

static char *printed(void (*print)(const struct check *, const struct check_context *, FILE *),
		     const struct check *check, const struct check_context *ctx)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	print(check, ctx, out);
	fclose(out);
	return text;
}

/* No name leaves its place: not a line, a command, an element, a string. */
static void test_hostile_names(void)
{
	const struct check_context ctx = { .version = "1", .baseline = "base line.json" };
	struct layout before, after;
	struct layout_program *p;
	struct check check;
	struct rules rules;
	char *text;

	rules_init(&rules);
	add_rules(&rules, "default");
	layout_init(&before);
	layout_init(&after);
	sum_up(make(&before, "app"));
	p = make(&after, "app");
	add_region(p, LAYOUT_FILE, LAYOUT_NO_SECTION, "/tmp/\n::error::x\x1b[31m<&\">%0A\xff\xef\xbf\xbf\u202e\x7f"
		   "[x](y)",
		   "rw-s", 8 * KIB);
	sum_up(p);
	check_run(&check, &before, &after, &rules);
	CHECK_EQ(check.nr, 1);
	text = printed(check_github, &check, &ctx);
	CHECK_EQ(strchr(text, '\n') == text + strlen(text) - 1, true);
	CHECK_EQ(strstr(text, "%250A") != NULL, true);
	CHECK_EQ(strstr(text, "%00") == NULL && strchr(text, 0x7f) == NULL, true);
	CHECK_EQ(strstr(text, "\\x1b[31m") != NULL, true);
	CHECK_EQ(strstr(text, "\u202e") == NULL, true);
	free(text);
	text = printed(check_junit, &check, &ctx);
	CHECK_EQ(strstr(text, "x\\x1b[31m&lt;&amp;&quot;&gt;%0A\\xff\\xef\\xbf\\xbf") != NULL, true);
	free(text);
	text = printed(check_text, &check, &ctx);
	CHECK_EQ(strchr(text, '\x1b') == NULL, true);
	free(text);
	text = printed(check_sarif, &check, &ctx);
	CHECK_EQ(strstr(text, "\"base%20line.json\"") != NULL, true);
	CHECK_EQ(strstr(text, "\\\\[x\\\\](y)") != NULL, true);
	free(text);
	check_fini(&check);
	layout_fini(&before);
	layout_fini(&after);
	rules_fini(&rules);
}

/* Spans whose sum does not fit are as much as fits: less than before is no growth. */
static void test_sums(void)
{
	struct layout before, after;
	struct layout_program *p;
	struct check check;
	size_t i;

	layout_init(&before);
	layout_init(&after);
	p = make(&before, "app");
	for (i = 0; i < 2; i++)
		add_region(p, LAYOUT_FILE, LAYOUT_NO_SECTION, "/f", "r--p", 1ull << 63)->resident =
			exactly(1ull << 63);
	p = make(&after, "app");
	add_region(p, LAYOUT_FILE, LAYOUT_NO_SECTION, "/f", "r--p", 1ull << 63)->resident =
		exactly(1ull << 63);
	CHECK_EQ(run_with(&before, &after, "{\"rules_version\": 1, \"rules\": []}", &check), 0);
	print_findings("sums", &check);
	check_fini(&check);
	layout_fini(&before);
	layout_fini(&after);
}

/* Two sites whose frames hash to one number are two. */
static void test_collision(void)
{
	char *one[] = { (char *)"a\nb" }, *two[] = { (char *)"a", (char *)"b" };
	struct layout_program p, q;
	uint32_t x, y;

	layout_program_init(&p, "app");
	layout_program_init(&q, "app");
	x = layout_site_add(&p, one, 1);
	y = layout_site_add(&p, two, 2);
	CHECK_EQ(x != y, true);
	CHECK_EQ(strcmp(p.sites[x].id, p.sites[y].id) != 0, true);
	CHECK_EQ(layout_site_add(&p, one, 1), x);
	CHECK_EQ(layout_site_add(&p, two, 2), y);
	/* In whatever order a file has them. */
	CHECK_EQ(layout_site_put(&q, p.sites[y].id, two, 2), 0);
	CHECK_EQ(layout_site_put(&q, p.sites[x].id, one, 1), 1);
	CHECK_EQ(layout_site_find(&q, &p.sites[x]), 1);
	CHECK_EQ(layout_site_find(&q, &p.sites[y]), 0);
	CHECK_EQ(layout_site_put(&q, p.sites[x].id, app_frames, 2), LAYOUT_NO_SITE);
	layout_program_fini(&p);
	layout_program_fini(&q);
}

int main(void)
{
	test_sums();
	test_collision();
	test_seeds();
	test_always();
	test_limits();
	test_allowed();
	test_programs();
	test_hostile_names();
	return check_status();
}
