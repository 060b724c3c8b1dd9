/* SPDX-License-Identifier: MIT */
/* The primitives of a change: see txn.h. */
#include "txn.h"

#include <errno.h>
#include <string.h>

#include "tree.h"
#include "vma.h"

int txn_reserve(struct mm *mm, unsigned int nr)
{
	struct vma *vma = mm->free_vmas;

	for (; vma && nr; vma = vma->vm_next)
		nr--;
	for (; nr; nr--) {
		vma = mm->mem->alloc(mm->mem->ctx, sizeof(*vma));
		if (!vma)
			return -ENOMEM;
		vma->vm_next = mm->free_vmas;
		mm->free_vmas = vma;
	}
	return 0;
}

void txn_touch(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	struct mm_effect *effect = txn->effect;

	if (!txn->touched) {
		effect->start = start;
		effect->end = end;
		txn->touched = true;
		return;
	}
	if (start < effect->start)
		effect->start = start;
	if (end > effect->end)
		effect->end = end;
}

void txn_doubt(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	txn->effect->uncertain = true;
	txn_touch(txn, start, end);
}

void txn_doubt_rest(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	if (txn->effect->uncertain)
		txn_touch(txn, start, end);
}

struct vma *vma_add(struct mm_txn *txn, const struct vma *model, struct vma *prev)
{
	struct mm *mm = txn->mm;
	struct vma *vma = mm->free_vmas;

	mm->free_vmas = vma->vm_next;
	memcpy(vma, model, sizeof(*vma));
	vma->uncertain = false;
	tree_insert(mm, vma, prev);
	mm_account(mm, vma->vm_flags, vma_pages(vma));
	mm->map_count++;
	txn->effect->nr_inserted++;
	txn_touch(txn, vma->vm_start, vma->vm_end);
	return vma;
}

void vma_del(struct mm_txn *txn, struct vma *vma)
{
	struct mm *mm = txn->mm;

	tree_remove(mm, vma);
	mm_account(mm, vma->vm_flags, -(int64_t)vma_pages(vma));
	mm->map_count--;
	if (mm->mmap_cache == vma)
		mm->mmap_cache = NULL;
	if (txn->effect->vma == vma)
		txn->effect->vma = NULL;
	txn->effect->nr_removed++;
	txn_touch(txn, vma->vm_start, vma->vm_end);
	vma->vm_next = mm->free_vmas;
	mm->free_vmas = vma;
}

void vma_set_range(struct mm_txn *txn, struct vma *vma, uint64_t start, uint64_t end)
{
	struct mm *mm = txn->mm;

	txn_touch(txn, vma->vm_start, vma->vm_end);
	txn_touch(txn, start, end);
	mm_account(mm, vma->vm_flags, -(int64_t)vma_pages(vma));
	vma->vm_pgoff += (int64_t)(start - vma->vm_start) >> MM_PAGE_SHIFT;
	vma->vm_start = start;
	vma->vm_end = end;
	mm_account(mm, vma->vm_flags, vma_pages(vma));
	tree_resized(mm, vma);
}

void vma_set_flags(struct mm_txn *txn, struct vma *vma, uint64_t flags)
{
	struct mm *mm = txn->mm;

	vma_learn_faults(mm, vma);
	txn_touch(txn, vma->vm_start, vma->vm_end);
	mm_account(mm, vma->vm_flags, -(int64_t)vma_pages(vma));
	vma->vm_flags = flags;
	mm_account(mm, flags, vma_pages(vma));
}

struct vma *vma_split(struct mm_txn *txn, struct vma *vma, uint64_t addr)
{
	struct vma upper;

	vma_learn_faults(txn->mm, vma);
	upper = *vma;
	upper.vm_start = addr;
	upper.vm_pgoff += (addr - vma->vm_start) >> MM_PAGE_SHIFT;
	vma_set_range(txn, vma, vma->vm_start, addr);
	return vma_add(txn, &upper, vma);
}
