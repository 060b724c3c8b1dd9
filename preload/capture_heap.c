/* SPDX-License-Identifier: MIT */
/*
 * Heap operations: stamp, find the stack from the thread's last one, append to the thread's stream. No
 * lock, no system call and no memory that threads share, unless the stack is new or the chunk is full.
 */
#include <stdint.h>

#include "capture.h"
#include "clock.h"
#include "config.h"
#include "own.h"
#include "recorder.h"
#include "thread.h"

#include "no_heap.h"

/*
 * Into the hook, unless it is entered from within vmtrace.
 * Return: the thread's record, NULL for an operation that is not recorded.
 */
static inline struct thread *enter(struct thread_local_state *self)
{
	struct thread *t;

	if (!capture_is_on() || !config.heap || self->locked)
		return NULL;
	if (__builtin_expect(self->depth, false)) {
		/* The unwinder's own blocks are nobody's business; a signal handler's are lost. */
		if (!self->unwinding)
			recorder_lost("heap", "guard", 1);
		return NULL;
	}
	self->depth = 1;
	t = self->thread;
	if (__builtin_expect(!t, false))
		t = thread_self();
	if (__builtin_expect(!t, false)) {
		recorder_lost("heap", "memory", 1);
		self->depth = 0;
	}
	return t;
}

/* Out of it. A full chunk may have left something to tell. */
static inline void leave(struct thread_local_state *self)
{
	if (__builtin_expect(own_nr_pending(), false))
		capture_own_calls();
	self->depth = 0;
}

static inline uint32_t stack_of(struct thread *t, const void *frame)
{
	struct walk_frame from;

	walk_from(&from, frame);
	return capture_stack_from(t, &from);
}

/* Is a new block recorded? */
static inline bool takes(struct thread_local_state *self, const void *block, size_t size)
{
	if (__builtin_expect(!config.heap_sample, true))
		return true;
	if (!sample_hits(&self->sample, size))
		return false;
	if (sample_insert((uint64_t)(uintptr_t)block))
		return true;
	recorder_lost("heap", "memory", 1);
	return false;
}

/* Is its end, then? */
static inline bool has_taken(const void *block)
{
	return __builtin_expect(!config.heap_sample, true) || sample_remove((uint64_t)(uintptr_t)block);
}

uint64_t capture_release(const void *block)
{
	return has_taken(block) ? clock_before_release() | 1 : 0;
}

void capture_keep(const void *block, uint64_t released_ns)
{
	if (config.heap_sample && released_ns && !sample_insert((uint64_t)(uintptr_t)block))
		recorder_lost("heap", "memory", 1);
}

void capture_alloc(const void *block, size_t size, size_t align, const void *frame)
{
	struct thread_local_state *self = thread_state();
	struct thread *t;
	uint64_t now;

	if (block && !takes(self, block, size))
		return;
	t = enter(self);
	if (!t)
		return;
	/* At once: waiting for the counter then waits for the allocator only. */
	now = clock_after_acquisition();
	heap_stream_alloc(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block, size, align,
			  stack_of(t, frame));
	leave(self);
}

static inline void record_free(const void *block, uint64_t released_ns)
{
	struct thread_local_state *self = thread_state();
	struct thread *t = enter(self);

	if (!t)
		return;
	heap_stream_free(&t->heap, t->tid, released_ns ? released_ns : clock_before_release(),
			 (uint64_t)(uintptr_t)block);
	leave(self);
}

void capture_free(const void *block)
{
	if (block && has_taken(block))
		record_free(block, 0);
}

void capture_freed(const void *block, uint64_t released_ns)
{
	if (released_ns)
		record_free(block, released_ns);
}

void capture_realloc(const void *block, size_t size, const void *old, uint64_t released_ns,
		     const void *frame)
{
	struct thread_local_state *self = thread_state();
	struct thread *t;
	uint64_t now;

	if (!released_ns) {
		capture_alloc(block, size, 0, frame);
		return;
	}
	if (!takes(self, block, size)) {
		record_free(old, released_ns);
		return;
	}
	t = enter(self);
	if (!t)
		return;
	now = clock_after_acquisition();
	heap_stream_realloc(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block, size,
			    stack_of(t, frame), (uint64_t)(uintptr_t)old,
			    now > released_ns ? now - released_ns : 0);
	leave(self);
}
