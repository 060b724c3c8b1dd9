/* SPDX-License-Identifier: MIT */
/* The walk that madvise(2) and PR_SET_VMA share. */
#ifndef VMTRACE_MM_OPS_MADVISE_H
#define VMTRACE_MM_OPS_MADVISE_H

#include "txn.h"

/* Says what @vma shall be like by changing flags or name of @want. Return: false to stop. */
typedef bool (*madvise_visit)(struct mm_txn *txn, const struct vma *vma, struct vma *want,
			      const void *arg);

void madvise_walk(struct mm_txn *txn, uint64_t start, uint64_t end, madvise_visit visit,
		  const void *arg);

/* The flags @vma has after @advice. */
uint64_t madvise_flags(const struct vma *vma, uint64_t advice);

#endif
