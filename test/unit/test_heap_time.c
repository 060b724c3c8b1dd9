/* SPDX-License-Identifier: MIT */
/*
 * Times of heap operations among threads: blocks change hands in every way, and each operation on a block
 * must be later than the one before it, by whichever thread. Blocks lie so close, or so far from each other,
 * that many share a byte of the table. Who uses a block has it for itself, so the block keeps its last time.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "check.h"
#include "heap_time.h"

#define THREADS 4
#define SHARED 6	/* blocks of all */
#define OWN 16		/* of each thread */
#define ROUNDS 60
#define OPERATIONS 20000
#define MARKS 200000	/* of one block by each thread: it would be given up a little later */
#define PATIENCE 50000000ul

enum { FREE, HELD, BUSY };

static struct block {
	int state;
	int thread;		/* the last one's */
	uint64_t addr, last;
} shared[SHARED], own[THREADS][OWN];

struct thread {
	int nr;
	uint64_t random, last;
	struct heap_time time;
	unsigned long nr_same;
};

static unsigned long nr_wrong;
static pthread_barrier_t barrier;

static uint64_t next_random(struct thread *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

/* Give it back, or be handed it: what the allocator does is the change of the state. */
static void use(struct thread *t, struct block *b)
{
	int state = __atomic_load_n(&b->state, __ATOMIC_RELAXED);
	uint64_t now;

	if (state == BUSY ||
	    !__atomic_compare_exchange_n(&b->state, &state, BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	if (heap_time_goes_on(&t->time, b->addr)) {
		now = t->last;
		t->nr_same++;
	} else {
		now = state == FREE ? heap_time_acquire(&t->time, b->addr) :
				      heap_time_release(&t->time, b->addr);
	}
	/* As the recorder does: a thread's own order is known. */
	if (now < t->last)
		now = t->last;
	if (now < b->last || (now == b->last && b->thread != t->nr))
		__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
	t->last = b->last = now;
	__atomic_store_n(&b->thread, t->nr, __ATOMIC_RELAXED);
	__atomic_store_n(&b->state, state == FREE ? HELD : FREE, __ATOMIC_RELEASE);
}

static void work(struct thread *t)
{
	uint64_t random;
	int i;

	for (i = 0; i < OPERATIONS; i++) {
		random = next_random(t);
		use(t, random & 0x700 ? &own[t->nr][random % OWN] : &shared[random % SHARED]);
	}
}

/* As thread_new() and thread_self() do for a further thread. */
static void come_by(struct thread *t)
{
	heap_time_share();
	t->time.mark = heap_time_mark((uint32_t)t->nr);
}

static void *run(void *arg)
{
	struct thread *t = arg;

	pthread_barrier_wait(&barrier);
	come_by(t);
	work(t);
	return NULL;
}

static void place_blocks(void)
{
	uint64_t addr = 0x7f0000000000;
	int i, j;

	/* Two for each byte. */
	for (i = 0; i < SHARED; i++)
		shared[i] = (struct block){ .addr = addr + 16 * (uint64_t)i };
	/* And some that share one with those, far away. */
	for (i = 0; i < THREADS; i++) {
		for (j = 0; j < OWN; j++) {
			own[i][j] = (struct block){ .addr = addr + ((uint64_t)i + 1) * 4096 + (uint64_t)j * 32 };
			while (j < 3 && heap_time_owner(own[i][j].addr) != heap_time_owner(shared[2 * j].addr))
				own[i][j].addr += 32;
		}
	}
}

/* One thread goes on while others come. */
static void test_order(void)
{
	static struct thread threads[THREADS];
	unsigned long nr_same = 0;
	pthread_t ids[THREADS];
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		heap_time_start();
		CHECK(!(heap_order & HEAP_ORDER_SHARED));
		place_blocks();
		pthread_barrier_init(&barrier, NULL, THREADS);
		for (i = 0; i < THREADS; i++)
			threads[i] = (struct thread){ .nr = i, .random = 88172645463325252ull + 977ull *
						      (uint64_t)(round * THREADS + i) };
		threads[0].time.mark = heap_time_mark(0);
		for (i = 1; i < THREADS; i++)
			pthread_create(&ids[i], NULL, run, &threads[i]);
		work(&threads[0]);
		pthread_barrier_wait(&barrier);
		work(&threads[0]);
		for (i = 1; i < THREADS; i++)
			pthread_join(ids[i], NULL);
		pthread_barrier_destroy(&barrier);
		for (i = 1; i < THREADS; i++)
			nr_same += threads[i].nr_same;
	}
	CHECK_EQ(nr_wrong, 0);
	/* Of 3.6 million: else nothing was tried. */
	CHECK(nr_same > 500000);
}

static struct block passed;

static void *pass(void *arg)
{
	struct thread *t = arg;
	unsigned long tries;

	come_by(t);
	for (tries = 0; tries < PATIENCE && !(__atomic_load_n(&heap_order, __ATOMIC_RELAXED) & HEAP_ORDER_STAMPED);
	     tries++) {
		if (__atomic_load_n(&passed.thread, __ATOMIC_RELAXED) != t->nr)
			use(t, &passed);
		else
			sched_yield();
	}
	return NULL;
}

/* A block that does nothing but change hands: the table is not worth it. */
static void test_gives_up(void)
{
	static struct thread threads[2] = { { .nr = 0 }, { .nr = 1 } };
	pthread_t id;

	heap_time_start();
	passed.addr = 0x7f0000000000;
	pthread_create(&id, NULL, pass, &threads[1]);
	pass(&threads[0]);
	pthread_join(id, NULL);
	CHECK(heap_order & HEAP_ORDER_STAMPED);
	CHECK(!heap_time_goes_on(&threads[0].time, passed.addr));
	CHECK_EQ(nr_wrong, 0);
}

static void *mark(void *arg)
{
	struct thread *t = arg;
	int i;

	pthread_barrier_wait(&barrier);
	come_by(t);
	for (i = 0; i < MARKS; i++)
		heap_time_stamp(&t->time, 0x7f0000000000 + 8 * (uint64_t)t->nr);
	return NULL;
}

/* Threads that write to the same byte as fast as they can do not keep each other from it. */
static void test_contends(void)
{
	static struct thread threads[THREADS];
	pthread_t ids[THREADS];
	int i;

	heap_time_start();
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		threads[i].nr = i;
		pthread_create(&ids[i], NULL, mark, &threads[i]);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&barrier);
	CHECK(!(heap_order & HEAP_ORDER_STAMPED));
}

static void test_records(void)
{
	struct heap_time h = { .mark = heap_time_mark(0) };

	heap_time_start();
	CHECK(!heap_time_goes_on(&h, 64));
	heap_time_acquire(&h, 64);
	/* A record in between; a tick of the kernel's may come in between, too. */
	heap_time_note_record();
	CHECK(!heap_time_goes_on(&h, 64));
	/* More threads than marks: the last ones have none of their own. */
	CHECK_EQ(heap_time_mark(253), 254);
	CHECK_EQ(heap_time_mark(254), 255);
	CHECK_EQ(heap_time_mark(100000), 255);
	heap_time_share();
	h.mark = heap_time_mark(254);
	heap_time_acquire(&h, 64);
	CHECK(!heap_time_goes_on(&h, 64));
}

int main(void)
{
	uint64_t ns;

	clock_init();
	clock_calibrate();
	clock_start(&ns);
	if (!clock_is_tsc() || !trace_clock.gettime) {
		printf("the kernel does not take its time from the counter, or has no vdso: every operation is stamped\n");
		return 77;
	}
	test_records();
	test_order();
	test_contends();
	test_gives_up();
	return test_result();
}
