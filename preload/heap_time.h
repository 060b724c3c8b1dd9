/* SPDX-License-Identifier: MIT */
/*
 * The times of heap operations, such that an address is never seen handed out before it is seen given
 * back, whichever threads did it. (Blocks that overlap, and begin elsewhere, may seem to be there at the
 * same time: for less than a tick, and not when another record is made.)
 *
 * A look at the counter is what costs most in such an operation. So a few of a thread take the time of
 * the one before them: that is too early, by no more than a tick of the kernel's clock, and does no harm
 * as long as nothing that must come first is later. Within a thread nothing is. Another thread's doing
 * can be met in two ways: as a record of its own, each of which changes @heap_order; or in the block
 * itself, if that thread was the last to take it or to give it back. That much is kept, of all blocks, in
 * a table of a byte for each 32 of the heap. Where the caller finds its own mark, nobody else had the block
 * since it wrote that, and the time that it took behind that is not too early.
 *
 * A byte is shared by many addresses, and by threads that write to it at once. So who takes a block over
 * leaves its mark first, looks at the counter then, and does both again if it finds another mark. Of two
 * marks in a byte the second one's time is the later one, then: whatever its thread does from there on
 * comes behind what the first one's did. Marks stay; in the usual case a byte is only read.
 *
 * Where threads keep taking over each other's blocks, or more heap than the table tells apart, that costs
 * more than the counter does. Then the table is given up, and every operation is stamped.
 */
#ifndef VMTRACE_HEAP_TIME_H
#define VMTRACE_HEAP_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

#define HEAP_ORDER_SHARED 1u	/* more than one thread has come by */
#define HEAP_ORDER_STAMPED 2u	/* every operation is stamped */
#define HEAP_ORDER_RECORD 4u	/* what a record adds that is no heap operation */

#define HEAP_OWNERS (1u << 20)	/* bytes of the table */
#define HEAP_OWNER_SHIFT 5	/* log2 of what one stands for */
#define HEAP_UNSTAMPED_MAX 15	/* operations between two looks at the counter */

/* A thread's. All of it is 0 at first. */
struct heap_time {
	uint64_t order;		/* heap_order when the counter was looked at; 0: it must be, next time */
	uint64_t jiffy;		/* clock_jiffy() then */
	uint32_t unstamped;	/* operations since */
	uint32_t nr_taken;	/* blocks that were another thread's, lately */
	uint8_t mark;		/* its own in the table; 0: it has no record yet */
};

/*
 * What all threads read with each operation, and nobody writes then. HEAP_ORDER_SHARED is there before a
 * thread's first operation: whatever lets another see what that did lets it see this, too.
 */
extern uint64_t heap_order;
extern uint8_t heap_owners[HEAP_OWNERS];

/**
 * heap_time_start() - There is one thread, and no operation yet. Context: startup, fork child.
 * heap_time_share() - The caller is a further one, before its first operation.
 * heap_time_mark() - The caller's mark. @nr: how many came before it.
 *
 * Context of these and the rest: hook path.
 */
void heap_time_start(void);
void heap_time_share(void);
uint8_t heap_time_mark(uint32_t nr);

/* A record was made that has a time of its own: no heap operation behind it is earlier. */
static inline void heap_time_note_record(void)
{
	__atomic_fetch_add(&heap_order, HEAP_ORDER_RECORD, __ATOMIC_RELAXED);
}

/*
 * By where a block begins. Neighbours in glibc's heap share no byte, and heaps that lie 32 MiB apart begin
 * far from each other.
 */
static inline uint8_t *heap_time_owner(uint64_t block)
{
	uint32_t far = (uint32_t)(block >> (HEAP_OWNER_SHIFT + 20)) * 2654435769u >> 12;

	return &heap_owners[((uint32_t)(block >> HEAP_OWNER_SHIFT) + far) % HEAP_OWNERS];
}

/* Has no other thread had this block since the caller had it, or anybody ever? It is the caller's, then. */
static inline bool heap_time_owns(const struct heap_time *h, uint64_t block)
{
	uint8_t *owner = heap_time_owner(block), seen = __atomic_load_n(owner, __ATOMIC_RELAXED);

	return __builtin_expect(seen == h->mark, true) ||
	       (!seen && __atomic_compare_exchange_n(owner, &seen, h->mark, false, __ATOMIC_SEQ_CST,
						     __ATOMIC_RELAXED));
}

/*
 * Does an operation on @block take the time of the thread's last one? To be asked before the block is
 * given back, and after it was handed out. If not, the operation is to be stamped.
 */
static inline bool heap_time_goes_on(struct heap_time *h, uint64_t block)
{
	uint64_t order = __atomic_load_n(&heap_order, __ATOMIC_RELAXED);

	if (__builtin_expect(order != h->order || h->unstamped == HEAP_UNSTAMPED_MAX, false) ||
	    clock_jiffy() != h->jiffy || (order & HEAP_ORDER_SHARED && !heap_time_owns(h, block)))
		return false;
	h->unstamped++;
	return true;
}

/*
 * A stamp, at such a moment; the thread's next operation in the trace must be the one that has it. Or
 * apart: then that one is stamped as well.
 */
uint64_t heap_time_stamp(struct heap_time *h, uint64_t block);
uint64_t heap_time_stamp_apart(struct heap_time *h, uint64_t block);

/* Every operation? Then nobody need know of it. */
static inline bool heap_time_is_stamped(void)
{
	return __atomic_load_n(&heap_order, __ATOMIC_RELAXED) & HEAP_ORDER_STAMPED;
}

static inline uint64_t heap_time_release(struct heap_time *h, uint64_t block)
{
	if (heap_time_is_stamped())
		return clock_before_release();
	return heap_time_stamp(h, block);
}

static inline uint64_t heap_time_release_apart(struct heap_time *h, uint64_t block)
{
	if (heap_time_is_stamped())
		return clock_before_release();
	return heap_time_stamp_apart(h, block);
}

static inline uint64_t heap_time_acquire(struct heap_time *h, uint64_t block)
{
	if (heap_time_is_stamped())
		return clock_after_acquisition();
	return heap_time_stamp(h, block);
}

#endif
