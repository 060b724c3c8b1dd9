/* SPDX-License-Identifier: MIT */
/* Tasks come and go: fork's three handlers, vfork's two, exec, threads. */
#ifndef VMTRACE_TASK_H
#define VMTRACE_TASK_H

#include <stdbool.h>
#include <stdint.h>

/* Register the fork handlers. Context: startup. */
void task_init(void);

/* Side by side: right around the system call of a fork. */
void task_fork_prepare(void);
void task_fork_parent(void);
void task_fork_child(void);

/* The same around libc's functions that make it; as pthread_atfork() wants them. */
void task_libc_fork_prepare(void);
void task_libc_fork_parent(void);
void task_libc_fork_child(void);

/*
 * Is the call a fork by another name, a copy of the process? One that shares descriptors is none: a
 * trace of its own would close the parent's.
 */
bool task_is_fork(long nr, uint64_t first_arg);

/* From vfork's assembly: the child runs on the parent's memory until it execs or exits. */
void task_vfork_enter(void);
long task_vfork_leave(long ret);

/* Will a task made with these flags of clone(2) run beside its creator on the same TLS? */
bool task_shares_block(uint64_t flags);

/*
 * Around libc's own clone system calls (fork, posix_spawn, thread creation), from their patched sites.
 * Leave runs in both: in the child with @ret 0, on the child's stack.
 */
void task_clone_enter(long nr, uint64_t first_arg);
void task_clone_leave(long nr, uint64_t first_arg, long ret);

#endif
