/* SPDX-License-Identifier: MIT */
/*
 * malloc_pairs THREADS PAIRS: blocks of 16 to 511 bytes, a thousand alive in each thread, from
 * 64 call paths of eight frames. Prints nanoseconds a pair of malloc() and free().
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LIVE 1000
#define DEPTH 6
#define THREADS_MAX 64

static unsigned long pairs;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void *left(unsigned int path, int depth, size_t size);
static void *right(unsigned int path, int depth, size_t size);

/* The barrier keeps the calls real: a tail call would leave no frame. */
static inline __attribute__((always_inline)) void *step(unsigned int path, int depth, size_t size)
{
	void *p = !depth ? malloc(size) : path & 1 ? right(path >> 1, depth - 1, size) :
						     left(path >> 1, depth - 1, size);

	__asm__ volatile("" : "+r"(p) :: "memory");
	return p;
}

static __attribute__((noinline)) void *left(unsigned int path, int depth, size_t size)
{
	return step(path, depth, size);
}

static __attribute__((noinline)) void *right(unsigned int path, int depth, size_t size)
{
	return step(path, depth, size);
}

static void *work(void *seed)
{
	static __thread void *live[LIVE];
	uint64_t x = 88172645463325252ull + (uintptr_t)seed;
	unsigned long i;

	for (i = 0; i < pairs; i++) {
		void **slot;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		slot = &live[x % LIVE];
		free(*slot);
		*slot = left((unsigned int)(x >> 20) & 63, DEPTH, 16 + (x >> 40) % 496);
	}
	for (i = 0; i < LIVE; i++)
		free(live[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1, i;
	pthread_t thread[THREADS_MAX];
	uint64_t start;

	pairs = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
	if (!threads || threads > THREADS_MAX)
		return 2;
	start = now_ns();
	for (i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)(i * 7919));
	for (i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("%.1f\n", (double)(now_ns() - start) / (double)pairs);
	return 0;
}
