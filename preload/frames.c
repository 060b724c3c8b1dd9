/* SPDX-License-Identifier: MIT */
/*
 * Goes through the address space once, beside the shadow, from what is there to runs of frames.
 *
 *     space    |  . . # # # . # . . . . . . . . # # . . # .      # in memory or swap
 *     vmas       [-----------------]   [---------------]
 *     regions        [---] [-]                 [-]     [-]       PAGEMAP_SCAN: holes cost nothing
 *     blocks         [-------]                 [-]      outside  near ones joined: one read each
 *     runs           [-]-] [-]                 [-]               of one class, frames contiguous
 *
 * Behind a full block the next ones are read without a scan, as long as there is much in them: looking at
 * a page twice is what costs most where there are no holes.
 *
 * Before Linux 6.7 there is no PAGEMAP_SCAN: each vma is one region, and nothing is known of what
 * is outside of them.
 */
#include "frames.h"

#include <linux/kernel-page-flags.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <vmtrace/mm.h>

#include "arena.h"
#include "frame_line.h"
#include "page_classes.h"
#include "pagemap.h"
#include "proc_lines.h"
#include "recorder.h"
#include "sys.h"
#include "topology.h"

#include "no_heap.h"

#define REGIONS_MAX 1024u		/* regions of one ioctl: 24 KiB */
#define JOIN_BYTES (32u << MM_PAGE_SHIFT)	/* holes that cost less than another call */
#define BLOCK_BYTES ((uint64_t)PAGEMAP_BLOCK << MM_PAGE_SHIFT)
#define HUGE_PAGES 512u			/* that one entry of the PMD maps */
#define FALLBACK_OWN_MAX (1ull << 30)	/* bytes of our own that are looked through page by page */
/* User addresses, below the last page: with four levels of page tables, and with five. */
#define USER_END_4 ((1ull << 47) - MM_PAGE_SIZE)
#define USER_END_5 ((1ull << 56) - MM_PAGE_SIZE)
#define STATM_BYTES 128u

/* From the arena, at first use. */
static struct buffers {
	struct page_region regions[REGIONS_MAX];
	struct pagemap_block block;
} *buf;

/* Where the scan is: regions[next, nr), and the space from @pos to @end behind them. */
static struct {
	unsigned int next, nr;
	uint64_t pos, end;
	bool is_scan;		/* PAGEMAP_SCAN tells what is there */
	bool has_failed;	/* something could not be read */
} scan;

static struct frame_run run;
/* What pagemap has for a page that goes on where the run ends, and the difference of two pages. */
static uint64_t next_entry, entry_step;

/* Pages of a vma, or between two, that the shadow can't account for. */
struct odd_pages {
	uint64_t start, end, pages;
};
static struct odd_pages anon_shared;

int frames_init(void)
{
	page_classes_reset();
	return pagemap_init();
}

bool frames_pfn_visible(void)
{
	return pagemap_has_pfns();
}

/* Regions from the end of those that were found before. */
static void find_regions(void)
{
	/* A block at least. Where frames are hidden there is no going on without a scan. */
	unsigned int limit = pagemap_has_pfns() ? PAGEMAP_BLOCK : 0, i;
	int nr = pagemap_scan(scan.pos, scan.end, buf->regions, REGIONS_MAX, limit);
	uint64_t pages = 0;

	scan.has_failed |= nr < 0;
	scan.next = 0;
	scan.nr = nr > 0 ? (unsigned int)nr : 0;
	for (i = 0; i < scan.nr; i++)
		pages += (buf->regions[i].end - buf->regions[i].start) >> MM_PAGE_SHIFT;
	/*
	 * Not by walk_end: a scan that came to the end after the kernel's own buffer was full once leaves
	 * it where that was (seen on 6.18), and what follows would be found twice.
	 */
	if (scan.nr == REGIONS_MAX || (limit && pages >= limit))
		scan.pos = buf->regions[scan.nr - 1].end;
	else
		scan.pos = scan.end;
}

/* The region that is next and begins below @limit, or NULL. */
static struct page_region *next_region(uint64_t limit)
{
	if (scan.next == scan.nr && scan.pos < scan.end && scan.pos < limit)
		find_regions();
	if (scan.next == scan.nr || buf->regions[scan.next].start >= limit)
		return NULL;
	return &buf->regions[scan.next];
}

/* The part of the region below @end is done. */
static void consume(struct page_region *region, uint64_t end)
{
	if (region->end > end)
		region->start = end;
	else
		scan.next++;
}

/* One region for all of @vma, where the kernel can't tell. */
static void pretend_region(const struct vma *vma)
{
	/* Our reservations are vast and nearly empty; others we can't know. */
	scan.next = 0;
	scan.nr = !vma->own || vma->vm_end - vma->vm_start <= FALLBACK_OWN_MAX;
	scan.pos = scan.end = vma->vm_end;
	buf->regions[0] = (struct page_region){ vma->vm_start, vma->vm_end, 0 };
}

static void add_odd(struct odd_pages *odd, uint64_t start, uint64_t end)
{
	if (!odd->pages)
		odd->start = start;
	odd->end = end;
	odd->pages += (end - start) >> MM_PAGE_SHIFT;
}

static void tell_odd(const char *cause, struct odd_pages *odd)
{
	struct jsonw *w = recorder_writer();

	if (!odd->pages)
		return;
	jsonw_event(w, "frame_diff");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_str(w, "cause", cause);
	jsonw_hex(w, "start", odd->start);
	jsonw_hex(w, "end", odd->end);
	jsonw_num(w, "pages", (int64_t)odd->pages);
	recorder_commit(w);
	odd->pages = 0;
}

/*
 * Is it somebody's private memory? Without flags only pages that have a struct page for sure count:
 * those known to be mapped once. A driver's memory may have none, and is no file's either.
 */
static bool is_anon(const struct page_class *class)
{
	if (!(class->pagemap & PM_PRESENT))
		return false;
	if (class->has_flags)
		return class->kpageflags & 1ull << KPF_ANON;
	return (class->pagemap & (PM_EXCLUSIVE | PM_FILE)) == PM_EXCLUSIVE;
}

static void end_run(const struct vma *vma)
{
	if (!run.pages)
		return;
	frame_line_run(&run);
	if (vma->vm_flags & VM_MAYSHARE && is_anon(&run.class))
		add_odd(&anon_shared, run.start, run.start + (run.pages << MM_PAGE_SHIFT));
	run.pages = 0;
}

static void class_of(unsigned int i, struct page_class *ret)
{
	uint64_t entry = buf->block.entries[i];

	*ret = (struct page_class){
		.pagemap = entry & ~PM_FRAME_MASK,
		.has_huge = scan.is_scan,
		.is_huge = buf->block.huge[i],
	};
	if (entry & PM_PRESENT) {
		ret->has_flags = pagemap_has_flags();
		ret->has_count = pagemap_has_counts();
		ret->kpageflags = ret->has_flags ? buf->block.flags[i] : 0;
		ret->mapcount = ret->has_count ? buf->block.counts[i] : 0;
	} else if (pagemap_has_pfns() && !(entry & PM_GUARD)) {
		ret->has_swap_type = true;
		ret->swap_type = entry & ((1u << PM_SWAP_TYPE_BITS) - 1);
	}
}

/* The frame's number, or the swap slot's. Return: false if there is none. */
static bool number_of(uint64_t entry, uint64_t *ret)
{
	if (!pagemap_has_pfns() || (entry & (PM_PRESENT | PM_GUARD)) == PM_GUARD)
		return false;
	*ret = entry & PM_FRAME_MASK;
	if (!(entry & PM_PRESENT))
		*ret >>= PM_SWAP_TYPE_BITS;
	return true;
}

/* Is page @i of the last run's class? Where there are many runs, most often. */
static bool is_of_same_class(unsigned int i)
{
	const struct pagemap_block *b = &buf->block;
	const struct page_class *class = &run.class;

	return run.class_id && class->pagemap & PM_PRESENT &&
	       (b->entries[i] & ~PM_FRAME_MASK) == class->pagemap && b->huge[i] == class->is_huge &&
	       (!class->has_flags || b->flags[i] == class->kpageflags) &&
	       (!class->has_count || b->counts[i] == class->mapcount);
}

static void begin_class(unsigned int i)
{
	struct page_class class;

	class_of(i, &class);
	if (run.class_id && page_class_equal(&class, &run.class))
		return;
	run.class = class;
	run.class_id = page_classes_id(&class);
}

/* A page that does not go on where the run ends, or has another class. */
static void begin_run(const struct vma *vma, uint64_t addr, unsigned int i)
{
	uint64_t entry = buf->block.entries[i];

	end_run(vma);
	if (!is_of_same_class(i))
		begin_class(i);
	run.start = addr;
	run.pages = 1;
	run.number = 0;
	run.has_number = number_of(entry, &run.number);
	entry_step = 0;
	if (run.has_number && !page_class_has_one_frame(&run.class))
		entry_step = run.class.pagemap & PM_PRESENT ? 1 : 1u << PM_SWAP_TYPE_BITS;
	next_entry = entry + entry_step;
}

/* How many of the @nr pages from @i on, where the run ends, belong to it. */
static unsigned int same_run(unsigned int i, unsigned int nr)
{
	const struct pagemap_block *b = &buf->block;
	bool is_present = run.class.pagemap & PM_PRESENT;
	bool has_flags = is_present && run.class.has_flags;
	bool has_count = is_present && run.class.has_count;
	unsigned int first = i;

	for (; i < first + nr; i++) {
		if (b->entries[i] != next_entry || b->huge[i] != run.class.is_huge ||
		    (has_flags && b->flags[i] != run.class.kpageflags) ||
		    (has_count && b->counts[i] != run.class.mapcount))
			break;
		next_entry += entry_step;
	}
	return i - first;
}

/* Pages [start, end), the first of which is the block's @i-th. Return: how many are there. */
static unsigned int take_pages(const struct vma *vma, uint64_t start, uint64_t end, unsigned int i)
{
	unsigned int nr = (unsigned int)((end - start) >> MM_PAGE_SHIFT), last = i + nr, n;
	bool goes_on = run.pages && run.start + (run.pages << MM_PAGE_SHIFT) == start;

	while (i < last) {
		n = goes_on ? same_run(i, last - i) : 0;
		run.pages += n;
		i += n;
		if (i == last)
			break;
		goes_on = buf->block.entries[i] & (PM_PRESENT | PM_SWAP | PM_GUARD);
		if (goes_on)
			begin_run(vma, end - ((uint64_t)(last - i) << MM_PAGE_SHIFT), i);
		else
			nr--;
		i++;
	}
	return nr;
}

/* Was it a full block, with few holes? Then the next one may be as well. */
static bool is_dense(unsigned int pages)
{
	return pages >= PAGEMAP_BLOCK - PAGEMAP_BLOCK / 4;
}

static unsigned int pages_in(uint64_t start, uint64_t end)
{
	return (unsigned int)((end - start) >> MM_PAGE_SHIFT);
}

/* Of what is read together from @start on. */
static uint64_t block_end(const struct vma *vma, uint64_t start)
{
	return vma->vm_end - start > BLOCK_BYTES ? start + BLOCK_BYTES : vma->vm_end;
}

/* From the next region on, as much as is read together. Return: is_dense(). */
static bool take_block(const struct vma *vma, uint64_t start)
{
	uint64_t end = start, limit = block_end(vma, start), stop;
	struct page_region *region;
	unsigned int i, pages = 0;

	for (i = scan.next; i < scan.nr; i++) {
		region = &buf->regions[i];
		if (region->start >= limit || region->start - end > JOIN_BYTES)
			break;
		end = region->end < limit ? region->end : limit;
	}
	scan.has_failed |= !pagemap_read(&buf->block, start, pages_in(start, end));
	for (i = scan.next; i < scan.nr && buf->regions[i].start < end; i++) {
		region = &buf->regions[i];
		stop = region->end < end ? region->end : end;
		memset(&buf->block.huge[pages_in(start, region->start)],
		       !!(region->categories & PAGE_IS_HUGE), pages_in(region->start, stop));
	}
	pagemap_read_frames(&buf->block, pages_in(start, end));
	while (scan.next < scan.nr && buf->regions[scan.next].start < end) {
		region = &buf->regions[scan.next];
		stop = region->end < end ? region->end : end;
		pages += take_pages(vma, region->start, stop, pages_in(start, region->start));
		consume(region, stop);
	}
	return is_dense(pages);
}

/* What one entry of the PMD maps has frames in a row, aligned as the addresses are. */
static bool may_be_huge(uint64_t start, unsigned int first, unsigned int nr)
{
	const uint64_t *entry = &buf->block.entries[first];

	return entry[0] & PM_PRESENT && entry[nr - 1] == entry[0] + nr - 1 &&
	       !((entry[0] ^ (start >> MM_PAGE_SHIFT)) & (HUGE_PAGES - 1));
}

/* Which of the @nr pages from @start, the block's first, are mapped by an entry of the PMD. */
static void find_huge(uint64_t start, unsigned int nr)
{
	struct page_region *region = buf->regions;
	unsigned int i, n;
	uint64_t addr;
	int found;

	memset(buf->block.huge, 0, nr);
	for (i = 0; i < nr; i += n) {
		addr = start + ((uint64_t)i << MM_PAGE_SHIFT);
		n = HUGE_PAGES - (addr >> MM_PAGE_SHIFT & (HUGE_PAGES - 1));
		n = n < nr - i ? n : nr - i;
		if (!may_be_huge(addr, i, n))
			continue;
		found = pagemap_scan(addr, addr + ((uint64_t)n << MM_PAGE_SHIFT), region, 1, 0);
		scan.has_failed |= found < 0;
		if (found == 1 && region->start == addr && region->categories & PAGE_IS_HUGE)
			memset(&buf->block.huge[i], 1, n);
	}
}

/* The block where the scan has ended, and as much of it as is in @vma. Return: is_dense(). */
static bool take_unscanned(const struct vma *vma)
{
	uint64_t start = scan.pos, end = block_end(vma, start);
	unsigned int nr = pages_in(start, end);

	scan.has_failed |= !pagemap_read(&buf->block, start, nr);
	find_huge(start, nr);
	pagemap_read_frames(&buf->block, nr);
	scan.pos = end;
	return is_dense(take_pages(vma, start, end, 0));
}

static void take_vma(const struct vma *vma)
{
	struct page_region *region = next_region(vma->vm_end);
	bool goes_on;

	if (!region)
		return;
	frame_line_begin(vma);
	run = (struct frame_run){ 0 };
	for (; region; region = next_region(vma->vm_end)) {
		goes_on = take_block(vma, region->start) && pagemap_has_pfns();
		while (goes_on && scan.next == scan.nr && scan.pos < vma->vm_end)
			goes_on = take_unscanned(vma);
	}
	end_run(vma);
	frame_line_end();
	tell_odd("anon_shared", &anon_shared);
}

/* What is there below @limit, and in no vma. */
static void take_outside(uint64_t limit)
{
	struct odd_pages outside = { 0 };
	struct page_region *region;
	uint64_t end;

	while ((region = next_region(limit))) {
		end = region->end < limit ? region->end : limit;
		add_odd(&outside, region->start, end);
		consume(region, end);
	}
	tell_odd("outside", &outside);
}

static void take_all(const struct mm *mm)
{
	const struct vma *vma;

	scan.next = scan.nr = 0;
	scan.pos = 0;
	scan.end = USER_END_4;
	scan.has_failed = false;
	scan.is_scan = pagemap_has_scan();
	for (vma = mm->first; vma; vma = vma->vm_next) {
		if (vma->vm_end > USER_END_4)
			scan.end = USER_END_5;
	}
	if (!scan.is_scan)
		scan.end = 0;
	for (vma = mm->first; vma; vma = vma->vm_next) {
		if (scan.is_scan)
			take_outside(vma->vm_start);
		else
			pretend_region(vma);
		take_vma(vma);
	}
	if (scan.is_scan)
		take_outside(scan.end);
	if (scan.has_failed)
		recorder_lost("event", "pagemap", 1);
}

bool frames_prepare(void)
{
	if (!buf)
		buf = arena_alloc(sizeof(*buf));
	if (buf)
		sys_touch(buf, pagemap_has_pfns() ? sizeof(*buf) :
						    offsetof(struct buffers, block.flags));
	recorder_populate();
	frame_line_reset();
	if (buf && page_classes_prepare())
		return true;
	recorder_lost("event", "memory", 1);
	return false;
}

/* Resident pages as the kernel counts them: statm's second number. */
static uint64_t read_rss(void)
{
	char text[STATM_BYTES], *s = text, *word;

	if (sys_read_file("/proc/self/statm", text, sizeof(text)) <= 0 || !proc_word(&s))
		return 0;
	word = proc_word(&s);
	return word ? proc_digits(word) : 0;
}

static uint64_t read_faults(void)
{
	struct rusage usage = { 0 };

	sys_call(SYS_getrusage, RUSAGE_THREAD, (long)&usage, 0, 0, 0, 0);
	return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

void frames_record(struct mm *mm)
{
	uint64_t rss_before, rss_after, faults, start, ns;
	struct frame_sums sums;
	struct jsonw *w;

	if (!pagemap_is_usable() && pagemap_init())
		return;
	topology_record();
	rss_before = read_rss();
	faults = read_faults();
	start = recorder_now();
	take_all(mm);
	ns = recorder_now() - start;
	faults = read_faults() - faults;
	rss_after = read_rss();
	sums = frame_line_sums();
	w = recorder_writer();
	jsonw_event(w, "frames_end");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "resident", (int64_t)sums.resident);
	jsonw_num(w, "swapped", (int64_t)sums.swapped);
	jsonw_num(w, "rss_before", (int64_t)rss_before);
	jsonw_num(w, "rss_after", (int64_t)rss_after);
	jsonw_num(w, "faults", (int64_t)faults);
	jsonw_num(w, "ns", (int64_t)ns);
	recorder_commit(w);
}
