/* SPDX-License-Identifier: MIT */
/* munmap(2), and the unmapping inside other calls (vms_gather_munmap_vmas). */
#include "ops.h"

#include <errno.h>

#include "vma.h"

bool span_is_sane(uint64_t start, uint64_t end)
{
	return !((start | end) & (MM_PAGE_SIZE - 1)) && start < end;
}

bool range_is_sane(const struct mm *mm, uint64_t start, uint64_t end)
{
	return span_is_sane(start, end) && end <= mm->task_size;
}

/*
 *      start        end
 *   AAAA|AAA BB CCCC|CC    →    AAAA             CC
 */
void mm_unmap(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma_intersection(txn->mm, start, end), *next;

	if (vma && vma->vm_start < start)
		vma = vma_split(txn, vma, start);
	for (; vma && vma->vm_start < end; vma = next) {
		if (vma->vm_end > end)
			vma_split(txn, vma, end);
		next = vma->vm_next;
		vma_del(txn, vma);
	}
}

/* The error with which vms_gather_munmap_vmas() ends; is the front split off before it? */
static int64_t unmap_error(const struct mm *mm, const struct vma *vma, uint64_t start,
			   uint64_t end, bool *ret_splits)
{
	*ret_splits = vma && vma->vm_start < start;
	if (*ret_splits) {
		*ret_splits = false;
		if (vma->vm_end > end && mm->map_count >= mm->max_map_count)
			return -ENOMEM;
		if (vma->vm_flags & VM_SEALED)
			return -EPERM;
		if (!vma_may_split(vma, start))
			return -EINVAL;
		*ret_splits = true;
	}
	for (; vma && vma->vm_start < end; vma = vma->vm_next) {
		if (vma->vm_flags & VM_SEALED)
			return -EPERM;
		if (vma->vm_end > end && !vma_may_split(vma, end))
			return -EINVAL;
	}
	return 0;
}

bool mm_unmap_fails(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma_intersection(txn->mm, start, end);
	bool splits;
	int64_t err = unmap_error(txn->mm, vma, start, end, &splits);

	/* brk(2) hides the error. Another one means that it didn't come so far. */
	if (splits && err && (err == txn->call->ret || txn->call->op == MM_BRK))
		vma_split(txn, vma, start);
	return err;
}

bool mm_is_indivisible(struct mm *mm, uint64_t start, uint64_t end)
{
	const struct vma *low = vma_lookup(mm, start), *high = vma_lookup(mm, end);

	return (low && low->vm_start < start && !vma_may_split(low, start)) ||
	       (high && high->vm_start < end && !vma_may_split(high, end));
}

/* Of what came to be known by a comparison with maps the flag isn't known. */
static bool may_grow(const struct vma *vma)
{
	if (vma->vm_flags & VM_GROWSDOWN)
		return true;
	return (vma->vm_flags_unknown & VM_GROWSDOWN) && !vma_is_file(vma) && !vma_is_shared(vma);
}

void mm_learn_growth(struct mm_txn *txn, uint64_t addr)
{
	struct vma *vma;

	addr &= ~(MM_PAGE_SIZE - 1);
	vma = find_vma(txn->mm, addr);
	if (!vma || vma->vm_start <= addr || !may_grow(vma))
		return;
	vma_set_range(txn, vma, addr, vma->vm_end);
	vma_learn_present(txn->mm, vma);
	txn_doubt(txn, addr, vma->vm_end);
}

int op_munmap(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]);

	if (!range_is_sane(txn->mm, start, end))
		return 0;
	if (!call->ret)
		mm_unmap(txn, start, end);
	else if (!mm_unmap_fails(txn, start, end))
		txn_doubt(txn, start, end);
	return 0;
}
