/* SPDX-License-Identifier: MIT */
/*
 * Heap operations: unwind, look the stack up in the thread's cache, append to the thread's stream.
 * No lock unless the stack is new or the chunk is full.
 */
#include <errno.h>
#include <stdint.h>

#include "capture.h"
#include "config.h"
#include "lock.h"
#include "recorder.h"
#include "thread.h"

#include "no_heap.h"

/* For threads whose own stream is closed already; under the capture lock. */
static struct heap_stream late = { .locked = true };

static bool enter(void)
{
	if (!capture_is_on() || !config.heap)
		return false;
	if (tls.depth) {
		/* The unwinder's own blocks are nobody's business; a signal handler's are lost. */
		if (!tls.unwinding)
			recorder_lost("heap", "guard", 1);
		return false;
	}
	tls.depth++;
	return true;
}

/* The stream to write to; without a thread of its own the lock is taken until leave(). */
static struct heap_stream *stream(struct thread *t, struct lock_state *state)
{
	if (t)
		return &t->heap;
	lock_take(state);
	return &late;
}

static void leave(struct thread *t, const struct lock_state *state)
{
	if (!t) {
		late.open = false;	/* the next line may be another thread's */
		lock_drop(state);
	}
	tls.depth--;
}

uint64_t capture_stamp(void)
{
	return recorder_now();
}

void capture_alloc(void *block, size_t size, size_t align)
{
	int err = errno;
	struct lock_state state;
	struct thread *t;
	uint32_t stack;

	if (!enter())
		return;
	t = thread_self();
	stack = capture_stack();
	recorder_heap_alloc(stream(t, &state), thread_tid(), recorder_now(),
			    (uint64_t)(uintptr_t)block, size, align, stack);
	leave(t, &state);
	errno = err;
}

void capture_free(void *block)
{
	int err = errno;
	struct lock_state state;
	struct thread *t;

	if (!block || !enter())
		return;
	t = thread_self();
	recorder_heap_free(stream(t, &state), thread_tid(), recorder_now(),
			   (uint64_t)(uintptr_t)block);
	leave(t, &state);
	errno = err;
}

void capture_realloc(void *block, size_t size, void *old, uint64_t before_ns)
{
	int err = errno;
	struct lock_state state;
	struct thread *t;
	uint64_t now;
	uint32_t stack;

	if (!enter())
		return;
	t = thread_self();
	stack = capture_stack();
	now = recorder_now();
	recorder_heap_realloc(stream(t, &state), thread_tid(), now, (uint64_t)(uintptr_t)block,
			      size, stack, (uint64_t)(uintptr_t)old, now - before_ns);
	leave(t, &state);
	errno = err;
}

void capture_heap_fork_child(void)
{
	late = (struct heap_stream){ .locked = true };
}
