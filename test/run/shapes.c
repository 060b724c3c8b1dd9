/* SPDX-License-Identifier: MIT */
/*
 * Makes memory of known shapes, and tells what the kernel says about each of their pages.
 *
 *     shapes FILE             all shapes, a checkpoint by SIGUSR1 in between, pages into FILE
 *     shapes FILE no-scan     the same in a sandbox without PAGEMAP_SCAN
 *     shapes FILE unseen      mappings that vmtrace is not told of (inline system calls)
 *
 * FILE: "shape NAME START PAGES", "skip NAME WHY", and for each page that is there
 * "page NAME ADDR PAGEMAP KPAGEFLAGS KPAGECOUNT HUGE", in hex; the last four are 0 where they can't
 * be read. The pages are looked at before and after the checkpoint: "moved NAME ADDR" for one that
 * has changed meanwhile, other than in flags that reclaim sets by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE_BYTES (2ul << 20)
#define SHAPES_MAX 32
#define PAGES_MAX 16384
#define HOLE (1ul << 40)
#define MADV_GUARD_INSTALL_ 102
#define MADV_COLLAPSE_ 25
#define PM_PRESENT (1ull << 63)
#define PM_ANY (1ull << 63 | 1ull << 62 | 1ull << 58)
#define PFN_MASK ((1ull << 55) - 1)
/* locked, referenced, lru, active, writeback, reclaim, unevictable, idle, mlocked */
#define UNSTEADY (1ull << 0 | 1ull << 2 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 9 | 1ull << 18 | \
		  1ull << 25 | 1ull << 33)

struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_ _IOWR('f', 16, struct pm_scan_arg)

static struct shape {
	const char *name;
	char *start;
	size_t pages;
	size_t step;		/* which pages are looked at: all, but in a vast hole */
} shapes[SHAPES_MAX];
static int nr_shapes;

struct page {
	const struct shape *shape;
	uint64_t addr, entry, flags, count, huge;
};
static struct page before[PAGES_MAX], after[PAGES_MAX];
static int pagemap, kpageflags, kpagecount;
static FILE *out;

static void add_step(const char *name, void *start, size_t pages, size_t step)
{
	if (nr_shapes == SHAPES_MAX)
		abort();
	shapes[nr_shapes++] = (struct shape){ name, start, pages, step };
}

static void add(const char *name, void *start, size_t pages)
{
	add_step(name, start, pages, 1);
}

static void skip(const char *name, const char *why)
{
	fprintf(out, "skip %s %s\n", name, why);
}

/* Never merged with a neighbour, so that each shape is a vma. */
static char *map(size_t pages, int flags, int fd)
{
	char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = mmap(p + PAGE, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static char *map_anon(size_t pages)
{
	return map(pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void touch(char *p, size_t first, size_t pages, size_t step)
{
	for (; first < pages; first += step)
		((volatile char *)p)[first * PAGE] = (char)(first + 1);
}

static void look(char *p, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		(void)((volatile char *)p)[i * PAGE];
}

/* With a child that maps the whole as it is, but for some pages, and stays. */
static void share_parts(char *p)
{
	int ready[2], done[2];
	char c = 0;

	if (pipe(ready) || pipe(done))
		abort();
	if (!fork()) {
		close(done[1]);
		madvise(p + 100 * PAGE, 20 * PAGE, MADV_DONTNEED);
		touch(p, 200, 210, 1);
		if (write(ready[1], &c, 1) != 1 || read(done[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(done[0]);
	if (read(ready[0], &c, 1) != 1)
		abort();
}

/* With a child that has mapped half of it as well, and stays. */
static void make_shared_with_child(void)
{
	int fd = memfd_create("shapes", 0), ready[2], done[2];
	char *shared, *cow, c = 0;

	if (fd < 0 || ftruncate(fd, 64 * PAGE) || pipe(ready) || pipe(done))
		abort();
	shared = map(64, MAP_SHARED, fd);
	cow = map_anon(32);
	touch(shared, 0, 64, 2);
	touch(cow, 0, 32, 1);
	if (!fork()) {
		close(done[1]);
		look(shared, 32);
		if (write(ready[1], &c, 1) != 1 || read(done[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(done[0]);
	if (read(ready[0], &c, 1) != 1)
		abort();
	touch(cow, 0, 16, 1);
	add("memfd", shared, 64);
	add("cow", cow, 32);
}

static void make_small(const char *file)
{
	char *p = map_anon(4096), path[4096];
	int fd;

	touch(p, 3, 4096, 7);
	add("stride", p, 4096);
	p = map_anon(128);
	look(p, 64);
	touch(p, 10, 30, 5);
	add("zero", p, 128);
	p = map_anon(32);
	touch(p, 0, 32, 1);
	mprotect(p, 16 * PAGE, PROT_NONE);
	add("protected", p, 32);
	snprintf(path, sizeof(path), "%s.mapped", file);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, 64 * PAGE))
		abort();
	p = map(64, MAP_SHARED, fd);
	touch(p, 0, 64, 3);
	msync(p, 64 * PAGE, MS_SYNC);
	add("file", p, 64);
	p = map(64, MAP_PRIVATE, fd);
	look(p, 32);
	touch(p, 0, 16, 4);
	add("private-file", p, 64);
	unlink(path);
	p = map(64, MAP_SHARED | MAP_ANONYMOUS, -1);
	touch(p, 1, 64, 2);
	add("shared-anonymous", p, 64);
}

static bool is_huge(char *p)
{
	struct page_region region = { 0 };
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = (uintptr_t)p, .end = (uintptr_t)p + PAGE,
		.vec = (uintptr_t)&region, .vec_len = 1, .category_mask = 1 << 3,
		.return_mask = 1 << 3 | 1 << 6,
	};

	return ioctl(pagemap, PAGEMAP_SCAN_, &arg) == 1 && region.categories & 1 << 6;
}

static char *map_huge(int nr)
{
	char *p = map_anon((size_t)(nr + 1) * HUGE_BYTES / PAGE);

	p = (char *)(((uintptr_t)p + HUGE_BYTES - 1) & -HUGE_BYTES);
	madvise(p, (size_t)nr * HUGE_BYTES, MADV_HUGEPAGE);
	return p;
}

static void make_huge(void)
{
	char *p = map_huge(2);

	touch(p, 0, 2 * HUGE_BYTES / PAGE, 1);
	if (!is_huge(p))
		madvise(p, 2 * HUGE_BYTES, MADV_COLLAPSE_);
	if (!is_huge(p)) {
		skip("thp", "the kernel gives no huge pages");
	} else {
		add("thp", p, 2 * HUGE_BYTES / PAGE);
		p = map_huge(1);
		touch(p, 0, HUGE_BYTES / PAGE, 1);
		madvise(p + 100 * PAGE, 20 * PAGE, MADV_DONTNEED);
		add("thp-cut", p, HUGE_BYTES / PAGE);
		p = map_huge(1);
		touch(p, 0, HUGE_BYTES / PAGE, 1);
		share_parts(p);
		add("thp-shared", p, HUGE_BYTES / PAGE);
		p = map_huge(1);
		look(p, 1);
		add("thp-zero", p, HUGE_BYTES / PAGE);
	}
	p = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED) {
		skip("hugetlb", strerror(errno));
		return;
	}
	touch(p, 0, 1, 1);
	add("hugetlb", p, HUGE_BYTES / PAGE);
}

/* More than is looked at together, without holes but near the end, and a huge page behind small ones. */
static void make_dense(void)
{
	char *p = map_anon(9 * HUGE_BYTES / PAGE);

	p = (char *)(((uintptr_t)p + HUGE_BYTES - 1) & -HUGE_BYTES);
	touch(p, 1, 8 * HUGE_BYTES / PAGE, 1);
	(void)madvise(p + 5 * HUGE_BYTES, HUGE_BYTES, MADV_COLLAPSE_);
	madvise(p + 7 * HUGE_BYTES, 300 * PAGE, MADV_DONTNEED);
	add("dense", p, 8 * HUGE_BYTES / PAGE);
}

static void make_kept(void)
{
	char *p = map_anon(32);

	touch(p, 0, 8, 1);
	if (mlock(p, 16 * PAGE))
		skip("mlock", strerror(errno));
	else
		add("mlock", p, 32);
	p = map_anon(32);
	touch(p, 0, 16, 1);
	if (madvise(p + 4 * PAGE, 20 * PAGE, MADV_GUARD_INSTALL_))
		skip("guard", "no MADV_GUARD_INSTALL");
	else
		add("guard", p, 32);
}

static void make_hole(void)
{
	char *p = mmap(NULL, HOLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		skip("hole", strerror(errno));
		return;
	}
	touch(p, 0, HOLE / PAGE, HOLE / PAGE / 4);
	munmap(p + HOLE - PAGE, PAGE);
	madvise(p, PAGE, MADV_DONTNEED);
	add_step("hole", p, HOLE / PAGE - 1, HOLE / PAGE / 4);
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		perror(path);
	if (fd >= 0)
		close(fd);
}

static long number_in(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

/* Merged pages stay when the merging stops. */
static void make_ksm(void)
{
	static const char run[] = "/sys/kernel/mm/ksm/run";
	char *p = map_anon(64);
	long passes = number_in("/sys/kernel/mm/ksm/full_scans");
	int i;

	if (passes < 0 || access(run, W_OK) || number_in(run) != 0) {
		skip("ksm", "can't be switched on here");
		return;
	}
	memset(p, 0x5a, 64 * PAGE);
	touch(p, 0, 64, 2);
	if (madvise(p, 64 * PAGE, MADV_MERGEABLE)) {
		skip("ksm", strerror(errno));
		return;
	}
	write_to(run, "1");
	for (i = 0; i < 500 && number_in("/sys/kernel/mm/ksm/full_scans") < passes + 4; i++)
		usleep(20000);
	write_to(run, "0");
	add("ksm", p, 64);
}

static void make_swapped(void)
{
	char *p = map_anon(64);

	touch(p, 0, 64, 1);
	madvise(p, 32 * PAGE, MADV_PAGEOUT);
	for (size_t i = 0; i < 32; i++) {
		uint64_t entry;

		if (pread(pagemap, &entry, 8, (off_t)((uintptr_t)p / PAGE + i) * 8) == 8 && entry >> 62 == 1) {
			add("swapped", p, 64);
			return;
		}
	}
	skip("swapped", "nothing goes to swap here");
}

static uint64_t word(int fd, uint64_t at)
{
	uint64_t value = 0;

	return fd >= 0 && pread(fd, &value, 8, (off_t)at * 8) == 8 ? value : 0;
}

/* Everything about the pages of all shapes. Return: how many there are. */
static int dump(struct page *pages)
{
	int nr = 0, s;
	size_t i;

	for (s = 0; s < nr_shapes; s++) {
		for (i = 0; i < shapes[s].pages; i += shapes[s].step) {
			char *p = shapes[s].start + i * PAGE;
			uint64_t entry = word(pagemap, (uintptr_t)p / PAGE), pfn = entry & PFN_MASK;

			if (!(entry & PM_ANY))
				continue;
			if (nr == PAGES_MAX)
				abort();
			pages[nr++] = (struct page){ &shapes[s], (uintptr_t)p, entry,
				entry & PM_PRESENT && pfn ? word(kpageflags, pfn) : 0,
				entry & PM_PRESENT && pfn ? word(kpagecount, pfn) : 0, is_huge(p) };
		}
	}
	return nr;
}

static bool is_moved(const struct page *a, const struct page *b)
{
	return a->entry != b->entry || (a->flags ^ b->flags) & ~UNSTEADY || a->count != b->count ||
	       a->huge != b->huge;
}

static void print(int nr)
{
	int i;

	for (i = 0; i < nr_shapes; i++)
		fprintf(out, "shape %s %lx %zu\n", shapes[i].name, (unsigned long)shapes[i].start,
			shapes[i].pages);
	for (i = 0; i < nr; i++) {
		const struct page *p = &before[i];

		fprintf(out, "page %s %lx %lx %lx %lx %lx\n", p->shape->name, p->addr, p->entry, p->flags,
			p->count, p->huge);
		if (is_moved(p, &after[i]))
			fprintf(out, "moved %s %lx\n", p->shape->name, p->addr);
	}
}

static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

#ifdef __x86_64__
static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			 "r"(r9) : "rcx", "r11", "memory");
	return ret;
}
#else
#define raw syscall
#endif

/* Five pages in a hole, three of them there; and two private ones where the shadow has shared ones. */
static int make_unseen(void)
{
	char *p = map_anon(64), *shared = map(8, MAP_SHARED | MAP_ANONYMOUS, -1);

	munmap(p, 64 * PAGE);
	raw(SYS_mmap, (long)(p + 16 * PAGE), 5 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	touch(p + 16 * PAGE, 0, 5, 2);
	raw(SYS_mmap, (long)shared, 8 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	touch(shared, 3, 5, 1);
	add("outside", p + 16 * PAGE, 5);
	add("anon_shared", shared, 8);
	print(0);
	return fclose(out);
}

static void forbid_scan(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)PAGEMAP_SCAN_, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(*code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		abort();
}

int main(int argc, char **argv)
{
	int nr, nr_after;

	if (argc < 2 || !(out = fopen(argv[1], "w")))
		return 1;
	pagemap = open_file("/proc/self/pagemap");
	kpageflags = open_file("/proc/kpageflags");
	kpagecount = open_file("/proc/kpagecount");
	if (argc > 2 && !strcmp(argv[2], "unseen"))
		return make_unseen();
	if (argc > 2)
		forbid_scan();
	make_shared_with_child();
	make_small(argv[1]);
	make_huge();
	make_dense();
	make_kept();
	/* Without PAGEMAP_SCAN a vast hole is looked at page by page. */
	if (argc == 2)
		make_hole();
	make_swapped();
	make_ksm();
	memset(before, 1, sizeof(before));
	memset(after, 1, sizeof(after));
	nr = dump(before);
	raise(SIGUSR1);
	mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	nr_after = dump(after);
	if (nr != nr_after) {
		fprintf(stderr, "%d pages before the checkpoint, %d after it\n", nr, nr_after);
		return 1;
	}
	print(nr);
	return fclose(out);
}
