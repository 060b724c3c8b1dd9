/* SPDX-License-Identifier: MIT */
/*
 * brk(2). Growing joins only the vma below, and only one that ends above start_brk (do_brk_flags);
 * shrinking unmaps whatever is there.
 */
#include "merge.h"
#include "ops.h"
#include "vma.h"

static void brk_grow(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	struct mm *mm = txn->mm;
	struct vma model, *vma;

	if (!range_is_sane(mm, start, end))
		return;
	vma_init_anon(txn, &model, start, end,
		      VM_READ | VM_WRITE | VM_MAYRWX | VM_ACCOUNT | mm->def_flags);
	if (!(mm->rules & MM_RULE_KSM_LATE))
		model.vm_flags |= ksm_flag(mm, &model);
	/* Never anything there if the model is right. */
	mm_unmap(txn, start, end);
	if (start > mm->start_brk) {
		vma = vma_place(txn, &model, MERGE_LEFT, NULL);
	} else {
		struct vma *prev;

		find_vma_prev(mm, start, &prev);
		vma = vma_add(txn, &model, prev);
	}
	if (vma->vm_start == start && vma->vm_end == end &&
	    ksm_flag(mm, vma) & ~vma->vm_flags)
		vma_set_flags(txn, vma, vma->vm_flags | VM_MERGEABLE);
	if ((vma->vm_flags & VM_LOCKED_MASK) == VM_LOCKED)
		vma_learn_present(mm, vma);
	txn->effect->vma = vma;
}

int op_brk(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t old = page_align(mm->brk), want = page_align(call->arg[0]);
	uint64_t new = page_align(call->ret);

	if (call->ret < 0)
		return 0;
	if (!mm->brk) {
		/* The first call seen asks where the break is. */
		if (call->arg[0] == (uint64_t)call->ret)
			txn_doubt(txn, new - MM_PAGE_SIZE, new);
		mm->brk = call->ret;
		return 0;
	}
	if (new > old)
		brk_grow(txn, old, new);
	else if (new < old && range_is_sane(mm, new, old))
		mm_unmap(txn, new, old);
	else if (call->arg[0] != (uint64_t)call->ret && call->arg[0] >= mm->start_brk &&
		 want < old && range_is_sane(mm, want, old))
		mm_unmap_fails(txn, want, old);
	mm->brk = call->ret;
	return 0;
}
