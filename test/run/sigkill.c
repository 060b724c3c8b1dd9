/* SPDX-License-Identifier: MIT */
/*
 * sigkill [THREADS] FILE: one thread maps, one (or that many) allocate, without end, until
 * somebody kills the process.
 *
 * FILE holds two 64-bit counters in shared memory, raised after each step: mmap() calls of 7
 * pages, malloc() calls of 4321 bytes. They outlive the process and tell how much a trace must
 * hold at least.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 7
#define BYTES 4321
/* A test that hangs must not fill the disk. */
#define STEPS_MAX 2000000

static _Atomic uint64_t *counters;

static void *allocate(void *unused)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		char *block = malloc(BYTES);

		*(volatile char *)block = 1;
		atomic_fetch_add(&counters[1], 1);
		free(block);
	}
	pause();
	return unused;
}

int main(int argc, char **argv)
{
	size_t bytes = PAGES * (size_t)sysconf(_SC_PAGESIZE);
	int fd = open(argv[argc - 1], O_RDWR);
	int nr_threads = argc > 2 ? atoi(argv[1]) : 1;
	pthread_t thread;

	counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counters == MAP_FAILED)
		return 1;
	while (nr_threads--) {
		if (pthread_create(&thread, NULL, allocate, NULL) != 0)
			return 1;
	}
	for (int i = 0; i < STEPS_MAX; i++) {
		void *start = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (start == MAP_FAILED)
			return 1;
		atomic_fetch_add(&counters[0], 1);
		munmap(start, bytes);
	}
	pause();
}
