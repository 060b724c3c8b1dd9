/* SPDX-License-Identifier: MIT */
/*
 * Heap operations: stamp, find the stack from the thread's last one, append to the thread's stream. No
 * lock, no system call and no memory that threads share, unless the stack is new or the chunk is full.
 */
#include <stdint.h>

#include "capture.h"
#include "clock.h"
#include "config.h"
#include "modules.h"
#include "own.h"
#include "recorder.h"
#include "thread.h"

#include "no_heap.h"

#define HOOK_BYTES 2048	/* of stack, from the program's frame to here */
#define UNTIMED_MAX 15	/* operations between two looks at the counter */

/*
 * From within a hook: the unwinder's own blocks are nobody's business; those of a handler that has
 * interrupted the hook are lost.
 */
static __attribute__((noinline)) void pass_by(const struct thread_local_state *self)
{
	struct walk_frame from;
	uint64_t rule;
	void *caller;

	walk_from(&from, __builtin_frame_address(0));
	if (!self->unwinding || !walk_partly(&from, from.sp + HOOK_BYTES, &caller, 1, &rule) ||
	    modules_origin((uintptr_t)caller) != TRACE_ORIGIN_SELF)
		recorder_lost("heap", "guard", 1);
}

static inline void begin(struct thread_local_state *self)
{
	self->depth = 1;
	__asm__ volatile("" ::: "memory");
}

static inline void end(struct thread_local_state *self)
{
	__asm__ volatile("" ::: "memory");
	self->depth = 0;
}

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
		pass_by(self);
		return NULL;
	}
	begin(self);
	t = self->thread;
	if (__builtin_expect(!t, false))
		t = thread_self();
	if (__builtin_expect(!t, false)) {
		recorder_lost("heap", "memory", 1);
		end(self);
	}
	return t;
}

/* Out of it. A full chunk may have left something to tell. */
static inline void leave(struct thread_local_state *self)
{
	if (__builtin_expect(own_nr_pending(), false))
		capture_own_calls();
	end(self);
}

/*
 * Before the stack is walked: waiting for the counter then waits for the allocator only. A process of one
 * thread need not wait.
 */
static inline uint64_t stamp_acquisition(void)
{
	return thread_is_alone() ? clock_before_release() : clock_after_acquisition();
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
	return block && has_taken(block) ? clock_before_release() | 1 : 0;
}

void capture_keep(const void *block, uint64_t released_ns)
{
	if (config.heap_sample && released_ns && !sample_insert((uint64_t)(uintptr_t)block))
		recorder_lost("heap", "memory", 1);
}

/* All there is to consider. */
static __attribute__((noinline)) void alloc_slowly(const void *block, size_t size, size_t align,
						   const void *frame)
{
	struct thread_local_state *self = thread_state();
	struct thread *t;
	uint64_t now;

	if (block && !takes(self, block, size))
		return;
	t = enter(self);
	if (!t)
		return;
	now = stamp_acquisition();
	heap_stream_alloc(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block, size, align,
			  stack_of(t, frame));
	leave(self);
}

static __attribute__((noinline)) void record_free(const void *block, uint64_t released_ns)
{
	struct thread_local_state *self = thread_state();
	struct thread *t = enter(self);

	if (!t)
		return;
	heap_stream_free(&t->heap, t->tid, released_ns ? released_ns : clock_before_release(),
			 (uint64_t)(uintptr_t)block);
	leave(self);
}

static __attribute__((noinline)) void free_slowly(const void *block)
{
	if (block && has_taken(block))
		record_free(block, 0);
}

/*
 * The two below are what every operation of a program comes to: nothing is asked that need not be, and
 * nothing is called that would cost registers. What is not as usual goes the slow way.
 */
static inline bool is_usual(const struct thread_local_state *self, const void *block)
{
	return __builtin_expect(block && !self->is_busy && capture_has_every_block() &&
				self->thread && clock_is_tsc(), true);
}

/* One that was met lately, most often. */
static inline uint32_t usual_stack_of(struct thread *t, const void *frame)
{
	struct walk_frame from;
	uint64_t key;
	uint32_t id;

	walk_from(&from, frame);
	if (__builtin_expect(!thread_is_on_own_stack(t, from.sp), false))
		return capture_stack_from(t, &from);
	id = walk_recall(&t->walk, &from, t->own_high, &key);
	return __builtin_expect(id != 0, true) ? id : capture_stack_new(t, &from, key);
}

/*
 * While there is one thread, its own order is all that matters, and the counter is what costs most in
 * here. So a few operations take the time of the one before them, if the kernel's clock has not ticked
 * and nothing else was recorded since.
 */
static inline bool is_at_same_time(struct thread_local_state *self)
{
	uint64_t jiffy;

	if (!thread_is_alone() || !trace_clock.gettime)
		return false;
	jiffy = clock_jiffy();
	if (__builtin_expect(self->heap_jiffy == jiffy && self->heap_untimed < UNTIMED_MAX, true)) {
		self->heap_untimed++;
		return true;
	}
	self->heap_jiffy = jiffy;
	self->heap_untimed = 0;
	return false;
}

void capture_alloc(const void *block, size_t size, size_t align, const void *frame)
{
	struct thread_local_state *self = &tls_block;
	struct thread *t = self->thread;
	uint32_t stack = 0;
	uint64_t now;
	int64_t far;

	if (!is_usual(self, block) || align) {
		alloc_slowly(block, size, align, frame);
		return;
	}
	begin(self);
	if (is_at_same_time(self))
		now = t->heap.last_ns;
	else
		now = clock_of_ticks(thread_is_alone() ? tsc_read() : tsc_read_ordered());
	if (config.stacks)
		stack = usual_stack_of(t, frame);
	far = (int64_t)((uint64_t)(uintptr_t)block - t->heap.base);
	if (__builtin_expect(heap_stream_goes_on(&t->heap, now) && heap_op_is_short(far) &&
			     size < DIGITS_SHORT && stack < DIGITS_SHORT, true)) {
		heap_stream_put_alloc(&t->heap, now, far, (uint32_t)size, stack);
		/* A new stack may have filled a chunk, too. */
		leave(self);
		return;
	}
	heap_stream_alloc(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block, size, 0, stack);
	leave(self);
}

/* Under the guard all along: what a handler did in between would be later, and stand before it. */
static __attribute__((noinline)) void put_free(struct thread_local_state *self, struct thread *t,
					       const void *block, uint64_t now)
{
	heap_stream_free(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block);
	leave(self);
}

void capture_free(const void *block)
{
	struct thread_local_state *self = &tls_block;
	struct thread *t = self->thread;
	uint64_t now;
	int64_t far;

	if (!is_usual(self, block)) {
		free_slowly(block);
		return;
	}
	begin(self);
	now = is_at_same_time(self) ? t->heap.last_ns : clock_of_ticks(tsc_read());
	far = (int64_t)((uint64_t)(uintptr_t)block - t->heap.base);
	if (__builtin_expect(!heap_stream_goes_on(&t->heap, now) || !heap_op_is_short(far), false)) {
		put_free(self, t, block, now);
		return;
	}
	heap_stream_put_free(&t->heap, now, far);
	end(self);
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
	now = stamp_acquisition();
	heap_stream_realloc(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block, size,
			    stack_of(t, frame), (uint64_t)(uintptr_t)old,
			    now > released_ns ? now - released_ns : 0);
	leave(self);
}

void capture_reallocated(const void *block, size_t size, const void *old, uint64_t released_ns,
			 const void *frame)
{
	if (block) {
		capture_realloc(block, size, old, released_ns, frame);
	} else if (size || !old) {
		capture_keep(old, released_ns);
		capture_alloc(NULL, size, 0, frame);
	} else if (released_ns) {
		/* In glibc realloc(p, 0) is free(p); where it is not, there is a new block. */
		record_free(old, released_ns);
	}
}
