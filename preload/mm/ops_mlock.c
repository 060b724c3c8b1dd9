/* SPDX-License-Identifier: MIT */
/*
 * mlock(2) and its relatives, and mseal(2).
 *
 * The flags go onto the vmas first (up to a hole), pages are read in afterwards: a failure of the
 * latter leaves the former.
 */
#include "ops.h"

#include <errno.h>
#include <sys/mman.h>

#include "merge.h"
#include "vma.h"

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static int lock_vma(struct mm_txn *txn, struct vma **vma, uint64_t start, uint64_t end,
		    uint64_t lock_flags)
{
	struct vma want = **vma;

	want.vm_flags = ((*vma)->vm_flags & ~VM_LOCKED_MASK) | lock_flags;
	want.vm_flags_unknown &= ~VM_LOCKED_MASK;
	if (want.vm_flags == (*vma)->vm_flags || !vma_supports_mlock(*vma))
		return 0;
	return vma_modify(txn, *vma, start, end, &want, vma);
}

/* Pages of [start, end) that are locked already. */
static uint64_t locked_pages(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma(mm, start);
	uint64_t bytes = 0;

	for (; vma && vma->vm_start < end; vma = vma->vm_next)
		if (vma->vm_flags & VM_LOCKED)
			bytes += (vma->vm_end < end ? vma->vm_end : end) -
				 (vma->vm_start > start ? vma->vm_start : start);
	return bytes >> MM_PAGE_SHIFT;
}

static bool over_limit(struct mm *mm, uint64_t start, uint64_t end)
{
	uint64_t limit = mm->rlimit_memlock >> MM_PAGE_SHIFT;
	uint64_t wanted = mm->locked_vm + ((end - start) >> MM_PAGE_SHIFT);

	if (mm->rlimit_memlock == ~0ull || wanted <= limit)
		return false;
	return wanted - locked_pages(mm, start, end) > limit;
}

/* Is there no hole in [start, end)? */
static bool is_mapped(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *vma = vma_lookup(mm, start);

	while (vma && vma->vm_end < end && vma_touches(vma, vma->vm_next))
		vma = vma->vm_next;
	return vma && vma->vm_end >= end;
}

/* A walk without holes. Return: whether it came to the end. */
static bool lock_range(struct mm_txn *txn, uint64_t start, uint64_t end, uint64_t flags)
{
	struct vma *vma;

	for (uint64_t cur = start; cur < end; cur = vma->vm_end) {
		vma = vma_lookup(txn->mm, cur);
		if (!vma)
			return false;
		vma_learn_faults(txn->mm, vma);
		if (lock_vma(txn, &vma, cur, vma->vm_end < end ? vma->vm_end : end, flags)) {
			txn_doubt_rest(txn, start, end);
			return false;
		}
	}
	return true;
}

int op_mlock(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t in_page = call->arg[0] & (MM_PAGE_SIZE - 1), start = call->arg[0] - in_page;
	uint64_t end = start + page_align(call->arg[1] + in_page), flags = 0;
	struct vma *vma;

	if (call->op != MM_MUNLOCK)
		flags = VM_LOCKED;
	if (call->op == MM_MLOCK2 && (call->arg[2] & MLOCK_ONFAULT))
		flags |= VM_LOCKONFAULT;
	if (!span_is_sane(start, end) || call->ret == -EINVAL || call->ret == -EPERM ||
	    call->ret == -EINTR)
		return 0;
	if (call->ret && flags && over_limit(mm, start, end))
		return 0;
	if (!call->ret)
		mm_learn_growth(txn, start);
	if (!lock_range(txn, start, end, flags) || call->ret || flags != VM_LOCKED)
		return 0;
	for (vma = find_vma(mm, start); vma && vma->vm_start < end; vma = vma->vm_next)
		if ((vma->vm_flags & VM_WRITE) && vma_supports_mlock(vma))
			vma_learn_present(mm, vma);
	return 0;
}

int op_mlockall(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t how = call->op == MM_MLOCKALL ? call->arg[0] : 0, flags = 0;
	struct vma *vma;

	if (call->ret)
		return 0;
	mm->def_flags &= ~VM_LOCKED_MASK;
	flags = VM_LOCKED | (how & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
	if (how & MCL_FUTURE) {
		mm->def_flags |= flags;
		if (!(how & MCL_CURRENT))
			return 0;
	}
	if (!(how & MCL_CURRENT))
		flags = 0;
	for (vma = mm->first; vma; vma = vma->vm_next) {
		vma_learn_faults(mm, vma);
		lock_vma(txn, &vma, vma->vm_start, vma->vm_end, flags);
	}
	return 0;
}

int op_mseal(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]);
	struct vma *vma, want;

	/* Holes and bad arguments are seen before; splits may be refused on the way (mseal_apply). */
	if (!span_is_sane(start, end) || (call->ret && call->ret != -ENOMEM && call->ret != -EINVAL))
		return 0;
	if (call->ret && (!is_mapped(mm, start, end) || call->arg[2]))
		return 0;
	if (!call->ret)
		mm_learn_growth(txn, start);
	for (uint64_t cur = start; cur < end; cur = vma->vm_end) {
		vma = vma_lookup(mm, cur);
		if (!vma)
			break;
		want = *vma;
		want.vm_flags |= VM_SEALED;
		want.vm_flags_unknown &= ~VM_SEALED;
		if (want.vm_flags != vma->vm_flags &&
		    vma_modify(txn, vma, cur, vma->vm_end < end ? vma->vm_end : end, &want, &vma)) {
			txn_doubt_rest(txn, start, end);
			break;
		}
	}
	return 0;
}
