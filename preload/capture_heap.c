/* SPDX-License-Identifier: MIT */
/*
 * Heap operations: stamp, find the stack from the thread's last one, append to the thread's stream. No
 * lock, no system call and no memory that threads share, unless the stack is new, the chunk is full, or
 * the block was another thread's.
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
	struct thread_local_state *self;

	if (!block || !config.heap || !has_taken(block))
		return 0;
	self = thread_state();
	/* Its first operation: others must know of it before the block is theirs. */
	if (__builtin_expect(!self->thread && !self->is_busy && capture_is_on(), false)) {
		begin(self);
		(void)thread_self();
		end(self);
	}
	/* Apart, for what a handler does meanwhile stands in the trace before it. */
	return heap_time_release_apart(&self->heap_time, (uint64_t)(uintptr_t)block) | 1;
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
	/* Before the stack is walked: waiting for the counter then waits for the allocator only. */
	now = heap_time_acquire(&self->heap_time, (uint64_t)(uintptr_t)block);
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
	if (!released_ns)
		released_ns = heap_time_release(&self->heap_time, (uint64_t)(uintptr_t)block);
	heap_stream_free(&t->heap, t->tid, released_ns, (uint64_t)(uintptr_t)block);
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

/* Not at the time of the one before, or in another line. */
static __attribute__((noinline)) void put_alloc(struct thread_local_state *self, struct thread *t,
						const void *block, size_t size, const void *frame, bool goes_on)
{
	uint64_t addr = (uint64_t)(uintptr_t)block, now = t->heap.last_ns;
	int64_t far = (int64_t)(addr - t->heap.base);
	uint32_t stack;

	/* Before the stack is walked: waiting for the counter then waits for the allocator only. */
	if (!goes_on)
		now = heap_time_acquire(&self->heap_time, addr);
	stack = config.stacks ? usual_stack_of(t, frame) : 0;
	if (__builtin_expect(heap_stream_goes_on(&t->heap, now) && heap_op_is_short(far) &&
			     size < DIGITS_SHORT && stack < DIGITS_SHORT, true))
		heap_stream_put_alloc(&t->heap, now, far, (uint32_t)size, stack);
	else
		heap_stream_alloc(&t->heap, t->tid, now, addr, size, 0, stack);
}

void capture_alloc(const void *block, size_t size, size_t align, const void *frame)
{
	struct thread_local_state *self = &tls_block;
	struct thread *t = self->thread;
	uint64_t addr = (uint64_t)(uintptr_t)block;
	uint32_t stack = 0;
	int64_t far;
	bool goes_on;

	if (!is_usual(self, block) || align) {
		alloc_slowly(block, size, align, frame);
		return;
	}
	begin(self);
	goes_on = heap_time_goes_on(&self->heap_time, addr);
	far = (int64_t)(addr - t->heap.base);
	if (__builtin_expect(!goes_on || !heap_op_is_short(far) || size >= DIGITS_SHORT, false)) {
		put_alloc(self, t, block, size, frame, goes_on);
		leave(self);
		return;
	}
	if (config.stacks)
		stack = usual_stack_of(t, frame);
	if (__builtin_expect(heap_stream_has_room(&t->heap) && stack < DIGITS_SHORT, true))
		heap_stream_put_alloc_same(&t->heap, far, (uint32_t)size, stack);
	else
		heap_stream_alloc(&t->heap, t->tid, t->heap.last_ns, addr, size, 0, stack);
	/* A new stack may have filled a chunk, too. */
	leave(self);
}

/*
 * As put_alloc(). Under the guard all along: what a handler did in between would be later, and stand
 * before it.
 */
static __attribute__((noinline)) void put_free(struct thread_local_state *self, struct thread *t,
					       const void *block, bool goes_on)
{
	uint64_t addr = (uint64_t)(uintptr_t)block, now = t->heap.last_ns;
	int64_t far = (int64_t)(addr - t->heap.base);

	if (!goes_on)
		now = heap_time_release(&self->heap_time, addr);
	if (__builtin_expect(heap_stream_goes_on(&t->heap, now) && heap_op_is_short(far), true)) {
		heap_stream_put_free(&t->heap, now, far);
		end(self);
		return;
	}
	heap_stream_free(&t->heap, t->tid, now, addr);
	leave(self);
}

void capture_free(const void *block)
{
	struct thread_local_state *self = &tls_block;
	struct thread *t = self->thread;
	uint64_t addr = (uint64_t)(uintptr_t)block;
	int64_t far;
	bool goes_on;

	if (!is_usual(self, block)) {
		free_slowly(block);
		return;
	}
	begin(self);
	goes_on = heap_time_goes_on(&self->heap_time, addr);
	far = (int64_t)(addr - t->heap.base);
	if (__builtin_expect(goes_on && heap_stream_has_room(&t->heap) && heap_op_is_short(far), true)) {
		heap_stream_put_free_same(&t->heap, far);
		end(self);
		return;
	}
	put_free(self, t, block, goes_on);
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
	now = heap_time_acquire(&self->heap_time, (uint64_t)(uintptr_t)block);
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
