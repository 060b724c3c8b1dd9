/* SPDX-License-Identifier: MIT */
/*
 * cut_short: processes that end by _exit(2) while other threads of theirs map and unmap, one after
 * the other.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 12
#define THREADS 3
#define CALLS 20	/* of the main thread, before it ends the process */
#define PAGE 4096

static int map_and_unmap(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -1 : munmap(page, PAGE);
}

static void *thread(void *unused)
{
	while (!map_and_unmap())
		;
	return unused;
}

static void process(void)
{
	pthread_t id;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&id, NULL, thread, NULL))
			_exit(1);
	for (int i = 0; i < CALLS; i++)
		if (map_and_unmap())
			_exit(1);
	_exit(0);
}

int main(void)
{
	int status, nr = 0;

	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		if (!pid)
			process();
		nr += waitpid(pid, &status, 0) == pid && !status;
	}
	printf("%d processes\n", nr);
	return 0;
}
