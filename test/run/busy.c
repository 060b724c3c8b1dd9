/* SPDX-License-Identifier: MIT */
/*
 * busy [N]: N rounds (default 1000) of mmap of 5 pages, mprotect, munmap, malloc, realloc, free;
 * prints a sum of what it wrote and found, exits with 3. The program that tests of the recorder
 * run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 5

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1000;
	size_t bytes = PAGES * (size_t)sysconf(_SC_PAGESIZE);
	unsigned long sum = 0;

	for (int i = 0; i < rounds; i++) {
		char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);
		char *block = malloc(100 + (size_t)i % 1000);

		if (start == MAP_FAILED || !block)
			return 1;
		memset(block, i, 100);
		start[i % 4096] = (char)i;
		block = realloc(block, 2000);
		if (!block || mprotect(start, bytes / PAGES, PROT_READ) < 0)
			return 1;
		sum = sum * 31 + (unsigned char)block[99] + (unsigned char)start[i % 4096];
		free(block);
		if (munmap(start, bytes) < 0)
			return 1;
	}
	printf("busy %d %lu\n", rounds, sum);
	return 3;
}
