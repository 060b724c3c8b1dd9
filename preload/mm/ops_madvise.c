/* SPDX-License-Identifier: MIT */
/*
 * madvise(2) and PR_SET_VMA: the walk goes on over holes (and then fails with ENOMEM), and stops
 * at any other error. Most advice changes no vma.
 */
#include "ops_madvise.h"

#include <errno.h>
#include <sys/mman.h>

#include "merge.h"
#include "ops.h"
#include "vma.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define MADV_GUARD_INSTALL_ 102

uint64_t madvise_flags(const struct vma *vma, uint64_t advice)
{
	uint64_t flags = vma->vm_flags;

	switch (advice) {
	case MADV_NORMAL:
		return flags & ~(VM_RAND_READ | VM_SEQ_READ);
	case MADV_SEQUENTIAL:
		return (flags & ~VM_RAND_READ) | VM_SEQ_READ;
	case MADV_RANDOM:
		return (flags & ~VM_SEQ_READ) | VM_RAND_READ;
	case MADV_DONTFORK:
		return flags | VM_DONTCOPY;
	case MADV_DOFORK:
		return flags & ~VM_DONTCOPY;
	case MADV_WIPEONFORK:
		return flags | VM_WIPEONFORK;
	case MADV_KEEPONFORK:
		return flags & ~VM_WIPEONFORK;
	case MADV_DONTDUMP:
		return flags | VM_DONTDUMP;
	case MADV_DODUMP:
		return flags & ~VM_DONTDUMP;
	case MADV_HUGEPAGE:
		return (flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
	case MADV_NOHUGEPAGE:
		return (flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
	case MADV_MERGEABLE:
		return vma_may_ksm(vma) ? flags | VM_MERGEABLE : flags;
	case MADV_UNMERGEABLE:
		return flags & ~VM_MERGEABLE;
	default:
		return flags;
	}
}

/* Does the kernel refuse this vma with @err? */
static bool refused(const struct mm *mm, const struct vma *vma, uint64_t advice, int64_t err)
{
	if (err == -EINVAL) {
		switch (advice) {
		case MADV_DOFORK:
			return vma->vm_flags & (mm->rules & MM_RULE_RINGS_STAY ? VM_SPECIAL : VM_IO);
		case MADV_WIPEONFORK:
			return vma_is_file(vma) || (vma->vm_flags & VM_SHARED);
		case MADV_KEEPONFORK:
			return vma->vm_flags & VM_DROPPABLE;
		case MADV_DODUMP:
			return (vma->vm_flags & VM_DROPPABLE) ||
			       (!(vma->vm_flags & VM_HUGETLB) && (vma->vm_flags & VM_SPECIAL));
		default:
			return false;
		}
	}
	/* Sealed anonymous memory may not be thrown away by who can't write to it. */
	if (err == -EPERM)
		return (vma->vm_flags & (VM_SEALED | VM_WRITE)) == VM_SEALED &&
		       (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK) &&
		       vma_is_anonymous(vma);
	return false;
}

static bool explained(struct mm *mm, uint64_t start, uint64_t end, uint64_t advice, int64_t err)
{
	struct vma *vma = find_vma(mm, start);

	if (!err || err == -ENOMEM || err == -EAGAIN)
		return true;
	for (; vma && vma->vm_start < end; vma = vma->vm_next)
		if (refused(mm, vma, advice, err))
			return true;
	return err == -EINVAL && mm_is_indivisible(mm, start, end);
}

/* Advice that fills or guards pages tells something about anon_vmas, even where it fails. */
static void learn_populated(struct mm_txn *txn, uint64_t start, uint64_t end, uint64_t advice)
{
	struct vma *vma = find_vma(txn->mm, start);
	bool done = !txn->call->ret;

	if (advice != MADV_POPULATE_WRITE && advice != MADV_GUARD_INSTALL_)
		return;
	for (; vma && vma->vm_start < end; vma = vma->vm_next) {
		if (done && (advice == MADV_POPULATE_WRITE || vma_is_anonymous(vma)))
			vma_learn_present(txn->mm, vma);
		else if (advice == MADV_GUARD_INSTALL_)
			vma_learn_possible(txn->mm, vma);
	}
}

void madvise_walk(struct mm_txn *txn, uint64_t start, uint64_t end, madvise_visit visit,
		  const void *arg)
{
	struct vma *vma;

	for (uint64_t cur = start; cur < end; cur = vma->vm_end) {
		struct vma want;
		uint64_t until;

		vma = find_vma_intersection(txn->mm, cur, end);
		if (!vma)
			return;
		if (vma->vm_start > cur)
			cur = vma->vm_start;
		vma_learn_faults(txn->mm, vma);
		want = *vma;
		if (!visit(txn, vma, &want, arg))
			return;
		if (want.vm_flags == vma->vm_flags && want.name == vma->name)
			continue;
		until = vma->vm_end < end ? vma->vm_end : end;
		if (vma_modify(txn, vma, cur, until, &want, &vma)) {
			txn_doubt_rest(txn, start, end);
			return;
		}
	}
}

static bool visit_advice(struct mm_txn *txn, const struct vma *vma, struct vma *want,
			 const void *arg)
{
	uint64_t advice = *(const uint64_t *)arg;

	if (txn->call->ret && refused(txn->mm, vma, advice, txn->call->ret))
		return false;
	want->vm_flags = madvise_flags(vma, advice);
	want->vm_flags_unknown &= ~(want->vm_flags ^ vma->vm_flags);
	return true;
}

int op_madvise(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]);
	uint64_t advice = call->arg[2];
	struct vma probe = { 0 };

	if (!span_is_sane(start, end))
		return 0;
	learn_populated(txn, start, end, advice);
	if (madvise_flags(&probe, advice) == 0) {
		probe.vm_flags = ~0ull;
		if (madvise_flags(&probe, advice) == ~0ull)
			return 0;
	}
	if (!explained(txn->mm, start, end, advice, call->ret)) {
		/* A kernel without this advice says so at once. */
		if (call->ret != -EINVAL)
			txn_doubt(txn, start, end);
		return 0;
	}
	madvise_walk(txn, start, end, visit_advice, &advice);
	return 0;
}

/*
 * One range after the other up to the first error (vector_madvise); the result is how many bytes
 * came before it. Others may be advised only in ways that change no vma, oneself in any (6.13+).
 */
int op_process_madvise(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	uint64_t done = call->ret > 0 ? (uint64_t)call->ret : 0;
	struct mm_call one = *call;
	int err = 0;

	txn->call = &one;
	one.op = MM_MADVISE;
	one.arg[2] = call->arg[3];
	for (size_t i = 0; i < call->nr_ranges && !err; i++) {
		uint64_t bytes = call->ranges[i].end - call->ranges[i].start;
		bool failed = call->ret < 0 || bytes > done;

		one.arg[0] = call->ranges[i].start;
		one.arg[1] = bytes;
		/* Behind others the error isn't told: a hole is the likeliest. */
		one.ret = !failed ? 0 : call->ret < 0 ? call->ret : -ENOMEM;
		err = txn_reserve(txn->mm, TXN_NODES);
		if (!err)
			err = op_madvise(txn);
		if (failed && call->ret > 0 && range_is_sane(txn->mm, one.arg[0], one.arg[0] + bytes))
			txn_doubt(txn, one.arg[0], one.arg[0] + bytes);
		if (failed)
			break;
		done -= bytes;
	}
	txn->call = call;
	return err;
}
