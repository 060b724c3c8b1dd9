/* SPDX-License-Identifier: MIT */
/*
 * brief: threads that live briefly, one after the other, each allocating as much as fills the first
 * chunk that it has in the trace, while the main thread maps and unmaps. What the library then does
 * to that chunk may be told with a call of the main thread, and telling it fill another chunk.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define THREADS 800
#define BLOCKS 300
#define PAGE 4096

static atomic_int nr_done;

static void *thread(void *unused)
{
	for (int i = 0; i < BLOCKS; i++)
		free(malloc(100));
	nr_done++;
	return unused;
}

int main(void)
{
	for (int i = 0; i < THREADS; i++) {
		pthread_t id;

		if (pthread_create(&id, NULL, thread, NULL))
			return 1;
		while (nr_done == i) {
			void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (page == MAP_FAILED || munmap(page, PAGE))
				return 1;
		}
		pthread_join(id, NULL);
	}
	printf("%d threads\n", THREADS);
	return 0;
}
