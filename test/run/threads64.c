/* SPDX-License-Identifier: MIT */
/*
 * threads64: WIDTH threads that are alive at once, allocate, grow, give back and end, while the
 * main thread does the same; a few times over, so that cached stacks and arenas are used again.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENERATIONS 2
#define WIDTH 64
#define BLOCKS 24
#define LARGE (200 << 10)	/* bytes, above malloc's threshold for mmap() */

static pthread_barrier_t all_alive;

static void work(unsigned int seed)
{
	char *block[BLOCKS], *large = malloc(LARGE);

	for (int i = 0; i < BLOCKS; i++) {
		size_t size = 1 + (size_t)rand_r(&seed) % 8000;

		block[i] = malloc(size);
		if (!block[i] || !large)
			abort();
		memset(block[i], i, size);
	}
	large = realloc(large, 4 * LARGE);
	if (!large)
		abort();
	large[4 * LARGE - 1] = 1;
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	free(large);
}

static void *thread(void *number)
{
	pthread_barrier_wait(&all_alive);
	work((unsigned int)(uintptr_t)number);
	return NULL;
}

int main(void)
{
	pthread_t ids[WIDTH];

	pthread_barrier_init(&all_alive, NULL, WIDTH + 1);
	for (uintptr_t generation = 0; generation < GENERATIONS; generation++) {
		for (uintptr_t i = 0; i < WIDTH; i++)
			if (pthread_create(&ids[i], NULL, thread, (void *)(generation * WIDTH + i)))
				return 1;
		pthread_barrier_wait(&all_alive);
		work((unsigned int)generation);
		for (uintptr_t i = 0; i < WIDTH; i++)
			pthread_join(ids[i], NULL);
		malloc_trim(0);
	}
	printf("%d threads\n", GENERATIONS * WIDTH);
	return 0;
}
