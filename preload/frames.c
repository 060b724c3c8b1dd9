/* SPDX-License-Identifier: MIT */
/*
 * Reads pages and frames in as few and as large pieces as the kernel's interfaces allow.
 *
 *     vma      |  . . . . # # # . # . . . . . . . . # # |     # in memory or swap
 *     regions            [-----] -                  [---]     PAGEMAP_SCAN: holes cost nothing
 *     ranges             [-------]                  [---]     near ones joined: one pread each
 *     pagemap             7 8 9   10                 3 20     frame numbers
 *     runs               [-----] -                  - -       pages and frames contiguous
 *     spans              [-------]                  - -       frames contiguous: one pread each
 *                                                             of /proc/kpageflags
 *
 * Before Linux 6.7 there are no regions, and a vma is one range.
 */
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/kernel-page-flags.h>
#include <linux/types.h>
#include <string.h>
#include <sys/stat.h>

#include <vmtrace/mm.h>

#include "arena.h"
#include "fds.h"
#include "recorder.h"
#include "sys.h"

#include "no_heap.h"

/* From linux/fs.h of 6.7, which Debian 12 does not ship yet. */
struct page_region {
	__u64 start, end, categories;
};

struct pm_scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT (1u << 3)
#define PAGE_IS_SWAPPED (1u << 4)

/* An entry of pagemap: Documentation/admin-guide/mm/pagemap.rst. */
#define PM_PFN_MASK ((1ull << 55) - 1)
#define PM_EXCLUSIVE_BIT 56
#define PM_GUARD (1ull << 58)		/* MADV_GUARD_INSTALL: nothing there, but has PM_SWAP */
#define PM_FILE_BIT 61
#define PM_SWAP (1ull << 62)
#define PM_PRESENT (1ull << 63)

/* Bits of kpageflags that the kernel exports without a stable name. */
#define KPF_RESERVED 32
#define KPF_MLOCKED 33
#define KPF_BITS 64

#define BLOCK_PAGES 8192u		/* entries of one pread: 64 KiB */
#define REGIONS_MAX 2048u		/* regions of one ioctl: 48 KiB */
#define SCAN_PAGES_MIN 512u		/* in smaller vmas holes cost less than the ioctl */
#define JOIN_PAGES 32u			/* holes that cost less than another pread */
#define FALLBACK_OWN_MAX (1ull << 30)	/* bytes of our own that are looked through page by page */
#define RUNS_MAX 16384u			/* runs of one event, at most 45 bytes each */
#define ZONES_MAX 64u
#define ZONE_NAME 16u			/* bytes */
#define ZONEINFO_BUF 4096u		/* more than the longest line */
#define HUGE_ORDER 9
#define HUGE_PAGES (1u << HUGE_ORDER)

/* A descriptor under /proc, with what tells whether it still is ours. */
struct proc_file {
	int handle;
	dev_t dev;
	ino_t ino;
};

static struct proc_file pagemap = { .handle = -1 }, kpageflags = { .handle = -1 };
static bool has_scan, pfn_visible;

static struct zone {
	uint64_t start, end;	/* frame numbers */
	char name[ZONE_NAME];
} zones[ZONES_MAX];
static unsigned int nr_zones;

/* From the arena, at first use. */
static struct buffers {
	uint64_t entries[BLOCK_PAGES];
	uint64_t flags[HUGE_PAGES];
	struct page_region regions[REGIONS_MAX];
} *buf;

/* What is known of the vma at hand. */
static struct tally {
	struct jsonw *w;
	uint64_t resident, swapped, file, exclusive;
	uint64_t zone[ZONES_MAX + 1];	/* the last: in no zone we know */
	uint64_t flag[KPF_BITS];
	struct {
		uint64_t va, pfn, count;
	} run;
	struct {
		uint64_t pfn, count;
		uint64_t repeats;	/* the only frame again and again: the zero page */
	} span;
	unsigned int nr_runs;
	bool runs_cut;
} tally;

/* The zero page stands between other frames so often that it is worth remembering. */
static uint64_t zero_pfn, zero_flags;

static bool is_same_file(const struct proc_file *f, const struct stat *st)
{
	return st->st_dev == f->dev && st->st_ino == f->ino;
}

static bool is_usable(const struct proc_file *f)
{
	struct stat st;

	return f->handle >= 0 && !sys_fstat(fds_now(f->handle), &st) && is_same_file(f, &st);
}

static void proc_close(struct proc_file *f)
{
	struct stat st;

	/* A number that means another file by now is the program's, and stays open. */
	if (f->handle >= 0 && (sys_fstat(fds_now(f->handle), &st) || is_same_file(f, &st)))
		fds_close(f->handle);
	f->handle = -1;
}

static int proc_open(struct proc_file *f, const char *path)
{
	int err, handle = fds_open(path, O_RDONLY | O_CLOEXEC, 0);
	struct stat st;

	if (handle < 0)
		return handle;
	err = sys_fstat(fds_now(handle), &st);
	if (err) {
		fds_close(handle);
		return err;
	}
	*f = (struct proc_file){ handle, st.st_dev, st.st_ino };
	return 0;
}

/* "KEY   123" -> 123. Return: false if the line has another key. */
static bool line_number(const char *line, const char *key, uint64_t *ret)
{
	uint64_t n = 0;

	while (*line == ' ')
		line++;
	if (strncmp(line, key, strlen(key)))
		return false;
	for (line += strlen(key); *line == ' '; line++)
		;
	for (; *line >= '0' && *line <= '9'; line++)
		n = n * 10 + (uint64_t)(*line - '0');
	*ret = n;
	return true;
}

/*
 * A zone is three lines among many: "Node 0, zone   Normal", how many frames it spans, and, if it
 * has any, which one is the first.
 */
static void parse_zone_line(const char *line)
{
	static struct zone zone;
	static uint64_t spanned;
	const char *name = line;
	size_t len;

	if (!strncmp(line, "Node ", 5)) {
		for (; *line; line++) {
			if (*line == ' ')
				name = line + 1;
		}
		len = strlen(name);
		len = len < ZONE_NAME ? len : ZONE_NAME - 1;
		memcpy(zone.name, name, len);
		zone.name[len] = '\0';
		spanned = 0;
	} else if (line_number(line, "start_pfn:", &zone.start)) {
		zone.end = zone.start + spanned;
		if (spanned && nr_zones < ZONES_MAX)
			zones[nr_zones++] = zone;
	} else {
		line_number(line, "spanned ", &spanned);
	}
}

static void read_zones(void)
{
	static char text[ZONEINFO_BUF];
	int fd = sys_open("/proc/zoneinfo", O_RDONLY | O_CLOEXEC, 0);
	size_t len = 0, used;
	ssize_t n;
	char *eol;

	if (fd < 0)
		return;
	while ((n = sys_read(fd, text + len, sizeof(text) - len)) > 0) {
		len += (size_t)n;
		for (used = 0; (eol = memchr(text + used, '\n', len - used));) {
			*eol = '\0';
			parse_zone_line(text + used);
			used = (size_t)(eol - text) + 1;
		}
		memmove(text, text + used, len - used);
		len = used ? len - used : 0;
	}
	sys_close(fd);
}

/* Regions with something in memory or in swap, in order. Return: how many, -errno. */
static int scan(uint64_t start, uint64_t end, struct page_region *vec, uint64_t nr)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = start, .end = end,
		.vec = (uint64_t)(uintptr_t)vec, .vec_len = nr,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};

	return sys_ioctl(fds_now(pagemap.handle), PAGEMAP_SCAN_IOCTL, &arg);
}

/* Ask about a page that is in memory: the one with this function's variables. */
static void probe(void)
{
	struct page_region region = { 0 };
	uint64_t page = (uint64_t)(uintptr_t)&region & ~(MM_PAGE_SIZE - 1);
	uint64_t entry = 0, flags;

	has_scan = scan(page, page + MM_PAGE_SIZE, &region, 1) >= 0;
	if (sys_pread(fds_now(pagemap.handle), &entry, sizeof(entry),
		      (off_t)(page >> MM_PAGE_SHIFT) * 8) != sizeof(entry) ||
	    !(entry & PM_PRESENT) || !(entry & PM_PFN_MASK))
		return;
	if (proc_open(&kpageflags, "/proc/kpageflags"))
		return;
	pfn_visible = sys_pread(fds_now(kpageflags.handle), &flags, sizeof(flags),
				(off_t)(entry & PM_PFN_MASK) * 8) == sizeof(flags);
	if (!pfn_visible)
		proc_close(&kpageflags);
}

int frames_init(void)
{
	int err;

	proc_close(&pagemap);
	proc_close(&kpageflags);
	has_scan = pfn_visible = false;
	err = proc_open(&pagemap, "/proc/self/pagemap");
	if (err)
		return err;
	probe();
	/* Zones stay where they are: what the parent of a fork read is good enough. */
	if (pfn_visible && !nr_zones)
		read_zones();
	return 0;
}

bool frames_pfn_visible(void)
{
	return pfn_visible;
}

static void count_flags(uint64_t flags, uint64_t nr)
{
	/* Head or tail, it is a page of a compound one. */
	if (flags & 1ull << KPF_COMPOUND_TAIL)
		flags = (flags & ~(1ull << KPF_COMPOUND_TAIL)) | 1ull << KPF_COMPOUND_HEAD;
	for (; flags; flags &= flags - 1)
		tally.flag[__builtin_ctzll(flags)] += nr;
}

/* Into buf->flags. A frame that the kernel doesn't know, past the end of memory, is no page. */
static void read_flags(uint64_t pfn, uint64_t nr)
{
	ssize_t n = sys_pread(fds_now(kpageflags.handle), buf->flags, nr * 8, (off_t)pfn * 8);
	uint64_t i;

	for (i = n > 0 ? (uint64_t)n / 8 : 0; i < nr; i++)
		buf->flags[i] = 1ull << KPF_NOPAGE;
}

/*
 * Are the HUGE_PAGES frames from @pfn, which is a multiple of it, parts of one compound page?
 *
 * Compound pages are naturally aligned powers of two, so that in one of order n the frame
 * @pfn + (1 << n) begins something else and can't be a tail: tails at all of these offsets leave
 * only HUGE_ORDER and above. Tails share the flags of their head, or have none of their own;
 * where the samples differ all the same, the caller reads every frame.
 */
static bool is_huge(uint64_t pfn, uint64_t *ret_head, uint64_t *ret_tail)
{
	uint64_t head, tail;
	int order;

	read_flags(pfn, 2);
	head = buf->flags[0];
	tail = buf->flags[1];
	if (!(tail & 1ull << KPF_COMPOUND_TAIL))
		return false;
	for (order = 1; order < HUGE_ORDER; order++) {
		read_flags(pfn + (1u << order), 1);
		if (buf->flags[0] != tail)
			return false;
	}
	*ret_head = head;
	*ret_tail = tail;
	return true;
}

/* Neighbours mostly have the same flags: their bits are counted together. */
static void count_read_flags(uint64_t nr)
{
	uint64_t i, first = 0;

	for (i = 1; i <= nr; i++) {
		if (i < nr && buf->flags[i] == buf->flags[first])
			continue;
		count_flags(buf->flags[first], i - first);
		first = i;
	}
}

static void count_span_flags(uint64_t pfn, uint64_t nr)
{
	uint64_t end = pfn + nr, next, head, tail;

	for (; pfn < end; pfn = next) {
		next = (pfn | (HUGE_PAGES - 1)) + 1;
		if (next > end)
			next = end;
		if (next - pfn == HUGE_PAGES && is_huge(pfn, &head, &tail)) {
			count_flags(head, 1);
			count_flags(tail, HUGE_PAGES - 1);
		} else {
			read_flags(pfn, next - pfn);
			count_read_flags(next - pfn);
		}
	}
}

/* Zones of several nodes may interleave; which node it is does not matter here. */
static void count_zones(uint64_t pfn, uint64_t nr, uint64_t times)
{
	static unsigned int last;
	uint64_t n;
	unsigned int i;

	for (; nr; pfn += n, nr -= n) {
		i = last;
		if (i >= nr_zones || pfn < zones[i].start || pfn >= zones[i].end) {
			for (i = 0; i < nr_zones; i++) {
				if (pfn >= zones[i].start && pfn < zones[i].end)
					break;
			}
		}
		n = i == nr_zones ? 1 : zones[i].end - pfn;
		n = n < nr ? n : nr;
		tally.zone[i == nr_zones ? ZONES_MAX : i] += n * times;
		last = i;
	}
}

static void end_span(void)
{
	uint64_t pfn = tally.span.pfn, nr = tally.span.count, repeats = tally.span.repeats;

	if (!nr)
		return;
	count_zones(pfn, nr, 1 + repeats);
	if (nr > 1) {
		count_span_flags(pfn, nr);
	} else if (zero_flags && pfn == zero_pfn) {
		count_flags(zero_flags, 1 + repeats);
	} else {
		read_flags(pfn, 1);
		count_flags(buf->flags[0], 1 + repeats);
		if (buf->flags[0] & 1ull << KPF_ZERO_PAGE) {
			zero_pfn = pfn;
			zero_flags = buf->flags[0];
		}
	}
	tally.span.count = 0;
}

static void end_run(void)
{
	if (!tally.run.count)
		return;
	if (tally.nr_runs == RUNS_MAX) {
		tally.runs_cut = true;
	} else {
		jsonw_array(tally.w, NULL);
		jsonw_hex(tally.w, NULL, tally.run.va);
		jsonw_hex(tally.w, NULL, tally.run.pfn);
		jsonw_num(tally.w, NULL, (int64_t)tally.run.count);
		jsonw_array_end(tally.w);
		tally.nr_runs++;
	}
	tally.run.count = 0;
}

static void take_frame(uint64_t va, uint64_t pfn)
{
	if (va == tally.run.va + (tally.run.count << MM_PAGE_SHIFT) &&
	    pfn == tally.run.pfn + tally.run.count && tally.run.count) {
		tally.run.count++;
	} else {
		end_run();
		tally.run.va = va;
		tally.run.pfn = pfn;
		tally.run.count = 1;
	}
	if (tally.span.count && pfn == tally.span.pfn + tally.span.count && !tally.span.repeats) {
		tally.span.count++;
	} else if (tally.span.count == 1 && pfn == tally.span.pfn) {
		tally.span.repeats++;
	} else {
		end_span();
		tally.span.pfn = pfn;
		tally.span.count = 1;
		tally.span.repeats = 0;
	}
}

static void take_entries(uint64_t va, uint64_t nr)
{
	uint64_t i, entry;

	for (i = 0; i < nr; i++, va += MM_PAGE_SIZE) {
		entry = buf->entries[i];
		if (entry & PM_PRESENT) {
			tally.resident++;
			tally.file += entry >> PM_FILE_BIT & 1;
			tally.exclusive += entry >> PM_EXCLUSIVE_BIT & 1;
			if (pfn_visible)
				take_frame(va, entry & PM_PFN_MASK);
		} else if (entry & PM_SWAP && !(entry & PM_GUARD)) {
			tally.swapped++;
		}
	}
}

static void take_range(uint64_t start, uint64_t end)
{
	uint64_t page = start >> MM_PAGE_SHIFT, last = end >> MM_PAGE_SHIFT, nr;
	ssize_t n;

	for (; page < last; page += (uint64_t)n / 8) {
		nr = last - page < BLOCK_PAGES ? last - page : BLOCK_PAGES;
		n = sys_pread(fds_now(pagemap.handle), buf->entries, nr * 8, (off_t)page * 8);
		if (n < 8)
			return;
		take_entries(page << MM_PAGE_SHIFT, (uint64_t)n / 8);
	}
}

static void take_regions(int nr)
{
	struct page_region range = buf->regions[0];
	int i;

	for (i = 1; i <= nr; i++) {
		if (i < nr && buf->regions[i].start - range.end <= JOIN_PAGES << MM_PAGE_SHIFT) {
			range.end = buf->regions[i].end;
			continue;
		}
		take_range(range.start, range.end);
		if (i < nr)
			range = buf->regions[i];
	}
}

static void take_vma(const struct vma *vma)
{
	uint64_t pos = vma->vm_start;
	int nr;

	if (vma->vm_end - vma->vm_start < SCAN_PAGES_MIN << MM_PAGE_SHIFT) {
		take_range(vma->vm_start, vma->vm_end);
		return;
	}
	if (!has_scan) {
		/* Our reservations are vast and nearly empty; others we can't know. */
		if (!vma->own || vma->vm_end - vma->vm_start <= FALLBACK_OWN_MAX)
			take_range(vma->vm_start, vma->vm_end);
		return;
	}
	/*
	 * Not by walk_end: a scan that came to the end after the kernel's own buffer was full once
	 * leaves it where that was (seen on 6.18), and what follows would be found twice.
	 */
	do {
		nr = scan(pos, vma->vm_end, buf->regions, REGIONS_MAX);
		if (nr > 0) {
			take_regions(nr);
			pos = buf->regions[nr - 1].end;
		}
	} while (nr == (int)REGIONS_MAX && pos < vma->vm_end);
}

/* By name: the same zone of all nodes together. */
static void put_zones(struct jsonw *w)
{
	unsigned int i, j;

	jsonw_object(w, "zones");
	for (i = 0; i < nr_zones; i++) {
		for (j = i + 1; j < nr_zones; j++) {
			if (strcmp(zones[i].name, zones[j].name))
				continue;
			tally.zone[i] += tally.zone[j];
			tally.zone[j] = 0;
		}
		if (tally.zone[i])
			jsonw_num(w, zones[i].name, (int64_t)tally.zone[i]);
	}
	if (tally.zone[ZONES_MAX])
		jsonw_num(w, "unknown", (int64_t)tally.zone[ZONES_MAX]);
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

	jsonw_object(w, "flags");
	for (i = 0; i < KPF_BITS; i++) {
		if (names[i] && tally.flag[i])
			jsonw_num(w, names[i], (int64_t)tally.flag[i]);
	}
	jsonw_object_end(w);
}

/* Runs go into the record as they are found; the counts follow them. */
static void record_vma(const struct vma *vma)
{
	struct jsonw *w = recorder_writer();

	memset(&tally, 0, sizeof(tally));
	tally.w = w;
	jsonw_event(w, "frames");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_str(w, "pfn", pfn_visible ? "visible" : "hidden");
	jsonw_hex(w, "start", vma->vm_start);
	jsonw_hex(w, "end", vma->vm_end);
	if (vma->own)
		jsonw_bool(w, "own", true);
	if (pfn_visible)
		jsonw_array(w, "runs");
	take_vma(vma);
	if (!tally.resident && !tally.swapped)
		return;		/* the writer forgets what was not committed */
	if (pfn_visible) {
		end_run();
		end_span();
		jsonw_array_end(w);
		if (tally.runs_cut)
			jsonw_bool(w, "runs_cut", true);
		put_zones(w);
		put_flags(w);
	}
	jsonw_num(w, "resident", (int64_t)tally.resident);
	jsonw_num(w, "swapped", (int64_t)tally.swapped);
	jsonw_num(w, "file", (int64_t)tally.file);
	jsonw_num(w, "exclusive", (int64_t)tally.exclusive);
	recorder_commit(w);
}

void frames_record(struct mm *mm, uint64_t *ret_resident_pages)
{
	const struct vma *vma;
	uint64_t resident = 0;

	/* The program may have closed our descriptors behind the hooks' back. */
	if ((!is_usable(&pagemap) || (pfn_visible && !is_usable(&kpageflags))) && frames_init())
		return;
	if (!buf)
		buf = arena_alloc(sizeof(*buf));
	if (!buf) {
		recorder_lost("event", "memory", 1);
		return;
	}
	zero_flags = 0;
	for (vma = mm->first; vma; vma = vma->vm_next) {
		record_vma(vma);
		resident += tally.resident;
	}
	*ret_resident_pages = resident;
}
