/* SPDX-License-Identifier: MIT */
/*
 * malloc_pairs [THREADS [PAIRS [GRAIN]]]: each thread keeps a thousand blocks alive and replaces one
 * of them PAIRS times: free() and malloc() of 16 to 512 bytes, a multiple of GRAIN, on one of 200
 * call paths of 8 or 9 frames. A single thread is the main one, so that the program has no other.
 *
 * Prints `ns N`, the nanoseconds that each thread took a pair, and `resident N`, VmHWM in KiB.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIVE 1000
#define PATHS 200
#define THREADS_MAX 64
#define SIZE_MIN 16
#define SIZE_LIMIT 512

/* Two bits for each frame choose the callee; one path has `depth` of them. */
struct path {
	uint32_t turns;
	int depth;
};

static struct path paths[PATHS];
static unsigned long pairs = 1000000, grain = 1;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void *north(uint32_t turns, int depth, size_t size);
static void *east(uint32_t turns, int depth, size_t size);
static void *south(uint32_t turns, int depth, size_t size);
static void *west(uint32_t turns, int depth, size_t size);

static inline __attribute__((always_inline)) void *go_on(uint32_t turns, int depth, size_t size)
{
	if (!depth)
		return malloc(size);
	switch (turns & 3) {
	case 0:
		return north(turns >> 2, depth - 1, size);
	case 1:
		return east(turns >> 2, depth - 1, size);
	case 2:
		return south(turns >> 2, depth - 1, size);
	default:
		return west(turns >> 2, depth - 1, size);
	}
}

/* Frames of different sizes. The barrier keeps the calls real: a tail call would leave no frame. */
#define CROSSING(name, bytes) \
	static __attribute__((noinline)) void *name(uint32_t turns, int depth, size_t size) \
	{ \
		char room[bytes]; \
		void *p; \
		\
		__asm__ volatile("" :: "r"(room) : "memory"); \
		p = go_on(turns, depth, size); \
		__asm__ volatile("" : "+r"(p) :: "memory"); \
		return p; \
	}

CROSSING(north, 16)
CROSSING(east, 24)
CROSSING(south, 40)
CROSSING(west, 72)

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return *state = x;
}

static __attribute__((noinline)) void *work(void *seed)
{
	void **live = calloc(LIVE, sizeof(*live));
	uint64_t state = 88172645463325252ull + (uintptr_t)seed;
	unsigned long i;

	if (!live)
		exit(1);
	for (i = 0; i < pairs; i++) {
		uint64_t x = next_random(&state);
		size_t size = SIZE_MIN + (x >> 40) % (SIZE_LIMIT + 1 - SIZE_MIN);
		const struct path *path = &paths[(x >> 20) % PATHS];
		char **slot = (char **)&live[(x >> 4) % LIVE];

		free(*slot);
		*slot = north(path->turns, path->depth, size - size % grain);
		**slot = (char)i;
	}
	for (i = 0; i < LIVE; i++)
		free(live[i]);
	free(live);
	return NULL;
}

static unsigned long resident_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[128];

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, "VmHWM:", 6))
			kib = strtoul(line + 6, NULL, 10);
	if (status)
		fclose(status);
	return kib;
}

int main(int argc, char **argv)
{
	unsigned long threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1, i;
	pthread_t thread[THREADS_MAX];
	uint64_t start, state = 1, took;

	pairs = argc > 2 ? strtoul(argv[2], NULL, 10) : pairs;
	grain = argc > 3 ? strtoul(argv[3], NULL, 10) : grain;
	if (!threads || threads > THREADS_MAX || !pairs || !grain)
		return 2;
	for (i = 0; i < PATHS; i++) {
		paths[i].turns = (uint32_t)(next_random(&state) >> 20);
		paths[i].depth = 6 + (int)(i & 1);
	}
	start = now_ns();
	for (i = 0; threads > 1 && i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)(i * 7919)))
			return 1;
	for (i = 0; threads > 1 && i < threads; i++)
		pthread_join(thread[i], NULL);
	if (threads == 1)
		work(NULL);
	took = now_ns() - start;
	printf("ns %.1f\nresident %lu\n", (double)took / (double)pairs, resident_kib());
	return 0;
}
