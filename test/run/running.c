/* SPDX-License-Identifier: MIT */
/*
 * running: four threads allocate 10,000 blocks of 4321 bytes each, then wait for ever; a fifth
 * never stops to allocate. The process ends while they are there.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#define NR_WAITING 4
#define BLOCKS 10000

static sem_t done;

static void *wait_then(void *unused)
{
	for (int i = 0; i < BLOCKS; i++) {
		char *block = malloc(4321);

		*(volatile char *)block = 1;
		free(block);
	}
	sem_post(&done);
	for (;;)
		pause();
	return unused;
}

static void *never_stop(void *unused)
{
	for (;;) {
		char *block = malloc(99);

		*(volatile char *)block = 1;
		free(block);
	}
	return unused;
}

int main(void)
{
	pthread_t thread;

	sem_init(&done, 0, 0);
	if (pthread_create(&thread, NULL, never_stop, NULL) != 0)
		return 1;
	for (int i = 0; i < NR_WAITING; i++) {
		if (pthread_create(&thread, NULL, wait_then, NULL) != 0)
			return 1;
	}
	for (int i = 0; i < NR_WAITING; i++)
		sem_wait(&done);
}
