/* SPDX-License-Identifier: MIT */
/*
 * Tier `all`: system calls made outside libc's text, through Syscall User Dispatch (Linux 5.11+;
 * Documentation/admin-guide/syscall-user-dispatch.rst). The kernel lets libc's text through at full
 * speed and raises SIGSYS for every other instruction; the handler makes the call instead.
 *
 * Our own calls go through an instruction inside libc (sys_gadget). SIGSYS must never be blocked:
 * the kernel would kill. So masks and handlers set through libc or by raw calls pass here.
 */
#ifndef VMTRACE_SUD_H
#define VMTRACE_SUD_H

#include <stdbool.h>
#include <stdint.h>

/**
 * sud_init() - Install the handler and arm the calling thread.
 *
 * Context: startup, after patch_init(true). Return: 0, -errno (-EINVAL: the kernel can't).
 */
int sud_init(void);
bool sud_is_on(void);

/* The dispatch is neither inherited by threads nor over fork. Context: the new task itself. */
void sud_arm(void);

/* Around a system-call instruction of ours that is not libc's. Both do nothing if it is off. */
void sud_pause(void);
void sud_resume(void);

/* rt_sigaction and rt_sigprocmask as the program means them. Return: 0, -errno. */
long sud_sigaction(const uint64_t arg[6]);
long sud_sigprocmask(const uint64_t arg[6]);

#endif
