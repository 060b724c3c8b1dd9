/* SPDX-License-Identifier: MIT */
/*
 * mprotect(2) and pkey_mprotect(2): vma by vma upwards, up to the first hole or refusal; what was
 * done before it stays.
 */
#include "ops.h"

#include <errno.h>
#include <sys/mman.h>

#include "merge.h"
#include "vma.h"

/*
 * Private memory that becomes writable is accounted; anonymous memory that stops being so is
 * accounted no longer unless it has an anon_vma, which may be unknown.
 */
static void account_flag(const struct mm *mm, const struct vma *vma, struct vma *want)
{
	uint64_t old = vma->vm_flags;

	if (want->vm_flags & VM_WRITE) {
		if (old & (VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE))
			return;
		want->vm_flags |= VM_ACCOUNT;
		want->vm_flags_unknown &= ~VM_ACCOUNT;
		return;
	}
	if (!((old | vma->vm_flags_unknown) & VM_ACCOUNT) || !vma_is_anonymous(vma) ||
	    !(mm->rules & MM_RULE_ACCOUNT_CLEAR) || vma->anon_vma == ANON_VMA_PRESENT)
		return;
	if (vma->anon_vma == ANON_VMA_NONE) {
		want->vm_flags &= ~VM_ACCOUNT;
		want->vm_flags_unknown &= ~VM_ACCOUNT;
	} else {
		want->vm_flags_unknown |= VM_ACCOUNT;
	}
}

static void wanted_flags(const struct mm *mm, const struct vma *vma, const struct mm_call *call,
			 struct vma *want)
{
	uint64_t prot = call->arg[2] & VM_ACCESS_FLAGS;

	*want = *vma;
	want->vm_flags = (vma->vm_flags & ~VM_ACCESS_FLAGS) | prot;
	if (call->op == MM_PKEY_MPROTECT && call->arg[3] != ~0ull) {
		want->vm_flags &= ~VM_PKEY_MASK;
		want->vm_flags |= (call->arg[3] << VM_PKEY_SHIFT) & VM_PKEY_MASK;
		want->vm_flags_unknown &= ~VM_PKEY_MASK;
	} else if (prot == VM_EXEC && (mm->rules & MM_RULE_PKEYS)) {
		want->vm_flags_unknown |= VM_PKEY_MASK;
	}
}

/* Does the kernel refuse this vma? */
static bool refused(const struct vma *vma, const struct vma *want, int64_t err)
{
	uint64_t may = (want->vm_flags >> 4) | (want->vm_flags_unknown >> 4);

	switch (err) {
	case 0:
		return false;
	case -EACCES:
		return want->vm_flags & ~may & VM_ACCESS_FLAGS;
	case -EPERM:
		return vma->vm_flags & ~vma->vm_flags_unknown & VM_SEALED;
	default:
		return false;
	}
}

/* What grows out of sealed memory is sealed, too, and is known from a comparison only. */
static bool may_be_refused(const struct vma *vma, int64_t err)
{
	return err == -EPERM && (vma->vm_flags_unknown & VM_SEALED);
}

static uint64_t walk_start(const struct vma *vma, const struct mm_call *call)
{
	return call->arg[2] & PROT_GROWSDOWN ? vma->vm_start : call->arg[0];
}

/*
 * It shows at the first vma that the call changes visibly, from one on that may be sealed. Those in
 * between have no marks of it.
 */
uint64_t ask_mprotect(struct mm *mm, const struct mm_call *call)
{
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]);
	bool in_doubt = false;
	struct vma *vma, want;

	if (!span_is_sane(start, end))
		return 0;
	vma = find_vma_intersection(mm, start, end);
	if (vma)
		start = walk_start(vma, call);
	for (; vma && vma->vm_start < end && vma->vm_start <= start; vma = vma->vm_next) {
		wanted_flags(mm, vma, call, &want);
		if (refused(vma, &want, call->ret))
			return 0;
		in_doubt |= may_be_refused(vma, call->ret);
		if (in_doubt && ((want.vm_flags ^ vma->vm_flags) & VM_ACCESS_FLAGS)) {
			if (start > call->passed)
				return start;
			in_doubt = false;
		}
		start = vma->vm_end;
	}
	return 0;
}

/* May the walk have ended at @addr, in @vma? What the kernel has answered is learnt. */
static bool may_stop(struct mm_txn *txn, struct vma *vma, uint64_t addr, bool *in_doubt)
{
	const struct mm_call *call = txn->call;
	bool maybe = may_be_refused(vma, call->ret);

	if (maybe && addr <= call->passed) {
		vma_set_flags(txn, vma, vma->vm_flags & ~VM_SEALED);
		vma->vm_flags_unknown &= ~VM_SEALED;
		return false;
	}
	if (call->stopped && addr >= call->stopped) {
		if (maybe && !*in_doubt) {
			vma_set_flags(txn, vma, vma->vm_flags | VM_SEALED);
			vma->vm_flags_unknown &= ~VM_SEALED;
		}
		return true;
	}
	*in_doubt |= maybe;
	return maybe && !call->stopped;
}

/* Will the walk meet the reason for the failure? If not, nothing may be changed on the way. */
static bool explained(struct mm_txn *txn, struct vma *vma, uint64_t start, uint64_t end)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	struct vma want;

	for (; vma && vma->vm_start < end && vma->vm_start <= start; vma = vma->vm_next) {
		wanted_flags(mm, vma, call, &want);
		if (refused(vma, &want, call->ret) || may_be_refused(vma, call->ret))
			return true;
		if (vma->vm_end >= end)
			return call->ret == -EINVAL || (call->ret == -ENOMEM &&
							mm->map_count + 2 >= mm->max_map_count);
		start = vma->vm_end;
	}
	return call->ret == -ENOMEM || call->ret == -EINVAL;
}

int op_mprotect(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]), cur;
	struct vma *vma, want;
	bool in_doubt = false;

	if (!span_is_sane(start, end) ||
	    (call->ret == -EINVAL && !mm_is_indivisible(mm, start, end)))
		return 0;
	/* PROT_GROWSDOWN looks for the next stack above by itself. */
	if (!call->ret && !(call->arg[2] & PROT_GROWSDOWN))
		mm_learn_growth(txn, start);
	vma = find_vma_intersection(mm, start, end);
	if (vma && (call->arg[2] & PROT_GROWSDOWN)) {
		if (call->ret == -EINVAL)
			return 0;
		start = walk_start(vma, call);
	}
	if (!vma || vma->vm_start > start)
		return 0;
	if (call->ret && !explained(txn, vma, start, end)) {
		txn_doubt(txn, start, end);
		return 0;
	}
	for (cur = start; cur < end; cur = vma->vm_end) {
		uint64_t until;

		vma = vma_lookup(mm, cur);
		if (!vma)
			break;
		vma_learn_faults(mm, vma);
		if (may_stop(txn, vma, cur, &in_doubt)) {
			/* Nobody was asked. */
			if (!call->stopped)
				txn_doubt(txn, cur, end);
			break;
		}
		wanted_flags(mm, vma, call, &want);
		if (refused(vma, &want, call->ret))
			break;
		if (want.vm_flags == vma->vm_flags &&
		    want.vm_flags_unknown == vma->vm_flags_unknown)
			continue;
		account_flag(mm, vma, &want);
		until = vma->vm_end < end ? vma->vm_end : end;
		if (vma_modify(txn, vma, cur, until, &want, &vma)) {
			txn_doubt_rest(txn, start, end);
			break;
		}
	}
	return 0;
}
