/* SPDX-License-Identifier: MIT */
/*
 * resident small|huge|hole PAGES ROUNDS: memory of a kind, then a checkpoint by SIGUSR1 in each round.
 *
 * small: pages one by one. huge: the same in huge pages. hole: a TiB with three pages, PAGES unused.
 * Prints nanoseconds a page of a bare read of pagemap in blocks of 2048 entries.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define HOLE_PAGES (1ul << 28)
#define HUGE_BYTES (2ul << 20)
#define BLOCK 2048ul

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static char *map(size_t pages, int advice)
{
	char *p = mmap(NULL, pages * PAGE + HUGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	p = (char *)(((uintptr_t)p + HUGE_BYTES - 1) & -HUGE_BYTES);
	madvise(p, pages * PAGE, advice);
	return p;
}

static double read_bare(const char *p, size_t pages)
{
	static uint64_t entries[BLOCK];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t start = now_ns();
	size_t i;

	for (i = 0; i + BLOCK <= pages; i += BLOCK) {
		if (pread(fd, entries, sizeof(entries), (off_t)((uintptr_t)p / PAGE + i) * 8) < 0)
			return 0;
	}
	close(fd);
	return i ? (double)(now_ns() - start) / (double)i : 0;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "small";
	size_t pages = argc > 2 ? strtoul(argv[2], NULL, 10) : 1 << 20, i;
	unsigned long rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 3;
	double bare, best = 0;
	char *p;

	if (!strcmp(kind, "hole")) {
		p = map(HOLE_PAGES, MADV_NOHUGEPAGE);
		p[0] = p[HOLE_PAGES / 2 * PAGE] = p[(HOLE_PAGES - 1) * PAGE] = 1;
		pages = 0;
	} else {
		p = map(pages, strcmp(kind, "huge") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
		for (i = 0; i < pages; i++)
			p[i * PAGE] = 1;
	}
	while (rounds--) {
		bare = read_bare(p, pages);
		best = !best || bare < best ? bare : best;
		raise(SIGUSR1);
		munmap(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
	}
	printf("%.1f\n", best);
	return 0;
}
