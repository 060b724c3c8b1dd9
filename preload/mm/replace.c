/* SPDX-License-Identifier: MIT */
/* mm_replace(): take the kernel's list for a range, whatever the model thought. */
#include <errno.h>

#include "init.h"
#include "names.h"
#include "ops.h"
#include "vma.h"

static bool order_is_bad(const struct vma_desc *desc, size_t nr, uint64_t start, uint64_t end)
{
	uint64_t last = 0;

	if (start > end || (start | end) & (MM_PAGE_SIZE - 1))
		return true;
	for (size_t i = 0; i < nr; i++) {
		if (desc[i].vm_start < last || desc[i].vm_start >= desc[i].vm_end ||
		    (desc[i].vm_start | desc[i].vm_end) & (MM_PAGE_SIZE - 1))
			return true;
		last = desc[i].vm_end;
	}
	return false;
}

static bool same_backing(const struct vma *vma, const struct vma *model)
{
	uint64_t visible = VM_READ | VM_WRITE | VM_EXEC | VM_MAYSHARE;

	if (((vma->vm_flags ^ model->vm_flags) & visible) || vma_is_file(vma) != vma_is_file(model))
		return false;
	return vma->inode == model->inode && vma->dev_major == model->dev_major &&
	       vma->dev_minor == model->dev_minor;
}

static void update_flags(struct mm_txn *txn, struct vma *vma, const struct vma *model,
			 const struct vma_desc *desc)
{
	if (!desc->flags_known)
		return;
	vma_set_flags(txn, vma, model->vm_flags);
	vma->vm_flags_unknown = model->vm_flags_unknown;
}

/* What of @old is still true for a piece of it, or for something that has grown out of it. */
static void keep_knowledge(struct vma *model, const struct vma *old, const struct vma_desc *desc)
{
	int64_t pages = (int64_t)(model->vm_start - old->vm_start) >> MM_PAGE_SHIFT;

	if (!desc->flags_known) {
		model->vm_flags = old->vm_flags;
		model->vm_flags_unknown = old->vm_flags_unknown;
	}
	if (!vma_is_file(model)) {
		model->vm_pgoff = old->vm_pgoff + pages;
		model->pgoff_state = old->pgoff_state;
	} else if (model->vm_pgoff == old->vm_pgoff + pages) {
		model->file_id = old->file_id;
	}
	model->policy_id = old->policy_id;
	model->uffd_ctx = old->uffd_ctx;
	model->file_bytes = old->file_bytes;
	model->has_close = old->has_close;
	model->event = old->event;
	model->own |= old->own;
	if (old->anon_vma == ANON_VMA_NONE)
		return;
	model->anon_vma_forked = old->anon_vma_forked;
	if (!desc->anon_vma) {
		model->anon_vma = old->anon_vma;
		model->anon_vma_id = old->anon_vma_id;
	}
}

static int replace_one(struct mm_txn *txn, const struct vma_desc *desc, uint64_t event)
{
	struct mm *mm = txn->mm;
	struct vma *old = find_vma_intersection(mm, desc->vm_start, desc->vm_end), *prev;
	struct vma model;
	bool stack;

	if (vma_from_desc(mm, &model, desc))
		return -ENOMEM;
	stack = model.vm_flags & model.vm_flags_unknown & VM_GROWSDOWN;
	if (!stack && !vma_is_file(&model))
		model.pgoff_state = VM_PGOFF_ANY;
	model.event = event;
	if (old && same_backing(old, &model)) {
		if (old->vm_start == desc->vm_start && old->vm_end == desc->vm_end &&
		    (!vma_is_file(old) || old->vm_pgoff == model.vm_pgoff)) {
			old->name = model.name;
			old->uncertain = false;
			update_flags(txn, old, &model, desc);
			if (desc->anon_vma)
				vma_learn_present(mm, old);
			return 0;
		}
		vma_learn_faults(mm, old);
		keep_knowledge(&model, old, desc);
	}
	mm_unmap(txn, desc->vm_start, desc->vm_end);
	find_vma_prev(mm, desc->vm_start, &prev);
	vma_add(txn, &model, prev);
	return 0;
}

int mm_replace(struct mm *mm, uint64_t start, uint64_t end,
	       const struct vma_desc *desc, size_t nr, uint64_t event)
{
	struct mm_effect effect = { 0 };
	struct mm_txn txn = { .mm = mm, .effect = &effect };
	uint64_t from = start;

	if (order_is_bad(desc, nr, start, end))
		return -EINVAL;
	for (size_t i = 0; i <= nr; i++) {
		uint64_t until = i < nr ? desc[i].vm_start : end;

		if (txn_reserve(mm, TXN_NODES))
			return -ENOMEM;
		if (from < until && from < end)
			mm_unmap(&txn, from, until < end ? until : end);
		if (i == nr)
			break;
		if (replace_one(&txn, &desc[i], event))
			return -ENOMEM;
		if (desc[i].vm_end > from)
			from = desc[i].vm_end;
	}
	if (mm->map_count > mm->map_count_peak)
		mm->map_count_peak = mm->map_count;
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	return 0;
}
