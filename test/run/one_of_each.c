/* SPDX-License-Identifier: MIT */
/*
 * Holds one address in memory of each kind, and tells what the kernel says about each: before and
 * after a checkpoint, for which it sends itself SIGUSR1.
 *
 *     one_of_each FILE
 *
 * FILE: "NAME ADDR ENTRY FLAGS COUNT" for each, in hex, and "moved NAME" where that changed meanwhile.
 * FILE.maps: /proc/self/maps.
 *
 * ENTRY is the word in pagemap, FLAGS and COUNT those in kpageflags and kpagecount, 0 where they
 * can't be read. "skip NAME" for what the machine does not have.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE_BYTES (2ul << 20)
#define PLACES_MAX 32
#define MADV_GUARD_INSTALL_ 102
#define PRESENT (1ull << 63)
#define PFN_MASK ((1ull << 55) - 1)
/* locked, referenced, lru, active, writeback, reclaim, unevictable, idle, mlocked: reclaim's */
#define UNSTEADY (1ull << 0 | 1ull << 2 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 9 | \
		  1ull << 18 | 1ull << 25 | 1ull << 33)

static struct place {
	const char *name;
	uintptr_t addr;
	uint64_t entry, flags, count;
} places[PLACES_MAX];
static int nr_places;

/* Names that the test looks for. */
const char constant_words[2 * PAGE] = "constant";
uint64_t data_words[PAGE] = { 1, 2, 3 };
uint64_t bss_words[4 * PAGE];

__attribute__((noinline)) static int text_function(int n)
{
	__asm__ volatile("" : "+r"(n));
	return n + 1;
}

static void add(const char *name, const volatile void *addr)
{
	if (nr_places == PLACES_MAX)
		abort();
	places[nr_places++] = (struct place){ .name = name, .addr = (uintptr_t)addr };
}

/* Never merged with a neighbour. Return: the first of @pages. */
static char *map(size_t pages, int flags, int fd)
{
	char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		p = mmap(p + PAGE, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	return p;
}

static void add_program(void)
{
	volatile uint64_t sum = text_function(constant_words[PAGE]) + data_words[7];

	bss_words[2 * PAGE] = sum;
	add("text", (const void *)(uintptr_t)text_function);
	add("constants", &constant_words[PAGE]);
	add("data", &data_words[7]);
	add("bss", &bss_words[2 * PAGE]);
}

static void add_heap(void)
{
	char *live = malloc(1234), *freed = malloc(3000), *after = malloc(10);

	if (!live || !freed || !after)
		abort();
	memset(live, 1, 1234);
	memset(freed, 1, 3000);
	free(freed);
	add("heap-live", live + 10);
	add("heap-freed", freed + 2000);
	add("heap-overrun", live + 1234);
}

static void add_anonymous(void)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	char *p = map(64, anon, -1);

	memset(p, 1, 32 * PAGE);
	add("touched", p + 3 * PAGE + 5);
	add("untouched", p + 40 * PAGE);
	p = map(16, anon, -1);
	(void)*(volatile char *)p;
	add("zero", p);
	p = map(16, anon, -1);
	memset(p, 1, 16 * PAGE);
	munmap(p + 4 * PAGE, PAGE);
	add("unmapped", p + 4 * PAGE + 7);
	mprotect(p + 8 * PAGE, PAGE, PROT_READ);
	add("protected", p + 8 * PAGE);
	madvise(p + 12 * PAGE, PAGE, MADV_DONTNEED);
	add("given-back", p + 12 * PAGE);
	p = map(16, anon, -1);
	memset(p, 1, 16 * PAGE);
	add("moved-away", p + PAGE);
	p = mremap(p, 16 * PAGE, 32 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(32, anon, -1));
	if (p == MAP_FAILED)
		abort();
	add("moved-here", p + PAGE);
	p = map(16, anon, -1);
	if (madvise(p, PAGE, MADV_GUARD_INSTALL_))
		add(NULL, "guard");
	else
		add("guard", p + 1);
}

static void add_huge(void)
{
	char *p = map(3 * HUGE_BYTES / PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	p = (char *)(((uintptr_t)p + HUGE_BYTES - 1) & -HUGE_BYTES);
	madvise(p, HUGE_BYTES, MADV_HUGEPAGE);
	memset(p, 1, HUGE_BYTES);
	add("huge", p + 5 * PAGE + 9);
	p = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED) {
		add(NULL, "hugetlb");
		return;
	}
	memset(p, 1, HUGE_BYTES);
	add("hugetlb", p + 7 * PAGE);
}

static void add_files(const char *path)
{
	char mapped[4096], *p;
	int fd;

	snprintf(mapped, sizeof(mapped), "%s.mapped", path);
	fd = open(mapped, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, 16 * PAGE))
		abort();
	p = map(16, MAP_SHARED, fd);
	memset(p, 1, 16 * PAGE);
	add("file-shared", p + 2 * PAGE);
	p = map(16, MAP_PRIVATE, fd);
	(void)*(volatile char *)(p + 3 * PAGE);
	p[4 * PAGE] = 2;
	add("file-private", p + 3 * PAGE);
	add("file-copied", p + 4 * PAGE + 4);
	fd = memfd_create("one_of_each", 0);
	if (fd < 0 || ftruncate(fd, 16 * PAGE))
		abort();
	p = map(16, MAP_SHARED, fd);
	memset(p, 1, 8 * PAGE);
	add("memfd", p + PAGE);
	add("memfd-untouched", p + 9 * PAGE);
	p = map(16, MAP_SHARED | MAP_ANONYMOUS, -1);
	memset(p, 1, PAGE);
	add("shared-anonymous", p);
}

static void copy_maps(const char *path)
{
	static char text[1 << 18];
	char name[4096];
	int in = open("/proc/self/maps", O_RDONLY), out;
	ssize_t n, len = 0;
	char *vvar;

	snprintf(name, sizeof(name), "%s.maps", path);
	out = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	while ((n = read(in, text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	if (out < 0 || write(out, text, len) != len)
		abort();
	close(in);
	close(out);
	vvar = strstr(text, "[vvar]");
	while (vvar && vvar > text && vvar[-1] != '\n')
		vvar--;
	if (vvar)
		add("vvar", (const void *)strtoul(vvar, NULL, 16));
}

static uint64_t word(int fd, uint64_t at)
{
	uint64_t value = 0;

	return fd >= 0 && pread(fd, &value, 8, (off_t)at * 8) == 8 ? value : 0;
}

static void look(struct place *list, const int *fds)
{
	int i;

	for (i = 0; i < nr_places; i++) {
		struct place *p = &list[i];
		uint64_t pfn;

		p->entry = word(fds[0], p->addr / PAGE);
		pfn = p->entry & PRESENT ? p->entry & PFN_MASK : 0;
		p->flags = pfn ? word(fds[1], pfn) : 0;
		p->count = pfn ? word(fds[2], pfn) : 0;
	}
}

static void tell(int out, const struct place *after)
{
	int i;

	for (i = 0; i < nr_places; i++) {
		const struct place *p = &places[i], *q = &after[i];

		if (!p->name) {
			dprintf(out, "skip %s\n", (const char *)p->addr);
			continue;
		}
		dprintf(out, "%s %lx %lx %lx %lx\n", p->name, p->addr, p->entry, p->flags, p->count);
		if (p->entry != q->entry || (p->flags ^ q->flags) & ~UNSTEADY || p->count != q->count)
			dprintf(out, "moved %s\n", p->name);
	}
}

int main(int argc, char **argv)
{
	static struct place after[PLACES_MAX];
	volatile int local = argc;
	int fds[3], out;

	if (argc != 2)
		return 1;
	out = open(argv[1], O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (out < 0)
		return 1;
	fds[0] = open("/proc/self/pagemap", O_RDONLY);
	fds[1] = open("/proc/kpageflags", O_RDONLY);
	fds[2] = open("/proc/kpagecount", O_RDONLY);
	add_program();
	add_heap();
	add_anonymous();
	add_huge();
	add_files(argv[1]);
	add("stack", &local);
	add("vdso", (const void *)getauxval(AT_SYSINFO_EHDR));
	copy_maps(argv[1]);
	memcpy(after, places, sizeof(after));
	look(places, fds);
	raise(SIGUSR1);
	/* Ends the moment that the test asks for. */
	munmap(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
	look(after, fds);
	tell(out, after);
	return 0;
}
