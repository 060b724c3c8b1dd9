/* SPDX-License-Identifier: MIT */
/*
 * threads: generations of threads that start, map, allocate, hand blocks to others and end, some
 * by return, some by pthread_exit(), some detached. Each makes CALLS mmap() calls of 11 pages.
 */
#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GENERATIONS 12
#define WIDTH 6
#define CALLS 20

static size_t page;
static _Atomic(char *) handed_over;
static atomic_int nr_calls;
static sem_t detached_ended;

static void work(unsigned int seed)
{
	for (int i = 0; i < CALLS; i++) {
		char *start = mmap(NULL, 11 * page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *block = malloc(1 + rand_r(&seed) % 5000);

		if (start == MAP_FAILED || !block)
			abort();
		block[0] = start[0] = 1;
		munmap(start + page, 5 * page);
		mprotect(start, page, PROT_READ);
		munmap(start, 11 * page);
		nr_calls++;
		/* Somebody else may free it. */
		free(atomic_exchange(&handed_over, block));
	}
}

static void *thread(void *number)
{
	uintptr_t n = (uintptr_t)number;

	work((unsigned int)n);
	if (n % 3 == 2) {
		pthread_detach(pthread_self());
		sem_post(&detached_ended);
	}
	if (n % 3 == 1)
		pthread_exit(NULL);
	return NULL;
}

/* Nobody can join a detached thread, but it is a task until all of its end is done. */
static void wait_for_tasks(void)
{
	const struct dirent *entry;
	int nr;

	do {
		DIR *tasks = opendir("/proc/self/task");

		if (!tasks)
			return;
		for (nr = 0; (entry = readdir(tasks)); nr += entry->d_name[0] != '.')
			;
		closedir(tasks);
		usleep(1000);
	} while (nr > 1);
}

int main(void)
{
	pthread_t ids[WIDTH];

	page = (size_t)sysconf(_SC_PAGESIZE);
	sem_init(&detached_ended, 0, 0);
	for (uintptr_t generation = 0; generation < GENERATIONS; generation++) {
		for (uintptr_t i = 0; i < WIDTH; i++)
			if (pthread_create(&ids[i], NULL, thread, (void *)(generation * WIDTH + i)))
				return 1;
		work((unsigned int)generation);
		for (uintptr_t i = 0; i < WIDTH; i++)
			if ((generation * WIDTH + i) % 3 == 2)
				sem_wait(&detached_ended);
			else
				pthread_join(ids[i], NULL);
	}
	wait_for_tasks();
	printf("%d calls\n", nr_calls);
	return 0;
}
