/* SPDX-License-Identifier: MIT */
/*
 * signals [jump]: a timer's handler maps and unmaps while the program does so in two threads.
 *
 * The end does not depend on time: it comes when handlers and loops have run often enough. With
 * `jump` the handler leaves by siglongjmp(), possibly out of the middle of a call. Afterwards the
 * program makes CALLS mmap() calls of 13 pages, all of which must be in the trace.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define HANDLERS_MIN 200
#define HANDLERS_MAX 600
#define ROUNDS 1500
#define CALLS 100
#define UNTOUCHED 4242

static size_t page;
static atomic_int nr_handlers, nr_failures;
static bool is_jumping;
static sigjmp_buf out;

static void map_and_unmap(size_t pages)
{
	int before = errno;
	char *start = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	if (start == MAP_FAILED) {
		nr_failures++;
		return;
	}
	*(volatile char *)start = 1;
	if (mprotect(start, page, PROT_READ) < 0 || munmap(start, pages * page) < 0 ||
	    errno != before)
		nr_failures++;
}

static void on_timer(int signal)
{
	(void)signal;
	/* A slow machine would do nothing but handle signals. */
	if (++nr_handlers > HANDLERS_MAX)
		return;
	if (is_jumping)
		siglongjmp(out, 1);
	map_and_unmap(2);
}

static void *loop(void *unused)
{
	errno = UNTOUCHED;
	for (int round = 0; round < ROUNDS; round++)
		map_and_unmap(3);
	return unused;
}

/* The last jump comes before this is through: its target must still be there then. */
static void wait_and_stop_timer(void)
{
	struct itimerval never = {0};

	while (nr_handlers < HANDLERS_MIN)
		pause();
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_IGN);
}

/* The jumps land here: nothing but volatile and static variables may be relied on. */
static void loop_with_jumps(void)
{
	static volatile int rounds;

	(void)sigsetjmp(out, 1);
	while (rounds < ROUNDS) {
		void *start = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(start, page);
		rounds++;
	}
	wait_and_stop_timer();
}

static void loop_beside_thread(void)
{
	pthread_t thread;

	errno = UNTOUCHED;
	if (pthread_create(&thread, NULL, loop, NULL) != 0)
		exit(1);
	for (int round = 0; round < ROUNDS; round++) {
		void *block = malloc(round % 500);

		map_and_unmap(4);
		free(block);
	}
	pthread_join(thread, NULL);
	wait_and_stop_timer();
}

int main(int argc, char **argv)
{
	struct itimerval often = {{0, 50}, {0, 50}};
	struct sigaction action = {.sa_handler = on_timer};

	(void)argv;
	page = (size_t)sysconf(_SC_PAGESIZE);
	is_jumping = argc > 1;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	if (is_jumping)
		loop_with_jumps();
	else
		loop_beside_thread();
	for (int i = 0; i < CALLS; i++)
		if (mmap(NULL, 13 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		    MAP_FAILED)
			nr_failures++;
	printf("%d failures\n", nr_failures);
	return nr_failures != 0;
}
