/* SPDX-License-Identifier: MIT */
/* Blocks change hands, and the table that tells so is given up when that is all they do. */
#include "heap_time.h"

#include "no_heap.h"

#define MARK_MANY 255		/* of all threads that came after 254 others; nobody's own */
#define TAKEN_MAX (1u << 18)	/* some 20 ms of a processor's time, at most */
#define TRIES 100	/* where all threads take over the same block as fast as they can, few need more than 5 */
#define PAUSES_SHIFT_MIN 4
#define PAUSES_SHIFT_MAX 10

uint64_t heap_order = HEAP_ORDER_STAMPED;
uint8_t heap_owners[HEAP_OWNERS];

void heap_time_start(void)
{
	uint64_t order = heap_order & ~(uint64_t)(HEAP_ORDER_SHARED | HEAP_ORDER_STAMPED);

	order += HEAP_ORDER_RECORD;
	if (!clock_is_tsc() || !trace_clock.gettime)
		order |= HEAP_ORDER_STAMPED;
	__atomic_store_n(&heap_order, order, __ATOMIC_SEQ_CST);
}

void heap_time_share(void)
{
	__atomic_fetch_or(&heap_order, HEAP_ORDER_SHARED, __ATOMIC_SEQ_CST);
}

uint8_t heap_time_mark(uint32_t nr)
{
	return nr < MARK_MANY - 1 ? (uint8_t)(nr + 1) : MARK_MANY;
}

/* Operations in progress still go by the table; those that follow on them see this. */
static void give_up(void)
{
	__atomic_fetch_or(&heap_order, HEAP_ORDER_STAMPED, __ATOMIC_SEQ_CST);
}

/* @seen: the mark of a block that is stamped. Two in three may be others', which is one in nine of all. */
static void count_taken(struct heap_time *h, uint8_t seen)
{
	if (!seen || seen == h->mark)
		h->nr_taken -= h->nr_taken < 2 ? h->nr_taken : 2;
	else if (++h->nr_taken >= TAKEN_MAX)
		give_up();
}

/*
 * Threads that mark the same byte in step find the other's mark each time, and for good. So they wait,
 * each as long as its own look at the counter says. @failed: tries, until now.
 */
static void back_off(int failed, uint64_t ticks)
{
	int shift = failed < PAUSES_SHIFT_MAX - PAUSES_SHIFT_MIN ? PAUSES_SHIFT_MIN + failed : PAUSES_SHIFT_MAX;
	uint32_t pauses = ((uint32_t)ticks * 2654435769u) >> (32 - shift);

	while (pauses--)
		__asm__ volatile("pause");
}

/* Mark the block. Return: ticks, of a moment at which it had the mark. */
static uint64_t take_over(struct heap_time *h, uint64_t block)
{
	uint8_t *owner = heap_time_owner(block), mark = h->mark ? h->mark : MARK_MANY;
	uint64_t ticks;
	int i;

	count_taken(h, __atomic_load_n(owner, __ATOMIC_RELAXED));
	for (i = 0; i < TRIES; i++) {
		if (__atomic_load_n(owner, __ATOMIC_RELAXED) != mark)
			__atomic_exchange_n(owner, mark, __ATOMIC_SEQ_CST);
		ticks = tsc_read_between();
		if (__atomic_load_n(owner, __ATOMIC_RELAXED) == mark)
			return ticks;
		back_off(i, ticks);
	}
	give_up();
	return tsc_read_ordered();
}

uint64_t heap_time_stamp_apart(struct heap_time *h, uint64_t block)
{
	uint64_t order, ticks;

	/* A handler may leave this for good, with the block marked, and not stamped. */
	__atomic_store_n(&h->order, 0, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	do {
		order = __atomic_load_n(&heap_order, __ATOMIC_SEQ_CST);
		ticks = order & HEAP_ORDER_SHARED ? take_over(h, block) : tsc_read_before();
		/* Another thread's first stamp may have been before this one. */
	} while ((__atomic_load_n(&heap_order, __ATOMIC_SEQ_CST) ^ order) & HEAP_ORDER_SHARED);
	return clock_of_ticks(ticks);
}

uint64_t heap_time_stamp(struct heap_time *h, uint64_t block)
{
	uint64_t order = __atomic_load_n(&heap_order, __ATOMIC_SEQ_CST), jiffy = clock_jiffy();
	uint64_t now = heap_time_stamp_apart(h, block);

	h->jiffy = jiffy;
	h->unstamped = 0;
	/* What changed meanwhile is seen next time. */
	if (h->mark && h->mark != MARK_MANY && !(order & HEAP_ORDER_STAMPED))
		h->order = order;
	return now;
}
