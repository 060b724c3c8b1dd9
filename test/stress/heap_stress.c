/* SPDX-License-Identifier: MIT */
/*
 * heap_stress LIBRARY GENERATIONS [load] [fork] [anywhere] [jump]: everything at once that is hard on a
 * recorder of heap operations.
 *
 *     64 workers     allocate, regrow, free, hand blocks to each other, and end; others take their place
 *     a timer        a signal each half millisecond, whose handler allocates; half of the workers have
 *                    a stack of their own for it
 *     a loader       dlopen() and dlclose() of LIBRARY, which allocates when it comes and when it goes
 *     a forker       children that free what they inherited, allocate, and leave by _exit(): the
 *                    locks of libc that exit() takes may be another thread's
 *
 * Where malloc() is not async-signal-safe a handler allocates only if it did not interrupt a call that
 * may be in there. With `anywhere` it always does (toy_heap.c), with `jump` it sometimes leaves by
 * siglongjmp(). It ends after GENERATIONS of workers in each place, whatever time they take.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACES 64
#define KEPT 40
#define SHARED 256
#define ROUNDS 120
#define LOADS_A_GENERATION 4
#define FORKS_A_GENERATION 2
#define ALT_STACK 65536

static __thread volatile int in_allocator;
static __thread volatile bool may_jump;
static __thread sigjmp_buf out;
static bool anywhere, jumps;
static const char *library;
static int generations;
static _Atomic(void *) shared[SHARED];
static atomic_int nr_handled, nr_jumps, nr_failures;

static void *get(size_t size)
{
	void *p;

	in_allocator++;
	p = malloc(size);
	in_allocator--;
	if (p)
		memset(p, 0xa5, size < 64 ? size : 64);
	else
		nr_failures++;
	return p;
}

static void give(void *p)
{
	in_allocator++;
	free(p);
	in_allocator--;
}

static void on_timer(int signal)
{
	int n = ++nr_handled;

	(void)signal;
	if (anywhere || !in_allocator)
		give(get(100 + (size_t)n % 300));
	if (jumps && may_jump && n % 8 == 0) {
		nr_jumps++;
		in_allocator = 0;
		siglongjmp(out, 1);
	}
}

/* The same work from 16 call paths. */
static __attribute__((noinline)) void *by_path(unsigned int path, int depth, size_t size)
{
	void *p = !depth ? get(size) : by_path(path >> 1, depth - 1, size + (path & 1));

	__asm__ volatile("" : "+r"(p) :: "memory");
	return p;
}

static void work(void **kept, uint64_t *x)
{
	void **slot, *p;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		*x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
		slot = &kept[*x % KEPT];
		if (*x >> 32 & 3) {
			p = *slot;
			*slot = NULL;
			give(p);
			*slot = by_path((unsigned int)(*x >> 20), 4, 16 + (*x >> 40) % 2000);
		} else if (*slot && *x >> 34 & 1) {
			/* After a jump it may be gone. */
			p = *slot;
			*slot = NULL;
			in_allocator++;
			p = realloc(p, 16 + (*x >> 44) % 4000);
			in_allocator--;
			if (!p)
				nr_failures++;
			*slot = p;
		} else {
			/* Somebody else's from now on. */
			p = *slot;
			*slot = NULL;
			give(atomic_exchange(&shared[*x >> 50 & (SHARED - 1)], p));
		}
	}
}

/* What a jump leaves behind is lost to the program: blocks between two owners. */
static void work_with_jumps(void **kept, uint64_t *x)
{
	if (!sigsetjmp(out, 1)) {
		may_jump = jumps;
		work(kept, x);
	}
	may_jump = false;
}

static void *worker(void *seed)
{
	static __thread void *kept[KEPT];
	uint64_t x = 88172645463325252ull + (uintptr_t)seed * 7919;
	stack_t alt = { 0 };
	sigset_t alarms;
	int i;

	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
	if ((uintptr_t)seed & 1) {
		alt.ss_sp = get(ALT_STACK);
		alt.ss_size = ALT_STACK;
		sigaltstack(&alt, NULL);
	}
	work_with_jumps(kept, &x);
	for (i = 0; i < KEPT; i++)
		give(kept[i]);
	if (alt.ss_sp) {
		alt.ss_flags = SS_DISABLE;
		sigaltstack(&alt, NULL);
		give(alt.ss_sp);
	}
	in_allocator++;
	return NULL;
}

static void *loader(void *unused)
{
	int i, *(*use)(void);
	void *handle, *symbol;

	for (i = 0; i < generations * LOADS_A_GENERATION; i++) {
		handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
		symbol = handle ? dlsym(handle, "heap_stress_use") : NULL;
		memcpy(&use, &symbol, sizeof(use));
		if (symbol)
			free(use());
		else
			nr_failures++;
		if (handle)
			dlclose(handle);
	}
	return unused;
}

static _Noreturn void child(void **blocks)
{
	int i;

	for (i = 0; i < KEPT; i++)
		give(blocks[i]);
	for (i = 0; i < 200; i++)
		blocks[i % KEPT] = by_path((unsigned int)i, 4, 64);
	_exit(5);
}

static void *forker(void *unused)
{
	void *blocks[KEPT];
	int i, k, status;
	pid_t pid;

	for (i = 0; i < generations * FORKS_A_GENERATION; i++) {
		for (k = 0; k < KEPT; k++)
			blocks[k] = get(500);
		pid = fork();
		if (!pid)
			child(blocks);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 5)
			nr_failures++;
		for (k = 0; k < KEPT; k++)
			give(blocks[k]);
	}
	return unused;
}

static void start(pthread_t *thread, void *(*function)(void *), uintptr_t arg)
{
	if (pthread_create(thread, NULL, function, (void *)arg)) {
		perror("pthread_create");
		_exit(3);
	}
}

/* Workers of a generation end one after another, and the next one's take their places. */
static void run_generations(void)
{
	pthread_t threads[PLACES];
	int generation;
	uintptr_t i;

	for (generation = 0; generation < generations; generation++) {
		for (i = 0; i < PLACES; i++) {
			if (generation)
				pthread_join(threads[i], NULL);
			start(&threads[i], worker, i + (uintptr_t)generation * PLACES);
		}
	}
	for (i = 0; i < PLACES; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = on_timer, .sa_flags = SA_RESTART | SA_ONSTACK };
	pthread_t others[2];
	bool loads = false, forks = false;
	sigset_t alarms;
	int i;

	if (argc < 3)
		return 2;
	library = argv[1];
	generations = atoi(argv[2]);
	for (i = 3; i < argc; i++) {
		loads |= !strcmp(argv[i], "load");
		forks |= !strcmp(argv[i], "fork");
		anywhere |= !strcmp(argv[i], "anywhere");
		jumps |= !strcmp(argv[i], "jump");
	}
	/* The signals are for the workers. */
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	sigaction(SIGALRM, &action, NULL);
	if (loads)
		start(&others[0], loader, 0);
	if (forks)
		start(&others[1], forker, 0);
	setitimer(ITIMER_REAL, &often, NULL);
	run_generations();
	if (loads)
		pthread_join(others[0], NULL);
	if (forks)
		pthread_join(others[1], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_IGN);
	for (i = 0; i < SHARED; i++)
		give(shared[i]);
	printf("%d failures\n", nr_failures);
	fprintf(stderr, "%d signals, %d jumps\n", nr_handled, nr_jumps);
	return nr_failures != 0;
}
