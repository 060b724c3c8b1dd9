/* SPDX-License-Identifier: MIT */
/* The map as it is when recording begins: into the shadow, and into the trace. */
#ifndef VMTRACE_SNAPSHOT_H
#define VMTRACE_SNAPSHOT_H

#include <vmtrace/mm.h>

/**
 * snapshot_take() - Fill an empty @mm with the kernel's list.
 * @old: where flags are known from (fork child: the parent's shadow), or NULL: from smaps.
 *
 * Context: startup, fork child; under the capture lock.
 * Return: 0, -errno.
 */
int snapshot_take(struct mm *mm, struct mm *old);

/* One `vma` event for each vma of @mm. */
void snapshot_record(struct mm *mm);

/* Permissions of the [vsyscall] line, "" without one. */
const char *snapshot_vsyscall(void);

#endif
