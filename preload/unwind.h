/* SPDX-License-Identifier: MIT */
/* The call stack above a hook, by libunwind; nothing else knows libunwind. */
#ifndef VMTRACE_UNWIND_H
#define VMTRACE_UNWIND_H

#include <stdbool.h>

#include "bridge.h"

#define UNWIND_MAX 288	/* frames: CONFIG_STACKS_MAX and our own on top */

/**
 * unwind_init() - Choose the caching policy and let libunwind make what it makes at its first use.
 * @find_code: called where the unwinder ends early, in unwind_stack()'s context.
 * @stack_end: the stack pointer that the program began with.
 *
 * Context: startup.
 */
void unwind_init(bridge_code_fn *find_code, uintptr_t stack_end);

/* No stack from now on: the program's sandbox may kill for what the unwinder does by itself. */
void unwind_stop(void);

/**
 * unwind_stack() - Return addresses, innermost first, without vmtrace's own frames.
 * @ips: room for UNWIND_MAX. NULL stands where frames may be missing (bridge.h).
 * @max: depth wanted.
 * @ret_cut: there would have been more: too deep, or the end was not found.
 *
 * Context: hook path, under the guard and before any lock: the unwinder may take the loader's.
 */
int unwind_stack(void **ips, int max, bool *ret_cut);

#endif
