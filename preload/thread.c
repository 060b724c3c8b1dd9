/* SPDX-License-Identifier: MIT */
/* Thread records on two lists, and the destructor that notices a thread's end. */
#include "thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "arena.h"
#include "capture.h"
#include "lock.h"
#include "modules.h"
#include "sink.h"
#include "sink_zstd.h"
#include "sys.h"

#include "no_heap.h"

/* Other destructors may still free memory: ours asks to be called again until the last round. */
#define GATE_WAIT 100	/* ms, and as many yields before */
#define REST_MS 50	/* for all threads together, when the process ends */
#define DESTRUCTOR_ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1)

__thread struct thread_local_state tls_block __attribute__((tls_model("initial-exec")));

static struct thread *all;
static uint32_t nr_made;
static unsigned int nr_ended;
static uint32_t gate_closed;	/* forks under way */
static bool gate_locked;
static pthread_key_t key;
static bool has_key;

/* The value of the key counts the rounds. */
static void on_thread_end(void *value)
{
	uintptr_t round = (uintptr_t)value;
	struct lock_state state;

	if (round < DESTRUCTOR_ROUNDS) {
		pthread_setspecific(key, (void *)(round + 1));
		return;
	}
	tls.depth++;
	lock_take(&state);
	if (tls.thread) {
		if (!sink_is_file() || zsink_is_on())
			heap_stream_flush_apart(&tls.thread->heap);
		tls.thread->ended = true;
		__atomic_fetch_add(&nr_ended, 1, __ATOMIC_RELAXED);
	}
	capture_thread_end();
	lock_drop(&state);
	tls.depth--;
}

void thread_abandon(void)
{
	/* Under the lock, and inside the gate, signals are blocked: no jump can come from there. */
	if (tls.depth && !tls.locked) {
		/* An operation may have been stamped that won't be recorded. */
		tls.heap_time.order = 0;
		tls.depth = 0;
	}
}

void thread_init(void)
{
	has_key = !pthread_key_create(&key, on_thread_end);
}

int thread_tid(void)
{
	if (!tls.tid || tls.vfork_child)
		return tls.vfork_child ? sys_gettid() : (tls.tid = sys_gettid());
	return tls.tid;
}

static bool has_gone(const struct thread *t)
{
	return t->ended && sys_call(SYS_tgkill, sys_getpid(), t->tid, 0, 0, 0, 0) == -ESRCH;
}

/* The record of a thread that is gone for good, or NULL. Under the lock. */
static struct thread *reap(void)
{
	struct thread *t;

	for (t = __atomic_load_n(&nr_ended, __ATOMIC_RELAXED) ? all : NULL; t; t = t->next) {
		if (has_gone(t)) {
			heap_stream_flush(&t->heap);
			__atomic_fetch_sub(&nr_ended, 1, __ATOMIC_RELAXED);
			return t;
		}
	}
	return NULL;
}

static struct thread *thread_new(void)
{
	struct lock_state state;
	struct thread *t, *next;

	lock_take(&state);
	if (all)
		heap_time_share();
	t = reap();
	next = t ? t->next : all;
	if (!t) {
		t = arena_alloc(sizeof(*t));
		if (t) {
			all = t;
			t->nr = nr_made++;
		}
	}
	if (t) {
		/* Names of stacks hold for any thread, frames don't: their memory may be gone. */
		memset(t, 0, offsetof(struct thread, stacks));
		t->walk.generation = WALK_FORGETS;
		t->tid = thread_tid();
		t->next = next;
	}
	lock_drop(&state);
	return t;
}

void thread_leave_to_others(struct thread *t)
{
	t->ended = true;
	__atomic_fetch_add(&nr_ended, 1, __ATOMIC_RELAXED);
}

struct thread *thread_self(void)
{
	struct thread_local_state *state = thread_state();

	if (state->thread)
		return state->thread;
	state->thread = thread_new();
	if (state->thread) {
		state->thread->state = state;
		state->heap_time.mark = heap_time_mark(state->thread->nr);
	}
	/* Keys below 32 live in the thread's descriptor: nothing is allocated here. */
	if (state->thread && has_key && key < 32 && state == &tls_block)
		pthread_setspecific(key, (void *)1);
	return state->thread;
}

static bool pass_gate(struct thread *t)
{
	unsigned int i;

	for (i = 0; t && i < GATE_WAIT; i++) {
		__atomic_store_n(&t->in_gate, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&gate_closed, __ATOMIC_SEQ_CST))
			break;
		__atomic_store_n(&t->in_gate, 0, __ATOMIC_SEQ_CST);
		sys_sleep_ms();
	}
	if (t && i == GATE_WAIT)
		return false;
	if (tls_block.shared)
		thread_turn_take();
	return true;
}

static void leave_gate(struct thread *t)
{
	if (tls_block.shared)
		thread_turn_give();
	if (t)
		__atomic_store_n(&t->in_gate, 0, __ATOMIC_RELEASE);
}

bool thread_gate_enter(struct thread *t)
{
	uint64_t signals;

	if (gate_locked)
		return false;
	sys_block_signals(&signals);
	if (pass_gate(t)) {
		if (modules_take_loader()) {
			tls.gate_signals = signals;
			return true;
		}
		leave_gate(t);
	}
	sys_restore_signals(&signals);
	return false;
}

void thread_gate_leave(struct thread *t)
{
	modules_give_loader();
	leave_gate(t);
	sys_restore_signals(&tls.gate_signals);
}

/*
 * Waits for a bounded time: a thread may have ended inside, or wait for the loader's lock there, which
 * dlclose() holds while it frees, and so waits for the allocator's, which the fork holds. Also for threads
 * that have come to their end: what libc maps and unmaps then is unwound like everything else.
 */
bool thread_gate_close(void)
{
	struct lock_state state;
	struct thread *t;
	unsigned int tries;
	bool busy = true, lends = tls.lends;

	__atomic_fetch_add(&gate_closed, 1, __ATOMIC_SEQ_CST);
	/* The lock is taken for a look at a time: no other fork has to come first. */
	tls.lends = true;
	for (tries = 0; busy && tries < 2 * GATE_WAIT; tries++) {
		busy = false;
		lock_take(&state);
		for (t = all; t; t = t->next)
			busy |= t != tls.thread &&
				__atomic_load_n(&t->in_gate, __ATOMIC_SEQ_CST);
		lock_drop(&state);
		if (busy && tries < GATE_WAIT)
			sys_yield();
		else if (busy)
			sys_sleep_ms();
	}
	tls.lends = lends;
	return !busy;
}

void thread_gate_lock(void)
{
	gate_locked = true;
}

void thread_gate_open(void)
{
	__atomic_fetch_sub(&gate_closed, 1, __ATOMIC_SEQ_CST);
}

/* All records are those of threads that the child doesn't have. */
void thread_fork_child(void)
{
	all = NULL;
	nr_made = 0;
	gate_closed = 0;
	nr_ended = 0;
	tls.tid = 0;
	tls.thread = NULL;
	tls.heap_time = (struct heap_time){ 0 };
}

/*
 * Every thread's next operation will wait for the lock: who is in no hook now is out of the way.
 * Return: false without a barrier, it may be otherwise then.
 */
static bool close_streams(void)
{
	struct thread *t;
	int i;

	if (sys_call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0))
		return false;
	for (i = 0; i < 2; i++) {
		for (t = all; t; t = t->next) {
			if (t != tls.thread)
				heap_stream_close(&t->heap);
		}
		if (sys_call(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0))
			return false;
	}
	return true;
}

/*
 * In no hook, or in one that waits for our lock: operations take it before they touch a chunk that
 * is closed. One in the middle of an operation gets some of @time, ms, to come to its end.
 */
static bool is_at_rest(const struct thread *t, unsigned int *time)
{
	struct thread_local_state seen;

	for (;; --*time) {
		if (sys_read_user(&seen, t->state, sizeof(seen)) != sizeof(seen))
			return false;
		if (!seen.depth || seen.waits)
			return true;
		if (!*time)
			return false;
		sys_sleep_ms();
	}
}

/* What can't be compressed now is in the file as it is. */
static void pack_all(void)
{
	unsigned int time = REST_MS;
	bool closed = close_streams();
	struct thread *t;

	for (t = all; t; t = t->next) {
		if (t->heap.chunk &&
		    (t == tls.thread || has_gone(t) || (closed && is_at_rest(t, &time))))
			heap_stream_flush(&t->heap);
	}
}

void thread_flush_all(void)
{
	struct thread *t;

	if (zsink_is_on())
		pack_all();
	/* In a file every line already stands where it belongs. */
	for (t = all; t && !sink_is_file(); t = t->next)
		heap_stream_flush(&t->heap);
}
