/* SPDX-License-Identifier: MIT */
/*
 * mm_resolve(): the kernel has said where a vma starts and ends; make it so by joining and
 * splitting, and keep what that proves.
 */
#include <errno.h>

#include "match.h"
#include "txn.h"
#include "vma.h"

/* Could the two be one, as far as anybody can see? */
static bool looks_joined(const struct vma *below, const struct vma *above)
{
	uint64_t visible = VM_READ | VM_WRITE | VM_EXEC | VM_SHARED | VM_MAYSHARE;

	if (!vma_touches(below, above) || ((below->vm_flags ^ above->vm_flags) & visible))
		return false;
	if (vma_is_file(below) != vma_is_file(above) || !verdict_is_taken(match_name(below, above)))
		return false;
	if (!vma_is_file(below))
		return true;
	return below->vm_pgoff + vma_pages(below) == above->vm_pgoff &&
	       below->inode == above->inode && below->dev_major == above->dev_major &&
	       below->dev_minor == above->dev_minor;
}

/* They are one: so their anon_vmas, offsets, policies and unknown flags go together. */
static void join_above(struct mm_txn *txn, struct vma *vma)
{
	struct vma *next = vma->vm_next;
	uint64_t end = next->vm_end;
	uint64_t differ;
	bool one_has_none;

	/* As they were at the call that joined them: not what may have been written since. */
	one_has_none = vma->anon_vma == ANON_VMA_NONE || next->anon_vma == ANON_VMA_NONE;
	if (match_pgoff(vma, next) < VERDICT_LIKELY && next->pgoff_state == VM_PGOFF_KNOWN) {
		vma->vm_pgoff = next->vm_pgoff - vma_pages(vma);
		vma->pgoff_state = VM_PGOFF_KNOWN;
	}
	/* Flags thought to differ can't have differed: which of both was right isn't known. */
	differ = (vma->vm_flags ^ next->vm_flags) & ~(vma->vm_flags_unknown | next->vm_flags_unknown);
	vma_learn_merged(txn->mm, vma, next, false);
	vma->vm_flags_unknown |= differ & ~VM_IGNORE_MERGE;
	/* A forked one would not have joined one without an anon_vma. */
	if (one_has_none)
		vma->anon_vma_forked = ANON_VMA_FORKED_NO;
	vma_del(txn, next);
	vma_set_range(txn, vma, vma->vm_start, end);
}

static struct vma *split_at(struct mm_txn *txn, struct vma *vma, uint64_t addr)
{
	struct vma *upper = vma_split(txn, vma, addr);

	/* What was taken for one isn't: anon_vma, struct file or policy may differ. */
	if (upper->anon_vma != ANON_VMA_NONE)
		upper->anon_vma_id = ++txn->mm->next_anon_vma_id;
	if (vma_is_file(upper) && !upper->has_close)
		upper->file_id = ++txn->mm->next_file_id;
	if (!policy_known(upper->policy_id))
		upper->policy_id = policy_renew(txn->mm, upper->policy_id);
	return upper;
}

/* A boundary that was in doubt stands. If only the anon_vma can be why, that tells something. */
static void learn_apart(struct mm *mm, struct vma *vma)
{
	struct vma *prev = vma->vm_prev, *has;
	bool either_way = mm->rules & MM_RULE_MERGE_FAULTED;
	enum verdict rest;

	vma->uncertain = false;
	if (!vma_touches(prev, vma))
		return;
	rest = verdict_and(match_flags(prev, vma), match_file(prev, vma));
	rest = verdict_and(rest, match_pgoff(prev, vma));
	rest = verdict_and(rest, match_policy(prev, vma));
	rest = verdict_and(rest, match_uffd(prev, vma));
	if (rest != VERDICT_YES || !verdict_is_doubtful(match_anon_vma(mm, prev, vma)))
		return;
	if (prev->anon_vma != ANON_VMA_NONE && vma->anon_vma != ANON_VMA_NONE) {
		if (prev->anon_vma_id == vma->anon_vma_id)
			vma->anon_vma_id = ++mm->next_anon_vma_id;
		/*
		 * A forked one keeps apart even from one that has none; of two forked, who knows.
		 * Where only the vma that takes over may bring the anon_vma, either can be it.
		 */
		if (!vma->anon_vma_forked && either_way)
			vma_learn_present(mm, prev);
		if (!prev->anon_vma_forked && either_way)
			vma_learn_present(mm, vma);
		return;
	}
	has = prev->anon_vma != ANON_VMA_NONE ? prev : vma;
	if (has->anon_vma_forked || !either_way)
		vma_learn_present(mm, has);
	/* It was the fork that kept the one that has an anon_vma from joining the other. */
	if (has->anon_vma_forked && either_way)
		has->anon_vma_forked = ANON_VMA_FORKED_YES;
}

int mm_resolve(struct mm *mm, uint64_t start, uint64_t end)
{
	struct mm_effect effect = { 0 };
	struct mm_txn txn = { .mm = mm, .effect = &effect };
	struct vma *vma = vma_lookup(mm, start), *last;

	if (!vma || start >= end || (start | end) & (MM_PAGE_SIZE - 1))
		return 1;
	if (txn_reserve(mm, TXN_NODES))
		return -ENOMEM;
	/* Can it be reached at all? Only then anything is changed. */
	for (last = vma; last->vm_end < end; last = last->vm_next)
		if (!last->vm_next || !looks_joined(last, last->vm_next))
			return 1;
	/* Split first: what the joined learn from each other isn't true of what lies beyond. */
	if (last->vm_end > end)
		split_at(&txn, last, end);
	else if (last->vm_next && last->vm_next->uncertain)
		learn_apart(mm, last->vm_next);
	if (vma->vm_start < start)
		vma = split_at(&txn, vma, start);
	else if (vma->uncertain)
		learn_apart(mm, vma);
	while (vma->vm_end < end)
		join_above(&txn, vma);
	vma->uncertain = false;
	return 0;
}
