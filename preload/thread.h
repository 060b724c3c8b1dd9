/* SPDX-License-Identifier: MIT */
/*
 * What a thread keeps: its guard, its heap stream and its last stacks.
 *
 * The TLS block is initial-exec and holds only words and a pointer; the rest is arena memory that
 * ended threads leave to new ones.
 */
#ifndef VMTRACE_THREAD_H
#define VMTRACE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "heap_stream.h"
#include "heap_time.h"
#include "sample.h"
#include "walk.h"

struct thread_local_state;

#define THREAD_STACKS 1024	/* entries of the stack cache, a power of two */

struct thread {
	int tid;
	uint32_t in_gate;	/* it is in the unwinder or the loader, and may hold their locks */
	uintptr_t stack_low, stack_high;	/* seen of its stack, signal stacks not counted */
	const struct thread_local_state *state;	/* gone when the thread has */
	uintptr_t own_low, own_high;		/* of its stack: mapped, and as long as it lives */
	bool ended;		/* its last destructor ran; it may still free memory */
	struct heap_stream heap;
	struct thread *next;	/* of all, or of the free ones */
	struct {
		uint64_t hash;
		uint32_t id;
	} stacks[THREAD_STACKS];
	uint32_t nr;		/* how many were made before it; who takes it over keeps that, too */
	struct walk walk;
};

struct thread_local_state {
	union {
		struct {
			volatile int depth;	/* > 0: vmtrace's own code is running */
			volatile bool locked;	/* this thread holds the capture lock */
			bool shared;		/* the block: tasks without one of their own run on it */
		};
		volatile uint64_t is_busy;	/* any of these */
	};
	volatile bool unwinding;
	volatile bool self_test;	/* calls are counted, not recorded */
	volatile bool waits;		/* waits for the capture lock */
	bool was_waited_for;		/* others slept when it let go of that */
	uint32_t nr_taken;		/* how often it had been taken by then */
	volatile bool lends;		/* forks, and has others wait for it */
	bool forks;			/* at the site of libc's fork() */
	volatile bool vfork_child;	/* another process runs on this thread's memory */
	volatile int symbol_origin;	/* 1 + enum trace_origin of who called brk() or sbrk(), 0: none */
	bool clone_shares;		/* the clone under way makes a vfork_child */
	volatile unsigned char selector;	/* sud.c's, read by the kernel */
	volatile uintptr_t raw_ip;	/* behind the system call that SIGSYS interrupted, or 0 */
	struct heap_time heap_time;
	uint64_t gate_signals;		/* the mask as it was outside of the gate */
	uint32_t self_test_seen;	/* bits by enum mm_op */
	uint32_t vfork_stack;		/* of the vfork under way */
	uint32_t thread_stack;		/* of the thread being made, 0: none is */
	int tid;
	struct thread *thread;
	struct sample sample;
	bool other_process;		/* a task that shares our memory, but is no thread of ours */
	bool has_turn;			/* thread_turn_take() */
	int owner, pid;			/* whose a shared block is */
};

/* Does it run on the stack that it has for its whole life, as far as that is known? */
static inline bool thread_is_on_own_stack(const struct thread *t, uintptr_t sp)
{
	return sp - t->own_low < t->own_high - t->own_low;
}

extern __thread struct thread_local_state tls_block __attribute__((tls_model("initial-exec")));

/* The state of a task on a shared block: its own, made at first use. Context: any. */
struct thread_local_state *thread_state_of_task(void);

static inline struct thread_local_state *thread_state(void)
{
	return __builtin_expect(tls_block.shared, false) ? thread_state_of_task() : &tls_block;
}

/* The thread's descriptor, libc's: for a thread that libc has made it lies at the end of its stack. */
static inline uintptr_t thread_descriptor(void)
{
	uintptr_t self;

	__asm__("mov %%fs:0, %0" : "=r"(self));
	return self;
}

/* The running task's. */
#define tls (*thread_state())

/* Its end, or its exec, is not ours. */
static inline bool thread_is_in_other_process(void)
{
	return tls.vfork_child || tls.other_process;
}

/* Context: startup. */
void thread_init(void);
/* Tid of the caller, cached. */
int thread_tid(void);
/* A signal handler jumps out of the hook it interrupted: the guard goes with it. */
void thread_abandon(void);

/* Has no other thread come by here yet? Context: hook path. */
static inline bool thread_is_alone(void)
{
	return !(__atomic_load_n(&heap_order, __ATOMIC_RELAXED) & HEAP_ORDER_SHARED);
}

/* The caller's record, made at first use; NULL without memory. */
struct thread *thread_self(void);
/*
 * The gate around what takes locks that fork() copies: the unwinder's and the loader's. A child
 * forked while another thread holds one of them could never unwind again. Inside signals are blocked,
 * and the loader's lock is held.
 *
 *     thread:  if (thread_gate_enter()) { … unwind … thread_gate_leave() }
 *     fork:    thread_gate_close(): nobody is inside, and nobody goes in, until thread_gate_open()
 *     child:   thread_gate_lock(): somebody was; nobody will ever go in
 *
 * Both sides store first and look then. @t may be NULL. Close before the capture lock is taken:
 * who is inside may need it to get out.
 *
 * thread_gate_enter() returns false where it must not be passed, or could not be for long: who waits
 * may hold what the fork, or the loader's lock's holder, waits for. thread_gate_close() returns false if somebody did not come out.
 */
bool thread_gate_enter(struct thread *t);
void thread_gate_leave(struct thread *t);
bool thread_gate_close(void);
void thread_gate_open(void);
void thread_gate_lock(void);

/* The caller is about to make a task that will share its block. */
void thread_note_shared(void);
/* In that task, at first. Return: false in any other one. */
bool thread_begin_task(void);
/* fork child: the block is its own again, going on as @state, that of the task that forked. */
void thread_unshare(const struct thread_local_state *state);
/* Tasks that share a block take turns in what else is in it. Waits for a bounded time. */
void thread_turn_take(void);
void thread_turn_give(void);
/* The task of this record has ended unseen. */
void thread_leave_to_others(struct thread *t);

/* fork child: all other threads are gone, the caller's streams start afresh. */
void thread_fork_child(void);
/* Streams of all threads to the sink, at the end. Under the capture lock. */
void thread_flush_all(void);

#endif
