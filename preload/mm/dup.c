/* SPDX-License-Identifier: MIT */
/*
 * fork(2): what of an address space the child gets (dup_mmap).
 *
 * A vma that has an anon_vma gets a new one in the child, behind its parent's: a chain that never
 * becomes simple again. Nothing is merged, though the locks that kept vmas apart are gone.
 */
#include <errno.h>
#include <string.h>

#include "names.h"
#include "txn.h"
#include "vma.h"

static void fork_vma(struct mm_txn *txn, struct vma *vma)
{
	struct mm *mm = txn->mm;

	vma_learn_faults(mm, vma);
	vma_set_flags(txn, vma, vma->vm_flags & ~(VM_LOCKED_MASK | VM_UFFD_MASK));
	vma->vm_flags_unknown &= ~(VM_LOCKED_MASK | VM_UFFD_MASK);
	vma->uncertain = false;
	vma->uffd_ctx = 0;
	if (vma->vm_flags & VM_WIPEONFORK) {
		vma->anon_vma = ANON_VMA_NONE;
		vma->anon_vma_id = 0;
		vma->anon_vma_forked = ANON_VMA_FORKED_NO;
	} else if (vma->anon_vma != ANON_VMA_NONE) {
		/* It may have come after the last fork, if nobody knows that it was there. */
		vma->anon_vma_forked = vma->anon_vma == ANON_VMA_PRESENT ? ANON_VMA_FORKED_YES :
									   ANON_VMA_FORKED_MAYBE;
		vma->anon_vma_id = ++mm->next_anon_vma_id;
	}
}

static void fork_fields(struct mm *mm)
{
	mm->mm_users = 1;
	mm->mm_count = 1;
	mm->def_flags &= ~VM_LOCKED_MASK;
	mm->locked_vm = mm->locked_vm_leaked = mm->pinned_vm = 0;
	mm->hiwater_vm = mm->total_vm;
	mm->map_count_peak = mm->map_count;
	mm->find_vma_calls = mm->find_vma_cache_hits = 0;
	mm->nr_uncertain = mm->nr_predicted = mm->nr_predicted_right = 0;
}

int mm_fork_child(struct mm *mm)
{
	struct mm_effect effect = { 0 };
	struct mm_txn txn = { .mm = mm, .effect = &effect };
	struct vma *next;

	for (struct vma *vma = mm->first; vma; vma = next) {
		next = vma->vm_next;
		if (vma->vm_flags & VM_DONTCOPY)
			vma_del(&txn, vma);
		else
			fork_vma(&txn, vma);
	}
	fork_fields(mm);
	return 0;
}

int mm_dup(struct mm *dst, const struct mm *src, const struct mm_alloc *mem)
{
	struct mm_effect effect = { 0 };
	struct mm_txn txn = { .mm = dst, .effect = &effect };

	memcpy(dst, src, sizeof(*dst));
	dst->mem = mem;
	dst->root = dst->first = dst->last = dst->mmap_cache = dst->free_vmas = NULL;
	dst->names = NULL;
	dst->map_count = 0;
	dst->total_vm = dst->data_vm = dst->exec_vm = dst->stack_vm = dst->locked_vm = 0;
	dst->locked_vm_leaked = 0;
	for (const struct vma *vma = src->first; vma; vma = vma->vm_next) {
		struct vma model = *vma;

		if (vma->vm_flags & VM_DONTCOPY)
			continue;
		if (txn_reserve(dst, 1) || mm_intern(dst, vma->name, &model.name))
			return -ENOMEM;
		fork_vma(&txn, vma_add(&txn, &model, dst->last));
	}
	fork_fields(dst);
	return 0;
}
