/* SPDX-License-Identifier: MIT */
/* Thread records on two lists, and the destructor that notices a thread's end. */
#include "thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "arena.h"
#include "capture.h"
#include "lock.h"
#include "sink.h"
#include "sys.h"

#include "no_heap.h"

/* Other destructors may still free memory: ours asks to be called again until the last round. */
#define GATE_TRIES 100000	/* of a yield each */
#define DESTRUCTOR_ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1)

__thread struct thread_local_state tls_block __attribute__((tls_model("initial-exec")));

static struct thread *all;
static unsigned int nr_ended;
static uint32_t gate_closed;	/* forks under way */
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
		if (!sink_is_file())
			heap_stream_flush(&tls.thread->heap);
		tls.thread->ended = true;
		__atomic_fetch_add(&nr_ended, 1, __ATOMIC_RELAXED);
	}
	capture_thread_end();
	lock_drop(&state);
	tls.depth--;
}

void thread_abandon(void)
{
	/* Under the lock signals are blocked: no jump can come from there. */
	if (tls.depth && !tls.locked) {
		tls.depth = 0;
		tls.unwinding = false;
		thread_gate_leave(tls.thread);
	}
}

bool thread_enter(void)
{
	if (tls.depth)
		return false;
	tls.depth = 1;
	return true;
}

void thread_leave(void)
{
	tls.depth = 0;
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

/* The record of a thread that is gone for good, or NULL. Under the lock. */
static struct thread *reap(void)
{
	struct thread *t;

	for (t = __atomic_load_n(&nr_ended, __ATOMIC_RELAXED) ? all : NULL; t; t = t->next) {
		if (t->ended &&
		    sys_call(SYS_tgkill, sys_getpid(), t->tid, 0, 0, 0, 0) == -ESRCH) {
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
	t = reap();
	next = t ? t->next : all;
	if (!t) {
		t = arena_alloc(sizeof(*t));
		if (t)
			all = t;
	}
	if (t) {
		/* What it knows of stacks is true of any thread; arena memory is zeroed. */
		memset(t, 0, offsetof(struct thread, stacks));
		t->walk.nr = 0;
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
	/* Keys below 32 live in the thread's descriptor: nothing is allocated here. */
	if (state->thread && has_key && key < 32 && state == &tls_block)
		pthread_setspecific(key, (void *)1);
	return state->thread;
}

static void pass_gate(struct thread *t)
{
	if (!t)
		return;
	for (;;) {
		__atomic_store_n(&t->in_gate, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&gate_closed, __ATOMIC_SEQ_CST))
			return;
		__atomic_store_n(&t->in_gate, 0, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&gate_closed, __ATOMIC_ACQUIRE))
			sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
}

void thread_gate_enter(struct thread *t)
{
	pass_gate(t);
	if (tls_block.shared)
		thread_turn_take();
}

void thread_gate_leave(struct thread *t)
{
	if (tls_block.shared)
		thread_turn_give();
	if (t)
		__atomic_store_n(&t->in_gate, 0, __ATOMIC_RELEASE);
}

/*
 * Waits for a bounded time: a thread may be inside the loader for long, or have ended there. Then
 * the fork is as safe as it is without us. Also for threads that have come to their end: what libc
 * maps and unmaps then is unwound like everything else.
 */
void thread_gate_close(void)
{
	struct lock_state state;
	struct thread *t;
	unsigned int tries;
	bool busy = true;

	__atomic_fetch_add(&gate_closed, 1, __ATOMIC_SEQ_CST);
	for (tries = 0; busy && tries < GATE_TRIES; tries++) {
		busy = false;
		lock_take(&state);
		for (t = all; t; t = t->next)
			busy |= t != tls.thread &&
				__atomic_load_n(&t->in_gate, __ATOMIC_SEQ_CST);
		lock_drop(&state);
		if (busy)
			sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
}

void thread_gate_open(void)
{
	__atomic_fetch_sub(&gate_closed, 1, __ATOMIC_SEQ_CST);
}

/* All records are those of threads that the child doesn't have. */
void thread_fork_child(void)
{
	all = NULL;
	gate_closed = 0;
	nr_ended = 0;
	tls.tid = 0;
	tls.thread = NULL;
}

void thread_flush_all(void)
{
	struct thread *t;

	/* In a file every line already stands where it belongs. */
	for (t = all; t && !sink_is_file(); t = t->next)
		heap_stream_flush(&t->heap);
}
