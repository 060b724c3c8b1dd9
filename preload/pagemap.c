/* SPDX-License-Identifier: MIT */
/*
 * Reads what the kernel tells about pages in as few and as large pieces as it allows.
 *
 * A call costs as much as two or three frames. Frames of neighbouring pages are mostly near each
 * other, but not in order: they are sorted, and read in spans with small holes.
 *
 *     entries  | 12 11 10 . 40 13 |
 *     sorted   | 10 11 12 13 40 |
 *     spans     [-----------] [-]        one pread() each
 */
#include "pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/kernel-page-flags.h>
#include <linux/types.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <vmtrace/mm.h>

#include "fds.h"
#include "sys.h"

#include "no_heap.h"

struct pm_scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pm_scan_arg)

#define HUGE_FRAMES 512u
#define COMPOUND (1ull << KPF_COMPOUND_HEAD | 1ull << KPF_COMPOUND_TAIL)
#define JOIN_FRAMES 2u			/* a hole that costs less than another call */
#define SPAN_FRAMES PAGEMAP_BLOCK
#define INDEX_BITS 11			/* of an element to sort: PFN above, index below */
#define RADIX_BITS 8
#define RADIX (1u << RADIX_BITS)

_Static_assert(1u << INDEX_BITS == PAGEMAP_BLOCK, "an index fits");

/* A descriptor under /proc, with what tells whether it still is ours. */
struct proc_file {
	int handle;
	dev_t dev;
	ino_t ino;
};

static struct proc_file pagemap = { .handle = -1 }, kpageflags = { .handle = -1 },
			kpagecount = { .handle = -1 };
static bool has_scan, has_pfns;

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

int pagemap_scan(uint64_t start, uint64_t end, struct page_region *vec, unsigned int nr,
		 unsigned int pages)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = start, .end = end,
		.vec = (uint64_t)(uintptr_t)vec, .vec_len = nr, .max_pages = pages,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_HUGE,
	};

	return sys_ioctl(fds_now(pagemap.handle), PAGEMAP_SCAN_IOCTL, &arg);
}

static bool is_readable(const struct proc_file *f, uint64_t pfn)
{
	uint64_t word;

	return sys_pread(fds_now(f->handle), &word, sizeof(word), (off_t)pfn * 8) == sizeof(word);
}

/* Ask about a page that is in memory: the one with this function's variables. */
static void probe(void)
{
	struct page_region region = { 0 };
	uint64_t page = (uint64_t)(uintptr_t)&region & ~(MM_PAGE_SIZE - 1);
	uint64_t entry = 0, pfn;

	has_scan = pagemap_scan(page, page + MM_PAGE_SIZE, &region, 1, 0) >= 0;
	if (sys_pread(fds_now(pagemap.handle), &entry, sizeof(entry),
		      (off_t)(page >> MM_PAGE_SHIFT) * 8) != sizeof(entry) || !(entry & PM_PRESENT))
		return;
	pfn = entry & PM_FRAME_MASK;
	has_pfns = pfn;
	if (!has_pfns)
		return;
	if (!proc_open(&kpageflags, "/proc/kpageflags") && !is_readable(&kpageflags, pfn))
		proc_close(&kpageflags);
	if (!proc_open(&kpagecount, "/proc/kpagecount") && !is_readable(&kpagecount, pfn))
		proc_close(&kpagecount);
}

int pagemap_init(void)
{
	int err;

	proc_close(&pagemap);
	proc_close(&kpageflags);
	proc_close(&kpagecount);
	has_scan = has_pfns = false;
	err = proc_open(&pagemap, "/proc/self/pagemap");
	if (!err)
		probe();
	return err;
}

bool pagemap_is_usable(void)
{
	return is_usable(&pagemap) && (!pagemap_has_flags() || is_usable(&kpageflags)) &&
	       (!pagemap_has_counts() || is_usable(&kpagecount));
}

bool pagemap_has_scan(void)
{
	const long request[6] = { fds_now(pagemap.handle), PAGEMAP_SCAN_IOCTL };

	return has_scan && (!sys_filter || sys_filter(SYS_ioctl, request));
}

bool pagemap_has_pfns(void)
{
	return has_pfns;
}

bool pagemap_has_flags(void)
{
	return kpageflags.handle >= 0;
}

bool pagemap_has_counts(void)
{
	return kpagecount.handle >= 0;
}

bool pagemap_read(struct pagemap_block *block, uint64_t start, unsigned int nr)
{
	ssize_t n = sys_pread(fds_now(pagemap.handle), block->entries, nr * 8,
			      (off_t)(start >> MM_PAGE_SHIFT) * 8);
	size_t got = n > 0 ? (size_t)n / 8 : 0;

	memset(block->entries + got, 0, (nr - got) * 8);
	return n >= 0;
}

/* Least significant digit first; digits that are the same in all elements cost one look. */
static uint64_t *sort(uint64_t *from, uint64_t *to, unsigned int nr)
{
	unsigned int start[RADIX];
	uint64_t differ = 0, *swap;
	unsigned int shift, i, sum, count;

	for (i = 1; i < nr; i++)
		differ |= from[i] ^ from[0];
	for (shift = INDEX_BITS; differ >> shift; shift += RADIX_BITS) {
		if (!(differ >> shift & (RADIX - 1)))
			continue;
		memset(start, 0, sizeof(start));
		for (i = 0; i < nr; i++)
			start[from[i] >> shift & (RADIX - 1)]++;
		for (i = sum = 0; i < RADIX; i++, sum += count) {
			count = start[i];
			start[i] = sum;
		}
		for (i = 0; i < nr; i++)
			to[start[from[i] >> shift & (RADIX - 1)]++] = from[i];
		swap = from;
		from = to;
		to = swap;
		if (shift > 64 - RADIX_BITS)
			break;
	}
	return from;
}

/* Frames [pfn, pfn + nr). One that the kernel doesn't know, past the end of memory, has @none. */
static void read_words(const struct proc_file *f, uint64_t *words, uint64_t pfn, uint64_t nr,
		       uint64_t none)
{
	ssize_t n = sys_pread(fds_now(f->handle), words, nr * 8, (off_t)pfn * 8);
	uint64_t i;

	for (i = n > 0 ? (uint64_t)n / 8 : 0; i < nr; i++)
		words[i] = none;
}

/* Words of the @nr frames in @sorted, into @ret by their index. @words: room for a span. */
static void read_sorted(const struct proc_file *f, const uint64_t *sorted, unsigned int nr,
			uint64_t none, uint64_t *words, uint64_t *ret)
{
	uint64_t first, last, pfn;
	unsigned int i, end;

	for (i = 0; i < nr; i = end) {
		first = last = sorted[i] >> INDEX_BITS;
		for (end = i + 1; end < nr; end++) {
			pfn = sorted[end] >> INDEX_BITS;
			if (pfn - last > 1 + JOIN_FRAMES || pfn - first >= SPAN_FRAMES)
				break;
			last = pfn;
		}
		read_words(f, words, first, last - first + 1, none);
		for (; i < end; i++)
			ret[sorted[i] & (PAGEMAP_BLOCK - 1)] = words[(sorted[i] >> INDEX_BITS) - first];
	}
}

/*
 * Keep in @sorted only the frames whose count must be read. A page that only we map is mapped once:
 * pagemap has asked the same counter. That of large pages kernels keep in different ways.
 * Return: how many are left.
 */
static unsigned int take_known_counts(struct pagemap_block *block, uint64_t *sorted, unsigned int nr)
{
	unsigned int i, index, left = 0;

	for (i = 0; i < nr; i++) {
		index = sorted[i] & (PAGEMAP_BLOCK - 1);
		if (pagemap_has_flags() && block->entries[index] & PM_EXCLUSIVE &&
		    !(block->flags[index] & COMPOUND))
			block->counts[index] = 1;
		else
			sorted[left++] = sorted[i];
	}
	return left;
}

/*
 * From page @i on, as far as one huge page reaches, which is mapped as a whole: so that no part of it
 * can have been reclaimed or poisoned by itself, and its tails, from the second on, have the same
 * flags. How often a part is mapped elsewhere is another matter, but 1 is 1.
 * Return: how many pages that is; 0: each must be looked at.
 */
static unsigned int take_huge(struct pagemap_block *block, unsigned int i, unsigned int nr)
{
	uint64_t entry = block->entries[i], flags[2];
	unsigned int left = HUGE_FRAMES - (unsigned int)(entry & (HUGE_FRAMES - 1)), n, k;

	nr = nr - i < left ? nr - i : left;
	if (pagemap_has_counts() && !(entry & PM_EXCLUSIVE))
		return 0;
	for (n = 1; n < nr && block->huge[i + n] && block->entries[i + n] == entry + n; n++)
		;
	if (n < 3)
		return 0;
	if (pagemap_has_flags()) {
		read_words(&kpageflags, flags, entry & PM_FRAME_MASK, 2, 0);
		read_words(&kpageflags, block->words, (entry & PM_FRAME_MASK) + n - 1, 1, 0);
		if (!(flags[1] & 1ull << KPF_COMPOUND_TAIL) || flags[1] != block->words[0])
			return 0;
		block->flags[i] = flags[0];
		for (k = 1; k < n; k++)
			block->flags[i + k] = flags[1];
	}
	for (k = 0; pagemap_has_counts() && k < n; k++)
		block->counts[i + k] = 1;
	return n;
}

void pagemap_read_frames(struct pagemap_block *block, unsigned int nr)
{
	uint64_t *order = block->order[0], *sorted;
	unsigned int i, n, nr_present = 0;
	bool is_sorted = true;

	if (!pagemap_has_flags() && !pagemap_has_counts())
		return;
	for (i = 0; i < nr; i++) {
		if (!(block->entries[i] & PM_PRESENT))
			continue;
		n = block->huge[i] ? take_huge(block, i, nr) : 0;
		if (n) {
			i += n - 1;
			continue;
		}
		order[nr_present] = (block->entries[i] & PM_FRAME_MASK) << INDEX_BITS | i;
		if (nr_present && order[nr_present] < order[nr_present - 1])
			is_sorted = false;
		nr_present++;
	}
	sorted = is_sorted ? order : sort(order, block->order[1], nr_present);
	if (pagemap_has_flags())
		read_sorted(&kpageflags, sorted, nr_present, 1ull << KPF_NOPAGE, block->words,
			    block->flags);
	if (!pagemap_has_counts())
		return;
	nr_present = take_known_counts(block, sorted, nr_present);
	read_sorted(&kpagecount, sorted, nr_present, 0, block->words, block->counts);
}
