/* SPDX-License-Identifier: MIT */
/* Locks all its memory, then does more than the room left to the trace and the shadow holds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TURNS 1000
#define BLOCKS 1400000
#define AREAS 30000		/* vmas: their shadow is more than what is kept for it */

int main(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return 77;
	for (int i = 0; i < TURNS; i++) {
		void *at = mmap(NULL, 3 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED || munmap(at, 3 * page))
			return 1;
	}
	munlockall();
	char *areas = mmap(NULL, AREAS * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);
	if (areas == MAP_FAILED)
		return 1;
	for (int i = 0; i < AREAS; i += 2) {
		if (mprotect(areas + (size_t)i * page, page, PROT_READ))
			return 1;
	}
	for (int i = 0; i < BLOCKS; i++) {
		void *volatile block = malloc(100);

		free(block);
	}
	puts("done");
	return 0;
}
