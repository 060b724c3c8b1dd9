/* SPDX-License-Identifier: MIT */
/*
 * spawns: processes made in every usual way, one after the other and beside a busy thread, with
 * calls that change the map before, in and after them. The n-th of a kind ends with status n.
 */
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 4

static size_t page;
static atomic_bool over;

static void touch(size_t pages)
{
	char *start = mmap(NULL, pages * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		abort();
	mprotect(start, page, PROT_READ);
	munmap(start, pages * page);
}

static void *busy(void *unused)
{
	while (!over) {
		touch(3);
		usleep(500);
	}
	return unused;
}

static int reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		abort();
	return WEXITSTATUS(status);
}

static int by_fork(int n, int depth)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		void *block = malloc(1 << 18);

		touch(5);
		free(block);
		exit(depth ? by_fork(n, depth - 1) : n);
	}
	return reap(pid);
}

/* Its calls before the exec happen in our memory. */
static int by_vfork(char *const argv[], int n)
{
	pid_t pid = vfork();

	if (!pid) {
		touch(7);
		if (n % 2)
			_exit(n);
		execv(argv[0], argv);
		_exit(99);
	}
	return reap(pid);
}

static int by_spawn(char *const argv[])
{
	extern char **environ;
	pid_t pid;

	return posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) ? -1 : reap(pid);
}

int main(void)
{
	char shell[] = "/bin/sh", option[] = "-c", command[] = "exit 0";
	char *argv[] = { shell, option, command, NULL };
	pthread_t id;

	page = (size_t)sysconf(_SC_PAGESIZE);
	if (pthread_create(&id, NULL, busy, NULL))
		return 1;
	for (int n = 0; n < ROUNDS; n++) {
		command[strlen("exit ")] = (char)('0' + n);
		touch(9);
		printf("fork %d\n", by_fork(n, n % 2));
		printf("vfork %d\n", by_vfork(argv, n));
		printf("posix_spawn %d\n", by_spawn(argv));
		printf("system %d\n", WEXITSTATUS(system(command)));
	}
	over = true;
	pthread_join(id, NULL);
	return 0;
}
