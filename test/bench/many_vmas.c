/* SPDX-License-Identifier: MIT */
/*
 * many_vmas COUNT CALLS: what a mapping call costs beside COUNT standing vmas. CALLS of mmap,
 * mprotect and munmap in a loop, at addresses spread over them. Prints nanoseconds a call.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul
#define STRIDE (4 * PAGE)	/* a standing page, and a hole of three */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void map(char *addr, size_t len, int prot)
{
	if (mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
}

/* Room for @count strides that nothing else maps. */
static char *reserve(unsigned long count)
{
	char *p = mmap(NULL, count * STRIDE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	if (p == MAP_FAILED || munmap(p, count * STRIDE)) {
		perror("reserve");
		exit(1);
	}
	return p;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	unsigned long calls = argc > 2 ? strtoul(argv[2], NULL, 10) : 30000, i;
	char *area = reserve(count);
	uint64_t x = 88172645463325252ull, start;

	for (i = 0; i < count; i++)
		map(area + i * STRIDE, PAGE, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
	start = now_ns();
	for (i = 0; i < calls / 3; i++) {
		char *p;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p = area + x % count * STRIDE + PAGE;
		map(p, 2 * PAGE, PROT_NONE);
		if (mprotect(p, PAGE, PROT_READ | PROT_EXEC) || munmap(p, 2 * PAGE)) {
			perror("mprotect or munmap");
			return 1;
		}
	}
	printf("%.1f\n", (double)(now_ns() - start) / (double)(calls / 3 * 3));
	return 0;
}
