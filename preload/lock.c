/* SPDX-License-Identifier: MIT */
/* A futex mutex (0 free, 1 taken, 2 taken with waiters) behind a blocked signal mask. */
#include "lock.h"

#include "sys.h"
#include "thread.h"

#include "no_heap.h"

static uint32_t word;

void lock_take(struct lock_state *ret_state)
{
	uint32_t seen = 0;

	sys_block_signals(&ret_state->signals);
	if (!__atomic_compare_exchange_n(&word, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		while (__atomic_exchange_n(&word, 2, __ATOMIC_ACQUIRE))
			sys_futex_wait(&word, 2);
	}
	/* A SIGSYS handler's own calls pass straight through. */
	tls.locked = true;
}

void lock_drop(const struct lock_state *state)
{
	tls.locked = false;
	if (__atomic_exchange_n(&word, 0, __ATOMIC_RELEASE) == 2)
		sys_futex_wake(&word, 1);
	sys_restore_signals(&state->signals);
}

void lock_reset(void)
{
	__atomic_store_n(&word, 0, __ATOMIC_RELEASE);
}
