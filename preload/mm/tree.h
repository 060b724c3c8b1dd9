/* SPDX-License-Identifier: MIT */
/*
 * The two orders over one set of nodes: an AVL tree and an address-sorted list.
 *
 * Invariant, whenever a function here returns: an in-order walk of the tree is the list, heights
 * of siblings differ by one at most, and max_gap, min_start, max_end of every node describe its
 * subtree. The hole that belongs to a node is the one right below it.
 */
#ifndef VMTRACE_MM_TREE_H
#define VMTRACE_MM_TREE_H

#include "vmtrace/mm.h"

#define mm_for_each_vma(vma, mm) for ((vma) = (mm)->first; (vma); (vma) = (vma)->vm_next)

/* Bytes between @vma and the one below it (or address 0). */
static inline uint64_t vma_gap_below(const struct vma *vma)
{
	return vma->vm_start - (vma->vm_prev ? vma->vm_prev->vm_end : 0);
}

/**
 * tree_insert() - Link @vma right above @prev.
 * @prev: its neighbour below, NULL: @vma becomes the lowest.
 */
void tree_insert(struct mm *mm, struct vma *vma, struct vma *prev);

/** tree_remove() - Unlink @vma; its own links are left dangling. */
void tree_remove(struct mm *mm, struct vma *vma);

/** tree_resized() - Bring the augmentation up to date after bounds of @vma have changed. */
void tree_resized(struct mm *mm, struct vma *vma);

#endif
