/* SPDX-License-Identifier: MIT */
/*
 * heap_times [threads]: blocks given back at once, within a tick of the kernel's clock and some ticks
 * later, and maps memory in between. Writes for each call its name, the address, the kernel's last tick
 * before it (CLOCK_MONOTONIC_COARSE), and CLOCK_MONOTONIC before and behind it.
 *
 * With "threads" there is another thread, which has a block and waits.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20
#define PAIRS 40
#define CALLS_MAX ((16 + 2 * PAIRS) * ROUNDS)

static struct {
	const char *name;
	void *addr;
	uint64_t ticked, before, behind;
} calls[CALLS_MAX];
static int nr;
static pthread_barrier_t barrier;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static void spin(uint64_t ns)
{
	uint64_t end = now() + ns;

	while (now() < end)
		;
}

static void note(const char *name, void *addr, uint64_t ticked, uint64_t before)
{
	calls[nr].name = name;
	calls[nr].addr = addr;
	calls[nr].ticked = ticked;
	calls[nr].before = before;
	calls[nr++].behind = now();
}

static void *take(size_t size)
{
	uint64_t ticked = read_clock(CLOCK_MONOTONIC_COARSE), before = now();
	void *p = malloc(size);

	note("alloc", p, ticked, before);
	return p;
}

static void give(void *p)
{
	uint64_t ticked = read_clock(CLOCK_MONOTONIC_COARSE), before = now();

	free(p);
	note("free", p, ticked, before);
}

static void map(void)
{
	uint64_t ticked = read_clock(CLOCK_MONOTONIC_COARSE), before = now();
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	note("mmap", p, ticked, before);
}

static void round_of_calls(uint64_t tick)
{
	void *p[6];
	int i;

	for (i = 0; i < 6; i++)
		p[i] = take(5000);
	give(p[0]);
	give(p[1]);
	spin(tick / 2);
	give(p[2]);
	map();
	give(p[3]);
	spin(3 * tick);
	give(p[4]);
	give(p[5]);
	for (i = 0; i < PAIRS; i++)
		give(take(64));
}

static void *wait_with_block(void *unused)
{
	void *p = malloc(7);

	*(volatile char *)p = 1;
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	free(p);
	return unused;
}

int main(int argc, char **argv)
{
	bool with_thread = argc > 1 && !strcmp(argv[1], "threads");
	struct timespec tick;
	pthread_t thread;
	int i;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	if (with_thread) {
		pthread_barrier_init(&barrier, NULL, 2);
		pthread_create(&thread, NULL, wait_with_block, NULL);
		pthread_barrier_wait(&barrier);
	}
	for (i = 0; i < ROUNDS; i++)
		round_of_calls((uint64_t)tick.tv_nsec);
	if (with_thread) {
		pthread_barrier_wait(&barrier);
		pthread_join(thread, NULL);
	}
	for (i = 0; i < nr; i++)
		dprintf(1, "%s %lu %lu %lu %lu\n", calls[i].name, (unsigned long)(uintptr_t)calls[i].addr,
			(unsigned long)calls[i].ticked, (unsigned long)calls[i].before, (unsigned long)calls[i].behind);
}
