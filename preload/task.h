/* SPDX-License-Identifier: MIT */
/* Tasks come and go: fork's three handlers, vfork's two, exec, threads. */
#ifndef VMTRACE_TASK_H
#define VMTRACE_TASK_H

#include <stdbool.h>

/* Register the fork handlers. Context: startup. */
void task_init(void);

/* Side by side, as pthread_atfork() wants them; also called for _Fork() and syscall(SYS_fork). */
void task_fork_prepare(void);
void task_fork_parent(void);
void task_fork_child(void);

/* From vfork's assembly: the child runs on the parent's memory until it execs or exits. */
void task_vfork_enter(void);
long task_vfork_leave(long ret);

#endif
