/* SPDX-License-Identifier: MIT */
/*
 * Frames lines of address spaces made up at random, decoded again.
 *
 * What the kernel would tell is stubbed, so that there is everything it can tell: swap in several
 * areas, more classes than there is room for, more runs than a line takes, pages out of account.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <vmtrace/mm.h>

#include "arena.h"
#include "check.h"
#include "frames.h"
#include "pagemap.h"
#include "recorder.h"
#include "sink.h"
#include "topology.h"

#define PAGES_MAX 60000
#define VMAS 12
#define HUGE_BYTES (2ull << 20)
#define CLASSES_MAX 4096	/* of the recorder */
#define KPF_ANON_ 12
#define KPF_ZERO_ 24

/* A page, as pagemap and the other files have it; and what was decoded. */
static struct page {
	uint64_t addr, entry, flags, count;
	bool huge, is_told;
} world[PAGES_MAX];
static size_t nr_pages;
static bool visible, has_scan;
static struct vma vmas[VMAS];
static struct mm mm;

static json_t *classes[CLASSES_MAX + 2];
static size_t nr_classes, nr_untold, nr_lines, nr_diffs, diff_pages, told_resident, told_swapped;
static uint64_t diff_start, diff_end;

/* The recorder's side. */

static char record[1 << 20];
static struct jsonw writer;

void *arena_alloc(size_t bytes)
{
	return calloc(1, bytes);
}

uint64_t recorder_now(void)
{
	return 1;
}

struct jsonw *recorder_writer(void)
{
	jsonw_init(&writer, record, sizeof(record));
	return &writer;
}

void recorder_populate(void)
{
}

void recorder_lost(const char *what, const char *why, uint64_t count)
{
	(void)what;
	(void)why;
	CHECK_EQ(count, 0);
}

void topology_record(void)
{
}

/* The kernel's side. */

int pagemap_init(void)
{
	return 0;
}

bool pagemap_is_usable(void)
{
	return true;
}

bool pagemap_has_scan(void)
{
	return has_scan;
}

bool pagemap_has_pfns(void)
{
	return visible;
}

bool pagemap_has_flags(void)
{
	return visible;
}

bool pagemap_has_counts(void)
{
	return visible;
}

/* The first page at @addr or above. */
static size_t find(uint64_t addr)
{
	size_t low = 0, high = nr_pages, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (world[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int pagemap_scan(uint64_t start, uint64_t end, struct page_region *vec, unsigned int nr,
		 unsigned int pages)
{
	unsigned int found = 0, left = pages ? pages : UINT32_MAX;
	uint64_t categories;
	size_t i;

	for (i = find(start); i < nr_pages && world[i].addr < end && left; i++, left--) {
		categories = (world[i].entry & PM_PRESENT ? PAGE_IS_PRESENT : PAGE_IS_SWAPPED) |
			     (world[i].huge ? PAGE_IS_HUGE : 0);
		if (found && vec[found - 1].end == world[i].addr && vec[found - 1].categories == categories) {
			vec[found - 1].end += MM_PAGE_SIZE;
			continue;
		}
		if (found == nr)
			break;
		vec[found++] = (struct page_region){ world[i].addr, world[i].addr + MM_PAGE_SIZE, categories };
	}
	return (int)found;
}

bool pagemap_read(struct pagemap_block *block, uint64_t start, unsigned int nr)
{
	size_t i;

	CHECK(nr <= PAGEMAP_BLOCK);
	memset(block->entries, 0, nr * 8);
	memset(block->flags, 0xee, sizeof(block->flags));
	for (i = find(start); i < nr_pages && world[i].addr < start + nr * MM_PAGE_SIZE; i++) {
		size_t at = (world[i].addr - start) / MM_PAGE_SIZE;

		block->entries[at] = world[i].entry;
		block->flags[at] = world[i].flags;
		block->counts[at] = world[i].count;
	}
	return true;
}

void pagemap_read_frames(struct pagemap_block *block, unsigned int nr)
{
	(void)block;
	(void)nr;
}

/* Lines, decoded as TRACE.md tells. */

static uint64_t hex(json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text ? strtoull(text, NULL, 16) : 0;
}

static uint64_t num(json_t *obj, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(obj, key));
}

static void check_page(uint64_t addr, uint64_t number, json_t *class)
{
	size_t i = find(addr);
	struct page *p = &world[i];

	CHECK(i < nr_pages && p->addr == addr && !p->is_told);
	p->is_told = true;
	if (!class) {
		nr_untold++;
		return;
	}
	CHECK_EQ(hex(class, "pagemap"), p->entry & ~PM_FRAME_MASK);
	CHECK_EQ(json_object_get(class, "huge") != NULL, has_scan);
	if (has_scan)
		CHECK_EQ(json_is_true(json_object_get(class, "huge")), p->huge);
	CHECK_EQ(json_object_get(class, "kpageflags") != NULL, visible && p->entry & PM_PRESENT);
	if (!visible || p->entry & PM_GUARD)
		return;
	if (p->entry & PM_PRESENT) {
		CHECK_EQ(number, p->entry & PM_FRAME_MASK);
		CHECK_EQ(hex(class, "kpageflags"), p->flags);
		CHECK_EQ(num(class, "mapcount"), p->count);
	} else {
		CHECK_EQ(number, (p->entry & PM_FRAME_MASK) >> PM_SWAP_TYPE_BITS);
		CHECK_EQ(num(class, "swap_type"), p->entry & 31);
	}
}

static void check_frames(json_t *line)
{
	uint64_t at = hex(line, "start"), number = 0, id = 0, pages, k;
	json_t *run, *class;
	bool one_frame;
	size_t i;

	json_array_foreach(json_object_get(line, "runs"), i, run) {
		at += (uint64_t)json_integer_value(json_array_get(run, 0)) * MM_PAGE_SIZE;
		number += (uint64_t)json_integer_value(json_array_get(run, 1));
		pages = json_array_size(run) > 2 ? (uint64_t)json_integer_value(json_array_get(run, 2)) : 1;
		if (json_array_size(run) > 3)
			id = (uint64_t)json_integer_value(json_array_get(run, 3));
		CHECK(id <= nr_classes);
		class = id ? classes[id] : NULL;
		one_frame = class && hex(class, "kpageflags") & 1ull << KPF_ZERO_;
		for (k = 0; k < pages; k++, at += MM_PAGE_SIZE)
			check_page(at, one_frame ? number : number + k, class);
		number += pages;
	}
	CHECK(at <= hex(line, "end"));
	told_resident += num(line, "resident");
	told_swapped += num(line, "swapped");
	nr_lines++;
}

bool recorder_commit(struct jsonw *w)
{
	size_t len = jsonw_event_end(w);
	json_t *line = json_loadb(w->buf, len, 0, NULL);
	const char *ev = json_string_value(json_object_get(line, "ev"));

	CHECK(len && len <= SINK_CHUNK / 4 && ev);
	if (!strcmp(ev, "page_class")) {
		CHECK_EQ(num(line, "id"), nr_classes + 1);
		classes[++nr_classes] = json_incref(line);
	} else if (!strcmp(ev, "frames")) {
		check_frames(line);
	} else if (!strcmp(ev, "frame_diff")) {
		nr_diffs++;
		diff_pages += num(line, "pages");
		diff_start = hex(line, "start");
		diff_end = hex(line, "end");
	} else {
		CHECK_EQ(num(line, "resident"), told_resident);
		CHECK_EQ(num(line, "swapped"), told_swapped);
	}
	json_decref(line);
	return true;
}

/* Address spaces. */

static void reset(bool is_visible, bool is_scan)
{
	size_t i;

	for (i = 1; i <= nr_classes; i++)
		json_decref(classes[i]);
	nr_classes = nr_untold = nr_lines = nr_diffs = diff_pages = told_resident = told_swapped = 0;
	nr_pages = 0;
	visible = is_visible;
	has_scan = is_scan;
	memset(vmas, 0, sizeof(vmas));
	for (i = 0; i < VMAS; i++) {
		vmas[i].vm_start = (i + 1) << 32;
		vmas[i].vm_end = vmas[i].vm_start + (5000ull << MM_PAGE_SHIFT);
		vmas[i].vm_next = i + 1 < VMAS ? &vmas[i + 1] : NULL;
	}
	mm.first = vmas;
}

static struct page *add(uint64_t addr, uint64_t entry)
{
	if (nr_pages == PAGES_MAX)
		abort();
	world[nr_pages] = (struct page){ .addr = addr, .entry = entry };
	return &world[nr_pages++];
}

static void run_it(void)
{
	size_t i;

	CHECK_EQ(frames_init(), 0);
	CHECK(frames_prepare());
	frames_record(&mm);
	for (i = 0; i < nr_pages; i++) {
		if (!nr_diffs)
			CHECK(world[i].is_told);
	}
}

/* One of the things that a page can be. */
static struct page random_page(uint64_t addr, unsigned int kinds)
{
	struct page p = { .addr = addr };
	uint64_t frame = (uint64_t)rand() % 200000 + 1;

	switch ((unsigned int)rand() % 5) {
	case 0:
		p.entry = PM_SWAP | frame << PM_SWAP_TYPE_BITS | ((uint64_t)rand() & 1);
		break;
	case 1:
		p.entry = PM_SWAP | PM_GUARD | (frame & 31);
		break;
	case 2:
		p.entry = PM_PRESENT | 77;
		p.flags = 1ull << KPF_ZERO_;
		break;
	default:
		p.entry = PM_PRESENT | frame | (rand() & 1 ? PM_EXCLUSIVE : 0) | (rand() & 1 ? PM_FILE : 0);
		p.flags = (uint64_t)rand() % kinds << KPF_ANON_;
		p.count = (uint64_t)rand() % 3;
		p.huge = has_scan && !visible && !(rand() & 3);
	}
	if (!visible)
		p.entry &= ~PM_FRAME_MASK;
	return p;
}

/* From @addr on what may be mapped by one entry of the PMD, and is or is not. Return: behind it. */
static uint64_t fill_huge(uint64_t addr)
{
	struct page p = { .entry = PM_PRESENT | PM_EXCLUSIVE | (uint64_t)(rand() % 300 + 1) << 9,
			  .flags = 1ull << KPF_ANON_, .count = 1, .huge = has_scan && rand() & 1 };
	unsigned int i;

	for (i = 0; i < 512; i++, addr += MM_PAGE_SIZE, p.entry++) {
		p.addr = addr;
		*add(addr, 0) = p;
	}
	return addr;
}

/* Stretches of pages that go on where the one before them ends, and holes of less than @hole pages. */
static void fill(unsigned int kinds, unsigned int stretch, unsigned int hole)
{
	uint64_t addr, step;
	unsigned int v, n;
	struct page p;

	for (v = 0; v < VMAS; v++) {
		for (addr = vmas[v].vm_start; addr < vmas[v].vm_end;) {
			if (visible && !(addr & (HUGE_BYTES - 1)) && vmas[v].vm_end - addr >= HUGE_BYTES &&
			    !(rand() & 3)) {
				addr = fill_huge(addr);
				continue;
			}
			p = random_page(addr, kinds);
			step = !visible || p.entry & PM_GUARD || p.flags & 1ull << KPF_ZERO_ ? 0 :
			       p.entry & PM_PRESENT ? 1 : 1 << PM_SWAP_TYPE_BITS;
			for (n = (unsigned int)rand() % stretch + 1; n && addr < vmas[v].vm_end; n--) {
				p.addr = addr;
				*add(addr, 0) = p;
				p.entry += step;
				addr += MM_PAGE_SIZE;
				if (visible && !(addr & (HUGE_BYTES - 1)))
					break;
			}
			addr += (rand() & 1 ? (uint64_t)rand() % hole : 0) << MM_PAGE_SHIFT;
		}
	}
}

static void test_random(void)
{
	unsigned int round;

	for (round = 0; round < 40; round++) {
		srand(round);
		reset(round & 1, round & 2);
		fill(8, round & 4 ? 1 : 3000, 100);
		run_it();
		CHECK_EQ(nr_untold, 0);
		CHECK_EQ(nr_diffs, 0);
	}
}

static void test_many_classes(void)
{
	srand(1);
	reset(true, true);
	fill(100000, 1, 1);
	run_it();
	CHECK_EQ(nr_classes, CLASSES_MAX);
	CHECK(nr_untold && nr_untold < nr_pages);
	CHECK(nr_lines > VMAS);
}

/* A new trace has been told nothing. */
static void test_new_trace(void)
{
	reset(true, true);
	add(vmas[0].vm_start, PM_PRESENT | 5);
	run_it();
	CHECK_EQ(nr_classes, 1);
	reset(true, true);
	add(vmas[0].vm_start, PM_PRESENT | 5);
	run_it();
	CHECK_EQ(nr_classes, 1);
}

/*
 *     [vma 0] . . . # # . # . . [vma 1]
 */
static void test_outside(void)
{
	const uint64_t hole = vmas[0].vm_end + (3 << MM_PAGE_SHIFT);

	reset(false, true);
	add(vmas[0].vm_end - MM_PAGE_SIZE, PM_PRESENT);
	add(hole, PM_PRESENT);
	add(hole + MM_PAGE_SIZE, PM_PRESENT);
	add(hole + 3 * MM_PAGE_SIZE, PM_PRESENT);
	run_it();
	CHECK_EQ(nr_diffs, 1);
	CHECK_EQ(diff_pages, 3);
	CHECK_EQ(diff_start, hole);
	CHECK_EQ(diff_end, hole + 4 * MM_PAGE_SIZE);
	CHECK_EQ(told_resident, 1);
}

static void test_anon_shared(void)
{
	reset(true, true);
	vmas[1].vm_flags = VM_SHARED | VM_MAYSHARE;
	add(vmas[1].vm_start, PM_PRESENT | PM_FILE | 9)->flags = 1 << 11;
	add(vmas[1].vm_start + MM_PAGE_SIZE, PM_PRESENT | 10)->flags = 1 << KPF_ANON_;
	add(vmas[1].vm_start + 4 * MM_PAGE_SIZE, PM_PRESENT | 11)->flags = 1ull << KPF_ZERO_;
	run_it();
	CHECK_EQ(nr_diffs, 1);
	CHECK_EQ(diff_pages, 1);
	CHECK_EQ(diff_start, vmas[1].vm_start + MM_PAGE_SIZE);
}

int main(void)
{
	test_random();
	test_many_classes();
	test_new_trace();
	test_outside();
	test_anon_shared();
	return test_result();
}
