/* SPDX-License-Identifier: MIT */
/*
 * heap_exchange: four threads whose blocks change hands: through the allocator, which gives one's freed
 * block to another, and through the program, where another frees, or resizes, what one has allocated.
 * In between each keeps to blocks of its own for a while. Prints how many it allocated, and freed.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 300
#define STEPS 100
#define PLACES 16
#define OWN 8

static void *places[PLACES];
static unsigned long nr_allocs, nr_frees;
static pthread_barrier_t barrier;

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* One in, another out. */
static void *trade(uint32_t random, void *block)
{
	return __atomic_exchange_n(&places[random % PLACES], block, __ATOMIC_ACQ_REL);
}

static void *work(void *arg)
{
	uint32_t state = (uint32_t)(uintptr_t)arg, random;
	unsigned long allocs = 0, frees = 0;
	void *own[OWN] = { NULL }, *p;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		/* Else each might be done before the next one has begun. */
		if (round % 4 == 0)
			pthread_barrier_wait(&barrier);
		for (i = 0; i < STEPS; i++) {
			random = next_random(&state);
			if (round & 1) {
				p = trade(random, malloc(16 + random % 3 * 16));
				if (p && random & 0x100) {
					p = realloc(p, 16 + random % 5 * 16);
					allocs++;
					frees++;
				}
			} else {
				p = own[random % OWN];
				own[random % OWN] = malloc(16 + random % 3 * 16);
			}
			allocs++;
			frees += !!p;
			free(p);
		}
	}
	for (i = 0; i < OWN; i++) {
		frees += !!own[i];
		free(own[i]);
	}
	__atomic_fetch_add(&nr_allocs, allocs, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nr_frees, frees, __ATOMIC_RELAXED);
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	int i;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1));
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < PLACES; i++) {
		nr_frees += !!places[i];
		free(places[i]);
	}
	printf("%lu %lu\n", nr_allocs, nr_frees);
}
