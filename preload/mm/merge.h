/* SPDX-License-Identifier: MIT */
/*
 * Joining and cutting at the edges of a range an operation touches, as the kernel does: nowhere
 * else, and in its order (left, right, both).
 */
#ifndef VMTRACE_MM_MERGE_H
#define VMTRACE_MM_MERGE_H

#include "txn.h"

enum merge_mode {
	MERGE_NEW,	/* a new mapping */
	MERGE_COPY,	/* a moved or copied one */
	MERGE_LEFT,	/* brk: only into the vma below */
	MERGE_EXTEND,	/* mremap in place: continues the vma below whatever it is */
};

/**
 * vma_place() - Put a new range into a hole, joined with its neighbours where they allow.
 * @model: the range and everything about it; not linked.
 * @apart: a vma it must not join, NULL for none.
 *
 * Return: the vma that holds the range now.
 */
struct vma *vma_place(struct mm_txn *txn, const struct vma *model, enum merge_mode mode,
		      const struct vma *apart);

/**
 * vma_modify() - Give [start, end) of @vma other attributes.
 * @want: flags, policy and name it shall have; the rest is ignored.
 * @ret_vma: the vma that holds the range then.
 *
 * Merges with the neighbours if the whole allows, else splits @vma.
 * Return: 0; where the kernel refuses a split, -ENOMEM at max_map_count, -EINVAL inside a huge page.
 * A first split stays.
 */
int vma_modify(struct mm_txn *txn, struct vma *vma, uint64_t start, uint64_t end,
	       const struct vma *want, struct vma **ret_vma);

#endif
