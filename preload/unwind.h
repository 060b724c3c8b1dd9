/* SPDX-License-Identifier: MIT */
/* The call stack above a hook, by libunwind; nothing else knows libunwind. */
#ifndef VMTRACE_UNWIND_H
#define VMTRACE_UNWIND_H

#include <stdbool.h>

#define UNWIND_MAX 160	/* frames: CONFIG_STACKS_MAX and our own on top */

/* Choose the caching policy and let libunwind make what it makes at its first use. */
void unwind_init(void);

/**
 * unwind_stack() - Return addresses, innermost first, without vmtrace's own frames.
 * @ips: room for UNWIND_MAX.
 * @max: depth wanted.
 * @ret_cut: there would have been more.
 *
 * Context: hook path, under the guard and before any lock: the unwinder may take the loader's.
 */
int unwind_stack(void **ips, int max, bool *ret_cut);

#endif
