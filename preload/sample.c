/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include "arena.h"
#include "sys.h"
#include "tsc.h"

#include "no_heap.h"

#define WAYS 7			/* addresses in a bucket; with the count of spills it is a cache line */
#define NEIGHBOURS 8		/* that a bucket may spill into */
#define BUCKETS_MIN 8192u
#define BUCKETS_MAX 262144u

struct bucket {
	uint64_t addr[WAYS];	/* 0: free */
	uint64_t nr_spilled;	/* that belong here and are in a neighbour */
};

static struct bucket *buckets;
static uint64_t mask;
static uint32_t mean;

bool sample_init(uint32_t bytes)
{
	uint64_t nr = BUCKETS_MIN;
	char *p;

	/* Room for 4 GiB of blocks that live at a time, within limits. Untouched pages cost nothing. */
	while (nr < BUCKETS_MAX && nr * WAYS / 2 < (4ull << 30) / bytes)
		nr *= 2;
	p = arena_alloc((nr + 1) * sizeof(struct bucket));
	buckets = (struct bucket *)(void *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
	mask = nr - 1;
	mean = bytes;
	return p;
}

/* xorshift64*: the upper bits are the good ones. */
static uint32_t next_random(struct sample *s)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (uint32_t)(s->random * 0x2545f4914f6cdd1dull >> 32);
}

/*
 * Exponentially distributed with mean 2^32, exactly and without a logarithm (von Neumann 1951): a run of
 * falling uniform numbers has an odd length with probability e^-x, if x is its first.
 */
static uint64_t next_exponential(struct sample *s)
{
	uint32_t first, last, next;
	uint64_t whole = 0;
	bool is_odd;

	for (;; whole++) {
		first = last = next_random(s);
		is_odd = true;
		while ((next = next_random(s)) < last) {
			last = next;
			is_odd = !is_odd;
		}
		if (is_odd)
			return whole << 32 | first;
	}
}

static int64_t next_distance(struct sample *s)
{
	return 1 + (int64_t)((unsigned __int128)next_exponential(s) * mean >> 32);
}

static void begin(struct sample *s)
{
	int i;

	s->random = (tsc_read() ^ (uint64_t)sys_gettid() << 40) | 1;
	for (i = 0; i < 8; i++)
		(void)next_random(s);
	s->left = next_distance(s);
}

bool sample_draw(struct sample *s, size_t size)
{
	if (!s->random) {
		begin(s);
		s->left -= (int64_t)(size ? size : 1);
		if (s->left > 0)
			return false;
	}
	s->left = next_distance(s);
	return true;
}

static struct bucket *home_of(uint64_t addr)
{
	return &buckets[(addr >> 4) * 0x9e3779b97f4a7c15ull >> 32 & mask];
}

static bool put(struct bucket *b, uint64_t addr)
{
	uint64_t none;
	int i;

	for (i = 0; i < WAYS; i++) {
		none = 0;
		if (!__atomic_load_n(&b->addr[i], __ATOMIC_RELAXED) &&
		    __atomic_compare_exchange_n(&b->addr[i], &none, addr, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return true;
	}
	return false;
}

static bool take(struct bucket *b, uint64_t addr)
{
	uint64_t seen;
	int i;

	for (i = 0; i < WAYS; i++) {
		seen = addr;
		if (__atomic_load_n(&b->addr[i], __ATOMIC_RELAXED) == addr &&
		    __atomic_compare_exchange_n(&b->addr[i], &seen, 0, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return true;
	}
	return false;
}

static struct bucket *neighbour(const struct bucket *home, int i)
{
	return &buckets[(uint64_t)(home - buckets + i) & mask];
}

bool sample_insert(uint64_t addr)
{
	struct bucket *home = home_of(addr);
	int i;

	if (put(home, addr))
		return true;
	/* Before: who frees the block must look further. */
	__atomic_fetch_add(&home->nr_spilled, 1, __ATOMIC_RELAXED);
	for (i = 1; i <= NEIGHBOURS; i++) {
		if (put(neighbour(home, i), addr))
			return true;
	}
	__atomic_fetch_sub(&home->nr_spilled, 1, __ATOMIC_RELAXED);
	return false;
}

bool sample_remove(uint64_t addr)
{
	struct bucket *home = home_of(addr);
	int i;

	if (take(home, addr))
		return true;
	if (!__atomic_load_n(&home->nr_spilled, __ATOMIC_RELAXED))
		return false;
	for (i = 1; i <= NEIGHBOURS; i++) {
		if (take(neighbour(home, i), addr)) {
			__atomic_fetch_sub(&home->nr_spilled, 1, __ATOMIC_RELAXED);
			return true;
		}
	}
	return false;
}
