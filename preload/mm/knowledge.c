/* SPDX-License-Identifier: MIT */
/*
 * What the model knows about things user space can't see: anon_vmas, page offsets of anonymous
 * memory, flags that were never read. Nothing here changes the layout.
 */
#include "txn.h"
#include "vma.h"

/* A read fault makes an anon_vma only where the huge zero page fits. */
static bool may_fault_huge(const struct mm *mm, const struct vma *vma)
{
	uint64_t first = (vma->vm_start + MM_HUGE_PAGE_SIZE - 1) & ~(MM_HUGE_PAGE_SIZE - 1);

	if (!(vma->vm_flags & VM_ACCESS_FLAGS) || (vma->vm_flags & VM_NOHUGEPAGE))
		return false;
	if ((mm->rules & MM_RULE_THP_MADVISE) && !(vma->vm_flags & VM_HUGEPAGE))
		return false;
	return first < vma->vm_end && vma->vm_end - first >= MM_HUGE_PAGE_SIZE;
}

void vma_learn_faults(struct mm *mm, struct vma *vma)
{
	bool may_have;

	if (vma->anon_vma != ANON_VMA_NONE || vma_is_shared(vma) || (vma->vm_flags & VM_PFNMAP))
		return;
	may_have = vma->vm_flags & VM_WRITE;
	if (!may_have && vma_is_anonymous(vma))
		may_have = (vma->vm_flags & VM_GROWSDOWN) || may_fault_huge(mm, vma);
	if (may_have)
		vma_learn_possible(mm, vma);
}

void vma_learn_possible(struct mm *mm, struct vma *vma)
{
	if (vma->anon_vma != ANON_VMA_NONE || vma_is_shared(vma))
		return;
	vma->anon_vma = ANON_VMA_UNKNOWN;
	vma->anon_vma_forked = ANON_VMA_FORKED_NO;
	vma->anon_vma_id = ++mm->next_anon_vma_id;
}

void vma_learn_present(struct mm *mm, struct vma *vma)
{
	if (vma->anon_vma == ANON_VMA_PRESENT || vma_is_shared(vma))
		return;
	/* A new id: others with the old one may have got their anon_vma by themselves. */
	if (vma->anon_vma == ANON_VMA_NONE)
		vma->anon_vma_forked = ANON_VMA_FORKED_NO;
	vma->anon_vma = ANON_VMA_PRESENT;
	vma->anon_vma_id = ++mm->next_anon_vma_id;
}

/* Both sides, or one of them: nobody knows. Keep the weaker claim of each. */
static void learn_maybe_merged(struct vma *dst, const struct vma *src)
{
	uint64_t differ = dst->vm_flags ^ src->vm_flags;

	dst->vm_flags_unknown |= src->vm_flags_unknown | (differ & ~VM_IGNORE_MERGE);
	if (src->pgoff_state > dst->pgoff_state)
		dst->pgoff_state = src->pgoff_state;
	if (dst->anon_vma_id == 0)
		dst->anon_vma_id = src->anon_vma_id;
	if (src->anon_vma != dst->anon_vma)
		dst->anon_vma = ANON_VMA_UNKNOWN;
	if (src->anon_vma_forked != dst->anon_vma_forked)
		dst->anon_vma_forked = ANON_VMA_FORKED_MAYBE;
}

void vma_learn_merged(struct mm *mm, struct vma *dst, const struct vma *src, bool doubtful)
{
	uint64_t learned = dst->vm_flags_unknown & ~src->vm_flags_unknown;

	if (doubtful) {
		learn_maybe_merged(dst, src);
		return;
	}
	mm_account(mm, dst->vm_flags, -(int64_t)vma_pages(dst));
	dst->vm_flags = (dst->vm_flags & ~learned) | (src->vm_flags & learned);
	dst->vm_flags |= src->vm_flags & VM_IGNORE_MERGE;
	mm_account(mm, dst->vm_flags, vma_pages(dst));
	dst->vm_flags_unknown &= src->vm_flags_unknown;
	if (src->pgoff_state < dst->pgoff_state) {
		dst->vm_pgoff = src->vm_pgoff + ((int64_t)(dst->vm_start - src->vm_start) >> MM_PAGE_SHIFT);
		dst->pgoff_state = src->pgoff_state;
	}
	if (src->anon_vma > dst->anon_vma) {
		dst->anon_vma = src->anon_vma;
		dst->anon_vma_id = src->anon_vma_id;
		dst->anon_vma_forked = src->anon_vma_forked;
	} else if (src->anon_vma == dst->anon_vma && dst->anon_vma == ANON_VMA_UNKNOWN) {
		if (src->anon_vma_forked > dst->anon_vma_forked)
			dst->anon_vma_forked = src->anon_vma_forked;
	}
}
