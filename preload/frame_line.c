/* SPDX-License-Identifier: MIT */
/* One line at a time in the recorder's buffer: where it ends, and its sums, are known at the end. */
#include "frame_line.h"

#include <linux/kernel-page-flags.h>
#include <string.h>

#include <vmtrace/mm.h>

#include "pagemap.h"
#include "recorder.h"
#include "sink.h"
#include "topology.h"

#include "no_heap.h"

/* Bits of kpageflags that the kernel exports without a stable name. */
#define KPF_RESERVED 32
#define KPF_MLOCKED 33
#define KPF_BITS 64

#define SUMS_BYTES 2048u			/* of a line, behind the runs */
#define RUN_BYTES (1 + JSONW_NUMS * 21)		/* at most */
/* Four lines fill a chunk of the output, almost. */
#define RUNS_BYTES (SINK_CHUNK / 4 - SUMS_BYTES - RUN_BYTES)

static struct line {
	struct jsonw *w;
	const struct vma *vma;
	uint64_t end, number;		/* behind the last run */
	uint32_t class_id;
	bool has_runs;
	uint64_t resident, swapped, file, exclusive;
	uint64_t zone[TOPOLOGY_ZONES + 1];	/* the last: in no zone we know */
	uint64_t flag[KPF_BITS];
	struct {
		uint64_t word, pages;	/* counted together while they are the same */
	} flags;
} line;

static struct frame_sums sums;

void frame_line_reset(void)
{
	sums = (struct frame_sums){ 0 };
	memset(&line, 0, sizeof(line));
}

struct frame_sums frame_line_sums(void)
{
	return sums;
}

static void begin_at(const struct vma *vma, uint64_t start)
{
	struct jsonw *w = recorder_writer();

	memset(&line, 0, sizeof(line));
	line.w = w;
	line.vma = vma;
	line.end = start;
	jsonw_event(w, "frames");
	jsonw_str(w, "pfn", pagemap_has_pfns() ? "visible" : "hidden");
	jsonw_hex(w, "start", start);
	if (vma->own)
		jsonw_bool(w, "own", true);
	jsonw_array(w, "runs");
}

void frame_line_begin(const struct vma *vma)
{
	begin_at(vma, vma->vm_start);
}

static void count_flags(void)
{
	uint64_t flags = line.flags.word;

	/* Head or tail, it is a page of a compound one. */
	if (flags & 1ull << KPF_COMPOUND_TAIL)
		flags = (flags & ~(1ull << KPF_COMPOUND_TAIL)) | 1ull << KPF_COMPOUND_HEAD;
	for (; flags; flags &= flags - 1)
		line.flag[__builtin_ctzll(flags)] += line.flags.pages;
	line.flags.pages = 0;
}

static void count_zones(const struct frame_run *run)
{
	uint64_t pfn = run->number, pages = run->pages, end, n;
	unsigned int zone;

	if (page_class_has_one_frame(&run->class)) {
		line.zone[topology_zone(pfn, &end)] += pages;
		return;
	}
	for (; pages; pfn += n, pages -= n) {
		zone = topology_zone(pfn, &end);
		n = end - pfn < pages ? end - pfn : pages;
		line.zone[zone] += n;
	}
}

static void count_run(const struct frame_run *run)
{
	const struct page_class *class = &run->class;

	if (class->pagemap & PM_PRESENT) {
		line.resident += run->pages;
		line.file += class->pagemap & PM_FILE ? run->pages : 0;
		line.exclusive += class->pagemap & PM_EXCLUSIVE ? run->pages : 0;
		if (pagemap_has_pfns())
			count_zones(run);
	} else if (class->pagemap & PM_SWAP && !(class->pagemap & PM_GUARD)) {
		line.swapped += run->pages;
	}
	if (class->kpageflags != line.flags.word) {
		count_flags();
		line.flags.word = class->kpageflags;
	}
	line.flags.pages += run->pages;
}

/* Elements at the end that the reader knows are left out. */
static void put_run(const struct frame_run *run)
{
	int64_t element[] = {
		(int64_t)((run->start - line.end) >> MM_PAGE_SHIFT),
		run->has_number ? (int64_t)(run->number - line.number) : 0,
		(int64_t)run->pages,
		run->class_id,
	};
	unsigned int nr = 4;

	if (run->class_id == line.class_id)
		nr = run->pages != 1 ? 3 : element[1] ? 2 : 1;
	jsonw_nums(line.w, element, nr);
	line.number += (uint64_t)element[1] + run->pages;
	line.class_id = run->class_id;
	line.end = run->start + (run->pages << MM_PAGE_SHIFT);
}

/* By name: the same zone of all nodes together. */
static void put_zones(struct jsonw *w)
{
	unsigned int i, j, nr = topology_nr_zones();

	jsonw_object(w, "zones");
	for (i = 0; i < nr; i++) {
		for (j = i + 1; j < nr; j++) {
			if (strcmp(topology_zone_name(i), topology_zone_name(j)))
				continue;
			line.zone[i] += line.zone[j];
			line.zone[j] = 0;
		}
		if (line.zone[i])
			jsonw_num(w, topology_zone_name(i), (int64_t)line.zone[i]);
	}
	if (line.zone[TOPOLOGY_ZONES])
		jsonw_num(w, "unknown", (int64_t)line.zone[TOPOLOGY_ZONES]);
	jsonw_object_end(w);
}

static void put_flags(struct jsonw *w)
{
	static const char *const names[KPF_BITS] = {
		[KPF_LOCKED] = "locked", [KPF_ERROR] = "error", [KPF_REFERENCED] = "referenced",
		[KPF_UPTODATE] = "uptodate", [KPF_DIRTY] = "dirty", [KPF_LRU] = "lru",
		[KPF_ACTIVE] = "active", [KPF_SLAB] = "slab", [KPF_WRITEBACK] = "writeback",
		[KPF_RECLAIM] = "reclaim", [KPF_BUDDY] = "buddy", [KPF_MMAP] = "mmap",
		[KPF_ANON] = "anon", [KPF_SWAPCACHE] = "swapcache",
		[KPF_SWAPBACKED] = "swapbacked", [KPF_COMPOUND_HEAD] = "compound",
		[KPF_HUGE] = "huge", [KPF_UNEVICTABLE] = "unevictable",
		[KPF_HWPOISON] = "hwpoison", [KPF_NOPAGE] = "nopage", [KPF_KSM] = "ksm",
		[KPF_THP] = "thp", [KPF_OFFLINE] = "offline", [KPF_ZERO_PAGE] = "zero",
		[KPF_IDLE] = "idle", [KPF_PGTABLE] = "pgtable", [KPF_RESERVED] = "reserved",
		[KPF_MLOCKED] = "mlocked",
	};
	int i;

	count_flags();
	jsonw_object(w, "flags");
	for (i = 0; i < KPF_BITS; i++) {
		if (names[i] && line.flag[i])
			jsonw_num(w, names[i], (int64_t)line.flag[i]);
	}
	jsonw_object_end(w);
}

static void close_at(uint64_t end)
{
	struct jsonw *w = line.w;

	if (!line.has_runs)
		return;		/* the writer forgets what was not committed */
	jsonw_array_end(w);
	/* Classes may have been told since the line was begun. */
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_hex(w, "end", end);
	jsonw_num(w, "resident", (int64_t)line.resident);
	jsonw_num(w, "swapped", (int64_t)line.swapped);
	jsonw_num(w, "file", (int64_t)line.file);
	jsonw_num(w, "exclusive", (int64_t)line.exclusive);
	if (pagemap_has_pfns())
		put_zones(w);
	if (pagemap_has_flags())
		put_flags(w);
	recorder_commit(w);
	sums.resident += line.resident;
	sums.swapped += line.swapped;
}

void frame_line_run(const struct frame_run *run)
{
	if (line.w->len > RUNS_BYTES) {
		close_at(line.end);
		begin_at(line.vma, line.end);
	}
	line.has_runs = true;
	count_run(run);
	put_run(run);
}

void frame_line_end(void)
{
	close_at(line.vma->vm_end);
}
