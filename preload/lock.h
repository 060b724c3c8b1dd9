/* SPDX-License-Identifier: MIT */
/*
 * The capture lock: one per process, over the shadow, the stack tree, the arena and the recorder.
 *
 * Signals are blocked first and the lock is taken second, so that no handler of the program can
 * run, map memory and wait for its own thread. It is held over the system call of a fork (task.c).
 *
 * A process without handlers has nothing to block: while libc's sigaction() is captured at its site
 * and none was installed through it, the two system calls are saved. A handler installed by an
 * instruction of its own at tier libc may then interrupt; its calls pass through, counted as lost.
 */
#ifndef VMTRACE_LOCK_H
#define VMTRACE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct lock_state {
	uint64_t signals;
	bool blocked;
};

/* Look at the handlers there are; from then on lock_note_handler() tells of others. Context: startup. */
void lock_trust_sites(void);
void lock_note_handler(void);

void lock_take(struct lock_state *ret_state);
/* With signals as they are: a handler's calls in between pass straight through, counted as lost. */
void lock_take_open(struct lock_state *ret_state);
void lock_drop(const struct lock_state *state);

/*
 * Before the locks that libc's fork() takes, of the allocator and others: who holds one of them may be
 * about to take ours. So it can't be held there: others are asked to wait for a while, and do.
 *
 * lock_lend(): others wait; lock_take_back(): no longer. lock_is_lent(): for anybody's fork.
 * lock_is_free(): does nobody hold it? In the child: was everything that it guards whole?
 */
void lock_lend(void);
void lock_take_back(void);
bool lock_is_lent(void);
bool lock_is_free(void);

/* Let go of the lock for a while; signals stay as they are. */
void lock_pause(void);
void lock_resume(void);

/**
 * lock_drop_for_end() - Drop the lock right before exit_group(2).
 *
 * No other thread of this process gets it again: it would be killed between a call and its record. A task of another process that shares the memory gets it as ever; so does every thread
 * if the caller takes the lock once more, for then the end has not come.
 */
void lock_drop_for_end(const struct lock_state *state);

/* In the child of a fork: unlocked, whoever held it; the signal mask stays as it is. */
void lock_reset(void);

#endif
