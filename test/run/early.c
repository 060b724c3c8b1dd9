/* SPDX-License-Identifier: MIT */
/*
 * early: allocates and maps before main() (constructors, first of all priorities), in main(), in
 * atexit() functions, in destructors and in the destructors of thread-specific data.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
/* Pages of a mapping: tells in the trace where it was made. */
enum { IN_CONSTRUCTOR = 21, IN_LATE_CONSTRUCTOR, IN_MAIN, IN_THREAD_END, IN_ATEXIT, IN_DESTRUCTOR };

static char *kept;

static void map(size_t pages)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *start = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, ANON, -1, 0);
	char *block = malloc(10 * pages);

	if (start == MAP_FAILED || !block)
		abort();
	memset(block, 1, 10 * pages);
	block = realloc(block, 1000 * pages);
	munmap(start, page);
	free(block);
}

__attribute__((constructor(101))) static void first(void)
{
	map(IN_CONSTRUCTOR);
	kept = strdup("from before main");
}

__attribute__((constructor)) static void later(void)
{
	map(IN_LATE_CONSTRUCTOR);
}

__attribute__((destructor(101))) static void last(void)
{
	map(IN_DESTRUCTOR);
	free(kept);
	if (write(STDOUT_FILENO, "last\n", 5) != 5)
		_exit(1);
}

static void at_exit(void)
{
	map(IN_ATEXIT);
}

static void thread_end(void *block)
{
	map(IN_THREAD_END);
	free(block);
}

static void *thread(void *key)
{
	pthread_setspecific(*(pthread_key_t *)key, malloc(77));
	return NULL;
}

int main(void)
{
	pthread_key_t key;
	pthread_t id;

	map(IN_MAIN);
	atexit(at_exit);
	pthread_key_create(&key, thread_end);
	pthread_create(&id, NULL, thread, &key);
	pthread_join(id, NULL);
	puts(kept);
	return 0;
}
