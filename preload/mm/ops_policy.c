/* SPDX-License-Identifier: MIT */
/*
 * mbind(2) and set_mempolicy_home_node(2).
 *
 * The nodes of a policy lie behind a pointer and are not known. A policy id is made of what is:
 *
 *     63     48 47     40 39              0
 *    ┌─────────┬─────────┬─────────────────┐
 *    │ mode    │ home+1  │ serial          │   serial 0: no nodes, fully known
 *    └─────────┴─────────┴─────────────────┘
 *
 * Ids that differ in the serial only may or may not be equal policies (match_policy).
 */
#include "ops.h"

#include <errno.h>
#include <linux/mempolicy.h>

#include "match.h"
#include "merge.h"
#include "vma.h"

#define POLICY_MODE_SHIFT 48
#define POLICY_HOME_SHIFT 40
/* Bits 14 and 15 of the mode argument are flags: keep them apart from MPOL_LOCAL and friends. */
#define POLICY_LOCAL ((uint64_t)MPOL_LOCAL << POLICY_MODE_SHIFT)
#ifndef MPOL_PREFERRED_MANY
#define MPOL_PREFERRED_MANY 5
#endif

static int set_policy(struct mm_txn *txn, struct vma **vma, uint64_t start, uint64_t end,
		      uint64_t policy_id)
{
	struct vma want = **vma;
	enum verdict same;

	want.policy_id = policy_id;
	same = match_policy(*vma, &want);
	if (verdict_is_doubtful(same))
		txn_doubt(txn, (*vma)->vm_start, (*vma)->vm_end);
	if (!verdict_is_taken(same))
		return vma_modify(txn, *vma, start, end, &want, vma);
	return 0;
}

int op_mbind(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]);
	uint64_t mode = call->arg[2] & 0xffff, policy_id;
	struct vma *vma;

	if (!span_is_sane(start, end))
		return 0;
	/* Too many vmas: it may have split the first at its start, and kept that. */
	if (call->ret == -ENOMEM && mm->map_count + 2 >= mm->max_map_count)
		txn_doubt(txn, start, end);
	if (call->ret == -EINVAL && mm_is_indivisible(mm, start, end))
		txn_doubt(txn, start, end);
	else if (call->ret && !(call->ret == -EIO && (call->arg[5] & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))))
		return 0;
	if (mode == MPOL_DEFAULT)
		policy_id = 0;
	else if (mode == MPOL_LOCAL || (mode == MPOL_PREFERRED && (!call->arg[3] || !call->arg[4])))
		policy_id = POLICY_LOCAL;
	else
		policy_id = policy_renew(mm, mode << POLICY_MODE_SHIFT);

	for (uint64_t cur = start; cur < end; cur = vma->vm_end) {
		vma = find_vma_intersection(mm, cur, end);
		if (!vma)
			break;
		if (vma->vm_start > cur)
			cur = vma->vm_start;
		vma_learn_faults(mm, vma);
		if (set_policy(txn, &vma, cur, vma->vm_end < end ? vma->vm_end : end, policy_id))
			break;
	}
	return 0;
}

/* Only BIND and PREFERRED_MANY have a home; vmas without a policy are passed over. */
int op_home_node(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t start = call->arg[0], end = start + page_align(call->arg[1]);
	uint64_t home = (call->arg[2] + 1) & 0xff;
	struct vma *vma;

	if (!span_is_sane(start, end) || (call->ret && call->ret != -EOPNOTSUPP))
		return 0;
	for (uint64_t cur = start; cur < end; cur = vma->vm_end) {
		uint64_t policy_id, mode;

		vma = find_vma_intersection(mm, cur, end);
		if (!vma)
			break;
		if (vma->vm_start > cur)
			cur = vma->vm_start;
		policy_id = vma->policy_id;
		if (!policy_id)
			continue;
		mode = (policy_id >> POLICY_MODE_SHIFT) & 0x1fff;
		if (mode != MPOL_BIND && mode != MPOL_PREFERRED_MANY)
			break;
		policy_id &= ~(0xffull << POLICY_HOME_SHIFT);
		policy_id |= home << POLICY_HOME_SHIFT;
		vma_learn_faults(mm, vma);
		if (set_policy(txn, &vma, cur, vma->vm_end < end ? vma->vm_end : end, policy_id))
			break;
	}
	return 0;
}
