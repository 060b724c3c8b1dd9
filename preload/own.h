/* SPDX-License-Identifier: MIT */
/*
 * Our own calls that change the map while the program runs: made here, kept, told by capture.
 *
 * They happen in the middle of an event: the shadow needs a node, a record a chunk. So they can't be
 * events of their own at that moment; capture takes them, in order, once the event is complete.
 * Context of all: under the capture lock, or startup.
 */
#ifndef VMTRACE_OWN_H
#define VMTRACE_OWN_H

#include <stdbool.h>
#include <stdint.h>
#include <vmtrace/mm.h>

struct own_call {
	int tid;
	enum mm_op op;
	uint64_t arg[6];
	int64_t ret;
};

/**
 * own_call() - Make a call and keep it for the trace.
 *
 * Return: the kernel's result; -ENOBUFS, and the call is not made, if it could not be kept.
 */
long own_call(enum mm_op op, long nr, const uint64_t arg[6]);

/**
 * own_grow() - More of a mapping of ours, at its end, in place.
 * @end:   where it ends now.
 * @bytes: whole pages.
 *
 * By mremap(): the vma grows, so that it works at the limit of vm.max_map_count, too, and what
 * madvise() said of it holds for the rest. A failed attempt is not kept: it is made again with each
 * record, and telling it would be one more.
 * Return: 0, -errno.
 */
int own_grow(uint64_t end, uint64_t bytes);

/* The oldest one not told yet. Return: false if there is none left. */
bool own_take(struct own_call *ret_call);
/* For what might as well not be done: half of the room is for what must be. */
bool own_has_room(void);
/* Nothing can be told any more: such calls are not made. */
void own_hold(bool hold);
/* How many there are: a hint, without the lock. */
extern unsigned int own_nr_kept;

static inline unsigned int own_nr_pending(void)
{
	return __atomic_load_n(&own_nr_kept, __ATOMIC_RELAXED);
}

/* They are in the map that is told next. */
void own_forget(void);

#endif
