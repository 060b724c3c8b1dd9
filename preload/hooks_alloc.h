/* SPDX-License-Identifier: MIT */
/* Entry points of other allocators than libc's. */
#ifndef VMTRACE_HOOKS_ALLOC_H
#define VMTRACE_HOOKS_ALLOC_H

/**
 * hooks_alloc_init() - Hook what the program's allocator has beside malloc().
 * Context: startup, before the first snapshot: it writes to that library's pages.
 */
void hooks_alloc_init(void);

#endif
