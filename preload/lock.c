/* SPDX-License-Identifier: MIT */
/* A futex mutex (0 free, 1 taken, 2 taken with waiters) behind a blocked signal mask. */
#include "lock.h"

#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>

#include "heap_time.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

#define NR_SIGNALS 64
#define KERNEL_SIGSET_SIZE 8
#define LENT_TRIES 100	/* of a millisecond each */
#define YIELDS 50	/* for who was woken: some 50 microseconds */
#define SPINS 100	/* pauses, of some 40 to 140 cycles each: less than a sleep and a wakeup */

static uint32_t word;
static uint32_t nr_taken;	/* times */
static uint32_t ending_tid;	/* under the lock: who is about to end the process, 0: nobody */
static int ending_pid;
static uint32_t nr_lent;	/* forks on their way through libc's locks */
static volatile bool has_handlers = true;

void lock_note_handler(void)
{
	has_handlers = true;
}

void lock_trust_sites(void)
{
	uint64_t action[4];	/* struct kernel_sigaction: the handler first */
	bool found = false;
	int sig;

	for (sig = 1; sig <= NR_SIGNALS; sig++) {
		if (!sys_call(SYS_rt_sigaction, sig, 0, (long)action, KERNEL_SIGSET_SIZE, 0, 0))
			found |= action[0] > (uint64_t)(uintptr_t)SIG_IGN;
	}
	has_handlers = found;
}

static bool try_take(void)
{
	uint32_t seen = 0;

	return __atomic_compare_exchange_n(&word, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/*
 * Who let go of it while others slept, and comes again at once, would always be faster than they wake:
 * a thread that maps in a loop kept others waiting for hundreds of calls.
 */
static void let_others_first(void)
{
	unsigned int i;

	tls.was_waited_for = false;
	for (i = 0; i < YIELDS && __atomic_load_n(&nr_taken, __ATOMIC_RELAXED) == tls.nr_taken; i++)
		sys_yield();
}

static void take(void)
{
	unsigned int spins;

	if (__builtin_expect(tls.was_waited_for, false))
		let_others_first();
	if (try_take())
		return;
	for (spins = 0; spins < SPINS; spins++) {
		__asm__ volatile("pause");
		if (!__atomic_load_n(&word, __ATOMIC_RELAXED) && try_take())
			return;
	}
	while (__atomic_exchange_n(&word, 2, __ATOMIC_ACQUIRE))
		sys_futex_wait(&word, 2);
}

static void drop(void)
{
	uint32_t seen = nr_taken;

	/* What was recorded under it is no later than this. */
	heap_time_note_record();
	if (__atomic_exchange_n(&word, 0, __ATOMIC_RELEASE) == 2) {
		tls.was_waited_for = true;
		tls.nr_taken = seen;
		sys_futex_wake(&word, 1);
	}
}

/* With the lock held, on return as well. Bounded: the fork may be waiting for what the caller holds. */
static void let_forks_go(void)
{
	unsigned int tries;

	for (tries = 0; lock_is_lent() && tries < LENT_TRIES; tries++) {
		drop();
		sys_sleep_ms();
		take();
	}
}

/* With the lock held, on return as well; most often there is none. */
static void wait_for_end(void)
{
	uint32_t tid;

	while ((tid = ending_tid)) {
		if ((uint32_t)sys_gettid() == tid) {
			__atomic_store_n(&ending_tid, 0, __ATOMIC_RELAXED);
			sys_futex_wake(&ending_tid, INT_MAX);
			return;
		}
		if (sys_getpid() != ending_pid)
			return;
		drop();
		sys_futex_wait(&ending_tid, tid);
		take();
	}
}

static void enter(void)
{
	tls.waits = true;
	take();
	if (__builtin_expect(nr_lent && !tls.lends, false))
		let_forks_go();
	if (ending_tid)
		wait_for_end();
	tls.waits = false;
	__atomic_store_n(&nr_taken, nr_taken + 1, __ATOMIC_RELAXED);
	/* A SIGSYS handler's own calls pass straight through. */
	tls.locked = true;
}

void lock_take(struct lock_state *ret_state)
{
	ret_state->blocked = has_handlers;
	if (ret_state->blocked)
		sys_block_signals(&ret_state->signals);
	enter();
}

void lock_take_open(struct lock_state *ret_state)
{
	ret_state->blocked = false;
	enter();
}

void lock_pause(void)
{
	tls.locked = false;
	drop();
}

void lock_resume(void)
{
	enter();
}

void lock_drop(const struct lock_state *state)
{
	lock_pause();
	if (state->blocked)
		sys_restore_signals(&state->signals);
}

void lock_drop_for_end(const struct lock_state *state)
{
	ending_pid = sys_getpid();
	ending_tid = (uint32_t)sys_gettid();
	lock_drop(state);
}

void lock_lend(void)
{
	tls.lends = true;
	__atomic_fetch_add(&nr_lent, 1, __ATOMIC_SEQ_CST);
}

void lock_take_back(void)
{
	tls.lends = false;
	__atomic_fetch_sub(&nr_lent, 1, __ATOMIC_SEQ_CST);
}

bool lock_is_lent(void)
{
	return __atomic_load_n(&nr_lent, __ATOMIC_RELAXED);
}

bool lock_is_free(void)
{
	return !__atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

void lock_reset(void)
{
	ending_tid = 0;
	nr_lent = 0;
	tls.lends = tls.locked = false;
	__atomic_store_n(&word, 0, __ATOMIC_RELEASE);
}
