/* SPDX-License-Identifier: MIT */
/*
 * Heap operations: unwind, look the stack up in the thread's cache, append to the thread's stream.
 * No lock unless the stack is new or the chunk is full.
 */
#include <errno.h>
#include <stdint.h>

#include "capture.h"
#include "config.h"
#include "own.h"
#include "recorder.h"
#include "thread.h"

#include "no_heap.h"

/*
 * Into the hook, unless it is entered from within vmtrace.
 * Return: the thread's record, NULL for an operation that is not recorded.
 */
static struct thread *enter(void)
{
	struct thread *t;

	if (!capture_is_on() || !config.heap || tls.locked)
		return NULL;
	if (!thread_enter()) {
		/* The unwinder's own blocks are nobody's business; a signal handler's are lost. */
		if (!tls.unwinding)
			recorder_lost("heap", "guard", 1);
		return NULL;
	}
	t = thread_self();
	if (!t) {
		recorder_lost("heap", "memory", 1);
		thread_leave();
	}
	return t;
}

/* Out of it. A full chunk may have left something to tell. */
static void leave(int err)
{
	if (own_nr_pending())
		capture_own_calls();
	thread_leave();
	errno = err;
}

uint64_t capture_stamp(void)
{
	return recorder_now();
}

void capture_alloc(void *block, size_t size, size_t align)
{
	int err = errno;
	struct thread *t = enter();
	uint32_t stack;

	if (!t)
		return;
	stack = capture_stack();
	recorder_heap_alloc(&t->heap, t->tid, recorder_now(), (uint64_t)(uintptr_t)block, size,
			    align, stack);
	leave(err);
}

void capture_free(void *block)
{
	int err = errno;
	struct thread *t = block ? enter() : NULL;

	if (!t)
		return;
	recorder_heap_free(&t->heap, t->tid, recorder_now(), (uint64_t)(uintptr_t)block);
	leave(err);
}

void capture_realloc(void *block, size_t size, void *old, uint64_t before_ns)
{
	int err = errno;
	struct thread *t = enter();
	uint64_t now;
	uint32_t stack;

	if (!t)
		return;
	stack = capture_stack();
	now = recorder_now();
	recorder_heap_realloc(&t->heap, t->tid, now, (uint64_t)(uintptr_t)block, size, stack,
			      (uint64_t)(uintptr_t)old, now - before_ns);
	leave(err);
}
