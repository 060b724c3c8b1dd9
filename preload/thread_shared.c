/* SPDX-License-Identifier: MIT */
/*
 * Tasks made by clone(2) with CLONE_VM, but neither CLONE_VFORK nor CLONE_SETTLS: they run beside
 * their creator on its thread-local storage. Each has a state of its own in a table, by tid.
 *
 * Such a block is marked before the clone; only on a marked one is the kernel asked who is running.
 */
#include "thread.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "sys.h"

#include "no_heap.h"

#define NR_TASKS 256		/* at a time, a power of two */
#define TURN_TRIES 100000	/* of a yield each */

static struct {
	int tid;		/* 0: never used; it may have ended */
	struct thread_local_state state;
} tasks[NR_TASKS];

static uint32_t turn;		/* who may use what libc and the unwinder keep in the shared block */

static bool has_ended(int tid)
{
	return sys_call(SYS_tkill, tid, 0, 0, 0, 0, 0) == -ESRCH;
}

static void begin(struct thread_local_state *state, int tid)
{
	struct thread *left = state->thread;

	if (left)
		thread_leave_to_others(left);
	memset(state, 0, sizeof(*state));
	state->tid = tid;
	state->other_process = sys_getpid() != tls_block.pid;
}

/* Take the slot if it holds @seen. */
static struct thread_local_state *claim(unsigned int slot, int seen, int tid)
{
	if (!__atomic_compare_exchange_n(&tasks[slot].tid, &seen, tid, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return NULL;
	begin(&tasks[slot].state, tid);
	return &tasks[slot].state;
}

struct thread_local_state *thread_state_of_task(void)
{
	struct thread_local_state *state = NULL;
	int tid = sys_gettid(), seen;
	unsigned int i, slot;

	if (tid == tls_block.owner)
		return &tls_block;
	for (i = 0; i < NR_TASKS; i++) {
		slot = ((unsigned int)tid + i) & (NR_TASKS - 1);
		seen = __atomic_load_n(&tasks[slot].tid, __ATOMIC_ACQUIRE);
		if (seen == tid)
			return &tasks[slot].state;
		if (!seen && (state = claim(slot, 0, tid)))
			return state;
	}
	for (i = 0; i < NR_TASKS && !state; i++) {
		seen = __atomic_load_n(&tasks[i].tid, __ATOMIC_ACQUIRE);
		if (has_ended(seen))
			state = claim(i, seen, tid);
	}
	/* Too many at once: as if it were the owner; calls that meet its guard are lost, and counted. */
	return state ? state : &tls_block;
}

void thread_note_shared(void)
{
	if (tls_block.shared)
		return;
	tls_block.owner = sys_gettid();
	tls_block.pid = sys_getpid();
	tls_block.shared = true;
}

bool thread_begin_task(void)
{
	struct thread_local_state *state;

	if (!tls_block.shared)
		return false;
	state = thread_state_of_task();
	if (state == &tls_block)
		return false;
	/* An earlier task of this tid may have left anything. */
	begin(state, sys_gettid());
	return true;
}

void thread_unshare(const struct thread_local_state *state)
{
	if (!tls_block.shared)
		return;
	if (state != &tls_block)
		tls_block = *state;
	tls_block.shared = tls_block.other_process = false;
	memset(tasks, 0, sizeof(tasks));
	turn = 0;
}

void thread_turn_take(void)
{
	unsigned int tries;
	uint32_t seen;

	/* Who holds it may have been killed. */
	for (tries = 0; tries < TURN_TRIES; tries++) {
		seen = 0;
		if (__atomic_compare_exchange_n(&turn, &seen, 1, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			break;
		sys_yield();
	}
	tls.has_turn = true;
}

void thread_turn_give(void)
{
	if (!tls.has_turn)
		return;
	tls.has_turn = false;
	__atomic_store_n(&turn, 0, __ATOMIC_RELEASE);
}
