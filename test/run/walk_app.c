/* SPDX-License-Identifier: MIT */
/*
 * walk_app LIBRARY…: allocates from stacks of all kinds that are hard to tell apart from the last one: the
 * same depth with other callers, frames of varying size, recursion, jumps, signal handlers on their own
 * and on alternate stacks, threads, contexts with stacks of their own, and libraries that come and go.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define NOINLINE __attribute__((noinline))
#define ROUNDS 2000

static unsigned int random_state = 1;

static unsigned int next(void)
{
	random_state = random_state * 1103515245 + 12345;
	return random_state >> 8;
}

NOINLINE static void take(size_t size)
{
	char *volatile p = malloc(size);

	if (p)
		*p = 1;
	free(p);
}

/* The same return addresses at the same places, with another one among them. */
NOINLINE static void left(int depth);
NOINLINE static void right(int depth);

#define STEP(depth) do { \
	if (!(depth)) \
		take(24); \
	else if (next() & 1) \
		left((depth) - 1); \
	else \
		right((depth) - 1); \
	__asm__ volatile("" ::: "memory"); \
} while (0)

NOINLINE static void left(int depth)
{
	STEP(depth);
}

NOINLINE static void right(int depth)
{
	STEP(depth);
}

/* Frames whose size is known at run time only: found by the frame pointer. */
NOINLINE static void variable(unsigned int size, int depth)
{
	volatile char *room = alloca(size);

	room[0] = 1;
	if (depth)
		variable(next() % 500, depth - 1);
	else
		take(32);
	__asm__ volatile("" :: "r"(room) : "memory");
}

NOINLINE static void deep(int depth)
{
	if (depth)
		deep(depth - 1);
	take(16);
	__asm__ volatile("" ::: "memory");
}

static jmp_buf target;

NOINLINE static void jump(int depth)
{
	static volatile int goes_on = 1;

	take(48);
	if (depth)
		jump(depth - 1);
	else if (goes_on)
		longjmp(target, 1);
	__asm__ volatile("" ::: "memory");
}

static void on_signal(int sig)
{
	(void)sig;
	left(3);
}

static void signals(void)
{
	static char stack[1 << 16];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = on_signal };
	int i;

	sigaltstack(&alternate, NULL);
	for (i = 0; i < 200; i++) {
		action.sa_flags = i & 1 ? SA_ONSTACK : 0;
		sigaction(SIGUSR1, &action, NULL);
		raise(SIGUSR1);
		left(4);
	}
}

static ucontext_t main_context, other_context;

static void in_context(void)
{
	for (;;) {
		left(5);
		swapcontext(&other_context, &main_context);
	}
}

static void contexts(void)
{
	static char stack[1 << 16];
	int i;

	getcontext(&other_context);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = sizeof(stack);
	makecontext(&other_context, in_context, 0);
	for (i = 0; i < 200; i++) {
		swapcontext(&main_context, &other_context);
		right(3);
	}
}

static int compare(const void *a, const void *b)
{
	take(8);
	return *(const int *)a - *(const int *)b;
}

/* Each at the address where the other one was. */
static void libraries(char **paths, int nr)
{
	int i;

	for (i = 0; i < 50; i++) {
		void *handle = dlopen(paths[i % nr], RTLD_NOW);
		void (*allocate)(void (*)(int), int);

		if (!handle) {
			fprintf(stderr, "%s\n", dlerror());
			exit(1);
		}
		*(void **)&allocate = dlsym(handle, "walk_library");
		allocate(left, 3);
		dlclose(handle);
	}
}

static void *work(void *arg)
{
	int numbers[64], i;

	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		left((int)(next() % 12));
		variable(next() % 300, next() % 5);
	}
	for (i = 0; i < 64; i++)
		numbers[i] = (int)(next() % 1000);
	qsort(numbers, 64, sizeof(numbers[0]), compare);
	deep(400);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];
	int i;

	work(NULL);
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < 100; i++) {
		if (!setjmp(target))
			jump(i % 10);
	}
	signals();
	contexts();
	if (argc > 1)
		libraries(argv + 1, argc - 1);
	puts("done");
	return 0;
}
