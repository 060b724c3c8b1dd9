/* SPDX-License-Identifier: MIT */
/*
 * The kernel's view of this process, read without any memory but static buffers: nothing here
 * changes the map it reads.
 */
#ifndef VMTRACE_TEST_KERNEL_H
#define VMTRACE_TEST_KERNEL_H

#include "vmtrace/mm.h"

#define KERNEL_NAME_MAX 4352

struct kernel_vma {
	struct vma_desc desc;
	char name[KERNEL_NAME_MAX];
};

/* Counters of /proc/self/status, in pages. */
struct kernel_status {
	uint64_t peak, size, locked, data, stack, exe, lib;
};

/** kernel_open() - Open what the others read. Return: 0, -errno. Again after fork. */
int kernel_open(void);

/** kernel_has_query() - Does PROCMAP_QUERY work here? */
bool kernel_has_query(void);

/** kernel_maps() - The text of /proc/self/maps without [vsyscall]. Valid until the next call. */
const char *kernel_maps(size_t *ret_len);

/**
 * kernel_next() - The first vma that ends above @addr.
 * @query: by PROCMAP_QUERY instead of text.
 *
 * Return: 0, -ENOENT.
 */
int kernel_next(uint64_t addr, bool query, struct kernel_vma *ret_vma);

/** kernel_snapshot() - Insert all vmas with their flags (from smaps) and segment addresses. */
int kernel_snapshot(struct mm *mm);

/** kernel_memlock_limit() - Bytes this process may lock; ~0 if privileged. */
uint64_t kernel_memlock_limit(void);

int kernel_status(struct kernel_status *ret_status);

#endif
