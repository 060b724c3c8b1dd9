/* SPDX-License-Identifier: MIT */
/* Tasks come and go: fork's three handlers, vfork's two, exec, threads. */
#ifndef VMTRACE_TASK_H
#define VMTRACE_TASK_H

#include <stdbool.h>
#include <stdint.h>

/* Register the fork handlers. Context: startup. */
void task_init(void);

/* Side by side, as pthread_atfork() wants them; also called for _Fork() and syscall(SYS_fork). */
void task_fork_prepare(void);
void task_fork_parent(void);
void task_fork_child(void);

/* From vfork's assembly: the child runs on the parent's memory until it execs or exits. */
void task_vfork_enter(void);
long task_vfork_leave(long ret);

/* Will a task made with these flags of clone(2) run beside its creator on the same TLS? */
bool task_shares_block(uint64_t flags);

/*
 * Around libc's own clone system calls (posix_spawn, thread creation), from their patched sites.
 * Leave runs in both: in the child with @ret 0, on the child's stack.
 */
void task_clone_enter(long nr, uint64_t first_arg);
void task_clone_leave(long ret);

#endif
