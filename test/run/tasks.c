/* SPDX-License-Identifier: MIT */
/*
 * tasks WAY: makes processes in one of the ways there are and ends in one of the ways there are.
 * Children map CHILD_PAGES pages, what runs on after a call maps AFTER_PAGES.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_PAGES 17
#define AFTER_PAGES 19
#define FORKING_THREADS 4
#define FORKS_EACH 6

extern char **environ;
static size_t page;
static const char *self;
static atomic_bool is_over;

static void map(size_t pages)
{
	char *start = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	if (start == MAP_FAILED)
		abort();
	*(volatile char *)start = 1;
}

static void say_end_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	if (WIFEXITED(status))
		printf("exit %d\n", WEXITSTATUS(status));
	else
		printf("signal %d\n", WTERMSIG(status));
	fflush(stdout);
}

_Noreturn static void child(int status)
{
	void *block;

	map(CHILD_PAGES);
	block = malloc(100000);
	free(block);
	_exit(status);
}

static int way_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		child(3);
	map(AFTER_PAGES);
	say_end_of(pid);
	pid = fork();
	if (pid == 0) {
		map(CHILD_PAGES);
		exit(4);
	}
	say_end_of(pid);
	pid = fork();
	if (pid == 0) {
		map(CHILD_PAGES);
		raise(SIGKILL);
	}
	say_end_of(pid);
	return 0;
}

/* A grandchild: fork in a fork. */
static int way_deep(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		map(CHILD_PAGES);
		pid = fork();
		if (pid == 0)
			child(5);
		say_end_of(pid);
		_exit(6);
	}
	say_end_of(pid);
	return 0;
}

static void *forking_thread(void *failures)
{
	for (int i = 0; i < FORKS_EACH; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			child(7);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
			atomic_fetch_add((atomic_int *)failures, 1);
		map(AFTER_PAGES);
	}
	return NULL;
}

static void *busy_thread(void *unused)
{
	while (!is_over) {
		char *start = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		void *block = malloc(5000);

		munmap(start, page);
		free(block);
	}
	return unused;
}

static int way_threads(void)
{
	pthread_t ids[FORKING_THREADS], busy;
	atomic_int failures = 0;

	pthread_create(&busy, NULL, busy_thread, NULL);
	for (int i = 0; i < FORKING_THREADS; i++)
		pthread_create(&ids[i], NULL, forking_thread, &failures);
	for (int i = 0; i < FORKING_THREADS; i++)
		pthread_join(ids[i], NULL);
	is_over = true;
	pthread_join(busy, NULL);
	printf("%d failures\n", failures);
	return failures;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static int way_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(8);
	map(AFTER_PAGES);
	say_end_of(pid);
	pid = vfork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
		_exit(1);
	}
	map(AFTER_PAGES);
	say_end_of(pid);
	pid = vfork();
	if (pid == 0) {
		execl("/nonexistent", "x", (char *)NULL);
		_exit(errno == ENOENT ? 10 : 1);
	}
	map(AFTER_PAGES);
	say_end_of(pid);
	return 0;
}

/* The child shares the memory: what it maps stays. */
static int way_vfork_maps(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		if (mmap(NULL, CHILD_PAGES * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		    MAP_FAILED)
			_exit(1);
		_exit(11);
	}
	map(AFTER_PAGES);
	say_end_of(pid);
	return 0;
}
#pragma GCC diagnostic pop

static int way_spawn(void)
{
	char *const arguments[] = {(char *)"sh", (char *)"-c", (char *)"echo spawned; exit 12",
				   NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (posix_spawn(&pid, "/bin/sh", &actions, NULL, arguments, environ) != 0)
		return 1;
	map(AFTER_PAGES);
	say_end_of(pid);
	if (posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ) != 0)
		return 1;
	map(AFTER_PAGES);
	say_end_of(pid);
	posix_spawn_file_actions_destroy(&actions);
	return 0;
}

static int way_system(void)
{
	FILE *pipe;
	char line[80];

	printf("system %d\n", WEXITSTATUS(system("exit 13")));
	pipe = popen("echo through a pipe", "r");
	if (!pipe || !fgets(line, sizeof(line), pipe))
		return 1;
	fputs(line, stdout);
	printf("popen %d\n", pclose(pipe));
	map(AFTER_PAGES);
	return 0;
}

static int way_exec(void)
{
	map(CHILD_PAGES);
	execl("/nonexistent", "x", (char *)NULL);
	map(CHILD_PAGES);
	execl(self, self, "after", (char *)NULL);
	return 1;
}

/* Reached through exec only. */
static int way_after(void)
{
	map(AFTER_PAGES);
	puts("after");
	return 14;
}

/* The environment is not inherited: the library puts itself and its settings back. */
static int way_exec_bare(void)
{
	char *const arguments[] = {(char *)self, (char *)"after", NULL}, *const none[] = {NULL};

	map(CHILD_PAGES);
	execve(self, arguments, none);
	return 1;
}

/* The parent ends inside libc; the pipe keeps whoever waits for the output until the daemon is done. */
static int way_daemon(void)
{
	map(AFTER_PAGES);
	if (daemon(1, 1))
		return 1;
	map(CHILD_PAGES);
	return 0;
}

static void *ending_thread(void *unused)
{
	map(AFTER_PAGES);
	exit(15);
	return unused;
}

static int way_exit_in_thread(void)
{
	pthread_t id;

	pthread_create(&id, NULL, ending_thread, NULL);
	pthread_join(id, NULL);
	return 1;
}

static int way_main_thread_first(void)
{
	pthread_t id;

	pthread_create(&id, NULL, ending_thread, NULL);
	pthread_exit(NULL);
}

static int way_syscall_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (pid == 0)
		child(16);
	map(AFTER_PAGES);
	say_end_of(pid);
	return 0;
}

/* Past every symbol: nobody tells the library that there is a child. */
static int way_raw_fork(void)
{
	long pid;

	__asm__ volatile("syscall" : "=a"(pid) : "a"(SYS_fork) : "rcx", "r11", "memory");
	if (pid == 0)
		child(19);
	map(AFTER_PAGES);
	say_end_of((pid_t)pid);
	return 0;
}

static int clone_main(void *unused)
{
	(void)unused;
	map(CHILD_PAGES);
	return 17;
}

#define SHARING_TASKS 8
#define SHARING_ROUNDS 200

static atomic_int nr_sharing;

/* No heap, no stdio: libc takes all these tasks for one thread. */
static int sharing_main(void *leave)
{
	int i;

	atomic_fetch_add(&nr_sharing, 1);
	while (atomic_load(&nr_sharing) <= SHARING_TASKS)
		;
	for (i = 0; i < SHARING_ROUNDS; i++) {
		char *start = mmap(NULL, CHILD_PAGES * page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (start == MAP_FAILED || mprotect(start, page, PROT_READ) ||
		    munmap(start, CHILD_PAGES * page))
			return 1;
	}
	/* Its own process ends, not its parent's. */
	if (leave)
		_exit(17);
	return 17;
}

/* Processes that share memory and even thread-local storage with their parent, all at once. */
static int way_clone_sharing(void)
{
	size_t bytes = 64 * page;
	pid_t pids[SHARING_TASKS];
	int i, done;

	for (i = 0; i < SHARING_TASKS; i++) {
		char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

		pids[i] = clone(sharing_main, stack + bytes, CLONE_VM | SIGCHLD,
				i % 2 ? stack : NULL);
		if (pids[i] < 0)
			abort();
	}
	done = sharing_main(NULL);
	for (i = 0; i < SHARING_TASKS; i++)
		say_end_of(pids[i]);
	printf("parent %d\n", done);
	map(AFTER_PAGES);
	return 0;
}

static int way_clone(void)
{
	size_t bytes = 64 * page;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	say_end_of(clone(clone_main, stack + bytes, SIGCHLD, NULL));
	map(AFTER_PAGES);
	return 0;
}

static int way_abort(void)
{
	map(AFTER_PAGES);
	abort();
}

static int way_crash(void)
{
	map(AFTER_PAGES);
	*(volatile char *)page = 1;
	return 1;
}

static int way_quick_exit(void)
{
	map(AFTER_PAGES);
	quick_exit(18);
}

static const struct {
	const char *name;
	int (*run)(void);
} ways[] = {
	{"fork", way_fork},
	{"deep", way_deep},
	{"threads", way_threads},
	{"vfork", way_vfork},
	{"vfork-maps", way_vfork_maps},
	{"spawn", way_spawn},
	{"system", way_system},
	{"exec", way_exec},
	{"after", way_after},
	{"exec-bare", way_exec_bare},
	{"daemon", way_daemon},
	{"exit-in-thread", way_exit_in_thread},
	{"main-thread-first", way_main_thread_first},
	{"syscall-fork", way_syscall_fork},
	{"raw-fork", way_raw_fork},
	{"clone", way_clone},
	{"clone-sharing", way_clone_sharing},
	{"abort", way_abort},
	{"crash", way_crash},
	{"quick-exit", way_quick_exit},
};

int main(int argc, char **argv)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	self = argv[0];
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(argv[argc - 1], ways[i].name) == 0)
			return ways[i].run();
	fprintf(stderr, "tasks: no such way\n");
	return 1;
}
