/* SPDX-License-Identifier: MIT */
/*
 * resident small|huge|hole PAGES ROUNDS: memory of a kind, then a checkpoint by SIGUSR1 in each round.
 *
 * small: pages one by one. huge: the same in huge pages. hole: a TiB with three pages, PAGES unused.
 * Prints nanoseconds of CPU time, the least of the rounds: for bare reads in blocks of 2048 entries, of
 * pagemap, and of kpageflags for as many frames from the memory's first one on (0: not readable); for a
 * read of smaps_rollup, and for the call that makes the checkpoint.
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

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
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

static uint64_t read_bare(const char *path, uint64_t first, size_t nr)
{
	static uint64_t words[BLOCK];
	int fd = open(path, O_RDONLY);
	uint64_t start = now_ns();
	ssize_t n = 1;
	size_t i;

	for (i = 0; i < nr && n >= 0; i += BLOCK) {
		n = pread(fd, words, sizeof(words), (off_t)(first + i) * 8);
		/* The end of memory: the rest from its begin. */
		if (!n)
			first = -i;
	}
	start = now_ns() - start;
	if (fd >= 0)
		close(fd);
	return n >= 0 ? start : 0;
}

static uint64_t frame_of(const char *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)p / PAGE) * 8) < 0)
		entry = 0;
	close(fd);
	return entry & ((1ull << 55) - 1);
}

static uint64_t read_rollup(void)
{
	static char text[4096];
	uint64_t start = now_ns();
	int fd = open("/proc/self/smaps_rollup", O_RDONLY);

	if (read(fd, text, sizeof(text)) < 0)
		return 0;
	close(fd);
	return now_ns() - start;
}

static uint64_t make_checkpoint(void)
{
	uint64_t start;
	char *p;

	raise(SIGUSR1);
	start = now_ns();
	p = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	start = now_ns() - start;
	munmap(p, PAGE);
	return start;
}

static void keep_least(uint64_t *least, uint64_t value)
{
	if (!*least || value < *least)
		*least = value;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "small";
	size_t pages = argc > 2 ? strtoul(argv[2], NULL, 10) : 1 << 20, i;
	unsigned long rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 3;
	uint64_t bare = 0, flags = 0, rollup = 0, checkpoint = 0;
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
		keep_least(&bare, read_bare("/proc/self/pagemap", (uintptr_t)p / PAGE, pages));
		keep_least(&flags, read_bare("/proc/kpageflags", frame_of(p), pages));
		keep_least(&rollup, read_rollup());
		keep_least(&checkpoint, make_checkpoint());
	}
	printf("%llu %llu %llu %llu\n", (unsigned long long)bare, (unsigned long long)flags,
	       (unsigned long long)rollup, (unsigned long long)checkpoint);
	return 0;
}
