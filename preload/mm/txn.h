/* SPDX-License-Identifier: MIT */
/*
 * One change of the model in progress, and the few primitives every change is made of.
 *
 * All nodes are reserved before the first step (txn_reserve), so that no step can fail for lack
 * of memory and leave the map half changed. The primitives keep list, tree, counters and the
 * report of what was done in step; nothing else writes vm_start, vm_end or vm_flags of a vma
 * that is linked.
 */
#ifndef VMTRACE_MM_TXN_H
#define VMTRACE_MM_TXN_H

#include "vmtrace/mm.h"

struct mm_txn {
	struct mm *mm;
	const struct mm_call *call;	/* NULL outside mm_apply() */
	struct mm_effect *effect;
	bool touched;			/* effect->start and ->end are set */
};

/* More than any single step needs: two split ends, a new vma, and a moved one's target. */
#define TXN_NODES 8

/** txn_reserve() - Have at least @nr nodes at hand. Return: 0, -ENOMEM. */
int txn_reserve(struct mm *mm, unsigned int nr);

/** txn_touch() - Make [start, end) part of the reported range. */
void txn_touch(struct mm_txn *txn, uint64_t start, uint64_t end);

/** txn_doubt() - The outcome in [start, end) hinges on what can't be seen. */
void txn_doubt(struct mm_txn *txn, uint64_t start, uint64_t end);

/** txn_doubt_rest() - If anything is in doubt, so is all that a walk may have gone on to do. */
void txn_doubt_rest(struct mm_txn *txn, uint64_t start, uint64_t end);

/** vma_add() - Link a copy of @model right above @prev (NULL: lowest). */
struct vma *vma_add(struct mm_txn *txn, const struct vma *model, struct vma *prev);

/** vma_del() - Unlink @vma and give its node back. */
void vma_del(struct mm_txn *txn, struct vma *vma);

/** vma_set_range() - Move the bounds of @vma; vm_pgoff follows vm_start. */
void vma_set_range(struct mm_txn *txn, struct vma *vma, uint64_t start, uint64_t end);

/** vma_set_flags() - Give @vma other flags; what it may have faulted so far is kept in mind. */
void vma_set_flags(struct mm_txn *txn, struct vma *vma, uint64_t flags);

/** vma_split() - Cut @vma in two at @addr, strictly inside it. Return: the upper part. */
struct vma *vma_split(struct mm_txn *txn, struct vma *vma, uint64_t addr);

/** mm_account() - Count @pages (negative: fewer) of a vma with @flags. */
void mm_account(struct mm *mm, uint64_t flags, int64_t pages);

#endif
