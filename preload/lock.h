/* SPDX-License-Identifier: MIT */
/*
 * The capture lock: one per process, over the shadow, the stack tree, the arena and the recorder.
 *
 * Signals are blocked first and the lock is taken second, so that no handler of the program can
 * run, map memory and wait for its own thread. The fork prepare handler holds it over the fork.
 */
#ifndef VMTRACE_LOCK_H
#define VMTRACE_LOCK_H

#include <stdint.h>

struct lock_state {
	uint64_t signals;
};

void lock_take(struct lock_state *ret_state);
void lock_drop(const struct lock_state *state);

/* In the child of a fork: unlocked, whoever held it; the signal mask stays as it is. */
void lock_reset(void);

#endif
