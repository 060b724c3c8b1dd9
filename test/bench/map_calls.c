/* SPDX-License-Identifier: MIT */
/*
 * map_calls ROUNDS: mmap, mprotect, munmap in a loop beside a thousand standing mappings.
 * Prints nanoseconds a call.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define STANDING 1000
#define PAGES 8
#define PAGE 4096ul

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static char *map(int prot)
{
	char *p = mmap(NULL, PAGES * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, i;
	uint64_t start;

	/* Neighbours that don't merge, as thread stacks and arenas are. */
	for (i = 0; i < STANDING; i++)
		map(i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
	start = now_ns();
	for (i = 0; i < rounds; i++) {
		char *p = map(PROT_READ | PROT_WRITE);

		if (mprotect(p, PAGE, PROT_READ) || munmap(p, PAGES * PAGE)) {
			perror("mprotect or munmap");
			return 1;
		}
	}
	printf("%.1f\n", (double)(now_ns() - start) / (double)(3 * rounds));
	return 0;
}
