/* SPDX-License-Identifier: MIT */
/*
 * The program's sandbox: seccomp filters that it installs hold for our system calls, too, and may kill.
 *
 * So they are kept, and asked before each call of ours: one that the kernel would not simply let
 * through is not made and fails with EPERM, which costs records or comparisons, as any failure does.
 * A filter of one thread is taken to hold for all. Filters from before the start, or installed by an
 * instruction that is not captured, are not known.
 */
#ifndef VMTRACE_SECCOMP_H
#define VMTRACE_SECCOMP_H

#include <stdbool.h>
#include <stdint.h>

/**
 * seccomp_is_set() - Does this call install a filter, or strict mode, or forbid to read the clock?
 * Context: hook path.
 */
bool seccomp_is_set(long nr, const uint64_t arg[6]);

/**
 * seccomp_set() - Make such a call, and keep what it installs.
 *
 * From then on comparisons with the kernel, and stacks, end if their calls are not allowed; `lost`
 * records say so.
 * Context: hook path, without the capture lock.
 * Return: the kernel's result.
 */
long seccomp_set(long nr, const uint64_t arg[6]);

/**
 * seccomp_kills_images() - Would a filter kill the next image for what the library does there?
 *
 * Judged by the numbers of its system calls: one that looks at arguments is asked with none. Context: hook path.
 */
bool seccomp_kills_images(void);

#endif
