/* SPDX-License-Identifier: MIT */
/* Thread records on two lists, and the destructor that notices a thread's end. */
#include "thread.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "arena.h"
#include "capture.h"
#include "lock.h"
#include "sink.h"
#include "sys.h"

#include "no_heap.h"

/* Other destructors may still free memory: ours asks to be called again until the last round. */
#define DESTRUCTOR_ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1)

__thread struct thread_local_state tls __attribute__((tls_model("initial-exec")));

static struct thread *all, *unused;
static pthread_key_t key;
static bool has_key;

/* The value of the key counts the rounds. */
static void on_thread_end(void *value)
{
	uintptr_t round = (uintptr_t)value;
	struct lock_state state;
	struct thread *t, **link;

	if (round < DESTRUCTOR_ROUNDS) {
		pthread_setspecific(key, (void *)(round + 1));
		return;
	}
	tls.depth++;
	lock_take(&state);
	t = tls.thread;
	tls.thread = NULL;
	tls.ended = true;
	if (t) {
		recorder_heap_flush(&t->heap);
		for (link = &all; *link && *link != t; link = &(*link)->next)
			;
		if (*link)
			*link = t->next;
		t->next = unused;
		unused = t;
	}
	capture_thread_end();
	lock_drop(&state);
	tls.depth--;
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

static struct thread *thread_new(void)
{
	struct lock_state state;
	struct thread *t;

	lock_take(&state);
	t = unused;
	if (t)
		unused = t->next;
	else
		t = arena_alloc(sizeof(*t));
	if (t) {
		memset(t, 0, sizeof(*t));
		t->tid = thread_tid();
		t->next = all;
		all = t;
	}
	lock_drop(&state);
	return t;
}

struct thread *thread_self(void)
{
	if (tls.thread || tls.ended)
		return tls.thread;
	tls.thread = thread_new();
	/* Keys below 32 live in the thread's descriptor: nothing is allocated here. */
	if (tls.thread && has_key && key < 32)
		pthread_setspecific(key, (void *)1);
	return tls.thread;
}

void thread_fork_child(void)
{
	struct thread *t;

	while ((t = all)) {
		all = t->next;
		t->next = unused;
		unused = t;
	}
	tls.tid = 0;
	tls.thread = NULL;
}

void thread_flush_all(void)
{
	struct thread *t;

	/* In a file every line already stands where it belongs. */
	for (t = all; t && !sink_is_file(); t = t->next)
		recorder_heap_flush(&t->heap);
}
