/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd: ioctl(2) registers ranges with a descriptor and takes them back, and the last
 * close(2) takes back all. Flags and context of a vma change, so that it splits and joins.
 *
 * Which file a descriptor stands for can't be seen: two registrations by one number are taken for
 * the same context, by two numbers for two, and either is in doubt.
 */
#include "ops.h"

#include <errno.h>

#include "merge.h"
#include "vma.h"

/* From linux/userfaultfd.h, which needs no more than these here. */
#define UFFDIO_REGISTER_	0xc020aa00u
#define UFFDIO_UNREGISTER_	0x8010aa01u
#define MODE_MISSING	1u
#define MODE_WP		2u
#define MODE_MINOR	4u

static uint64_t mode_flags(uint64_t mode)
{
	return (mode & MODE_MISSING ? VM_UFFD_MISSING : 0) | (mode & MODE_WP ? VM_UFFD_WP : 0) |
	       (mode & MODE_MINOR ? VM_UFFD_MINOR : 0);
}

static int set_context(struct mm_txn *txn, struct vma **vma, uint64_t start, uint64_t end,
		       uint64_t flags, uint64_t ctx)
{
	struct vma want = **vma;

	want.vm_flags = (want.vm_flags & ~VM_UFFD_MASK) | flags;
	want.vm_flags_unknown &= ~VM_UFFD_MASK;
	want.uffd_ctx = ctx;
	return vma_modify(txn, *vma, start, end, &want, vma);
}

/* userfaultfd_register(), userfaultfd_unregister(): holes are passed over. */
static int change_range(struct mm_txn *txn, bool add)
{
	const struct mm_call *call = txn->call;
	uint64_t start = call->arg[3], end = start + call->arg[4];
	uint64_t flags = add ? mode_flags(call->arg[5]) : 0;
	uint64_t ctx = add ? uffd_ctx_new((int)call->arg[0], call->event) : 0;
	struct vma *vma;

	if (!range_is_sane(txn->mm, start, end))
		return 0;
	/* Refused at once but for want of vmas, where the front split stays. */
	if (call->ret && call->ret != -EFAULT) {
		if (call->ret == -ENOMEM && txn->mm->map_count + 2 >= txn->mm->max_map_count)
			txn_doubt(txn, start, end);
		return 0;
	}
	for (uint64_t cur = start; cur < end; cur = vma->vm_end) {
		vma = find_vma_intersection(txn->mm, cur, end);
		if (!vma)
			break;
		if (vma->vm_start > cur)
			cur = vma->vm_start;
		/* One that has no context is passed over; so is one that is registered already. */
		if (!add && !(vma->vm_flags & VM_UFFD_MASK)) {
			if (vma->vm_flags_unknown & VM_UFFD_MASK)
				txn_doubt(txn, vma->vm_start, vma->vm_end);
			continue;
		}
		if (add && (vma->vm_flags & VM_UFFD_MASK & ~vma->vm_flags_unknown) &&
		    !(flags & ~vma->vm_flags))
			continue;
		vma_learn_faults(txn->mm, vma);
		if (set_context(txn, &vma, cur, vma->vm_end < end ? vma->vm_end : end, flags, ctx))
			break;
	}
	return 0;
}

int op_ioctl(struct mm_txn *txn)
{
	switch ((uint32_t)txn->call->arg[1]) {
	case UFFDIO_REGISTER_:
		return change_range(txn, true);
	case UFFDIO_UNREGISTER_:
		return change_range(txn, false);
	default:
		return 0;
	}
}

/*
 * userfaultfd_release(), if nobody else has the file open: a duplicate or another process may. Then
 * the contexts stay, and nothing is joined.
 */
int op_close(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct vma *vma, *next;

	if (call->ret)
		return 0;
	for (vma = txn->mm->first; vma; vma = next) {
		uint64_t start = vma->vm_start, end = vma->vm_end;

		next = vma->vm_next;
		if (!vma->uffd_ctx || uffd_ctx_fd(vma->uffd_ctx) != (int)call->arg[0])
			continue;
		vma_learn_faults(txn->mm, vma);
		if (set_context(txn, &vma, start, end, 0, 0))
			break;
		vma->vm_flags_unknown |= VM_UFFD_MASK;
		txn_doubt(txn, start, end);
		next = vma->vm_next;
	}
	return 0;
}
