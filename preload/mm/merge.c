/* SPDX-License-Identifier: MIT */
/*
 * Merging and splitting: see merge.h. Follows vma_merge_new_range, vma_merge_existing_range and
 * vma_modify of the kernel's mm/vma.c.
 *
 * Where a verdict is in doubt the likelier outcome is taken, and the range is reported.
 */
#include "merge.h"

#include <errno.h>

#include "match.h"
#include "vma.h"

/* Whether a range joins its neighbours, and where that is in doubt. */
struct sides {
	struct vma *prev, *next;	/* NULL: doesn't touch, or isn't asked */
	enum verdict left, right;
	bool join_left, join_right;
};

/* Right is joined together with left only if all three can be one. */
static void settle(struct sides *s)
{
	s->join_left = verdict_is_taken(s->left);
	if (s->right != VERDICT_NO && s->join_left) {
		s->right = verdict_and(s->right, match_anon_vma_both(s->prev, s->next));
		/* Joining next would delete it, which a close hook forbids. */
		if (s->next->has_close)
			s->right = VERDICT_NO;
	}
	s->join_right = verdict_is_taken(s->right);
}

/* The upper one first, and the lower one only if it can be one with the upper's anon_vma. */
static void settle_upper(const struct mm *mm, struct sides *s)
{
	s->join_right = verdict_is_taken(s->right);
	if (s->left != VERDICT_NO && s->join_right)
		s->left = verdict_and(s->left, match_anon_vma(mm, s->prev, s->next));
	s->join_left = verdict_is_taken(s->left);
}

/* Note at the boundaries that stand, and in the report, what was in doubt. */
static void report(struct mm_txn *txn, const struct sides *s, uint64_t start, uint64_t end,
		   struct vma *vma)
{
	bool left = verdict_is_doubtful(s->left), right = verdict_is_doubtful(s->right);

	if (vma->vm_start == start)
		vma->uncertain = left;
	if (s->next && !s->join_right)
		s->next->uncertain = right;
	if (left)
		txn_doubt(txn, s->join_left ? start : s->prev->vm_start, end);
	if (right)
		txn_doubt(txn, start, s->join_right ? end : s->next->vm_end);
}

struct vma *vma_place(struct mm_txn *txn, const struct vma *model, enum merge_mode mode,
		      const struct vma *apart)
{
	struct mm *mm = txn->mm;
	struct sides s = { 0 };
	uint64_t start = model->vm_start, end = model->vm_end;
	struct vma *next, *prev, *vma;

	next = find_vma_prev(mm, start, &prev);
	if (vma_touches(prev, model) && prev != apart && !(model->vm_flags & VM_SPECIAL)) {
		s.prev = prev;
		vma_learn_faults(mm, prev);
		s.left = mode == MERGE_EXTEND ? VERDICT_YES : match_all(mm, prev, model, prev);
	}
	if (vma_touches(model, next) && next != apart && mode != MERGE_LEFT &&
	    !(model->vm_flags & VM_SPECIAL)) {
		s.next = next;
		vma_learn_faults(mm, next);
		s.right = match_all(mm, model, next, next);
	}
	if (mode == MERGE_NEW && (mm->rules & MM_RULE_MERGE_UPPER))
		settle_upper(mm, &s);
	else
		settle(&s);

	if (s.join_left) {
		vma = prev;
		vma_learn_merged(mm, vma, model, verdict_is_doubtful(s.left));
		if (s.join_right) {
			vma_learn_merged(mm, vma, next, verdict_is_doubtful(s.right));
			end = next->vm_end;
			vma_del(txn, next);
		}
		vma_set_range(txn, vma, vma->vm_start, end);
	} else if (s.join_right) {
		vma = next;
		vma_learn_merged(mm, vma, model, verdict_is_doubtful(s.right));
		vma_set_range(txn, vma, start, vma->vm_end);
	} else {
		vma = vma_add(txn, model, prev);
	}
	report(txn, &s, start, end, vma);
	return vma;
}

static void look_around(struct mm *mm, struct sides *s, struct vma *vma, const struct vma *part)
{
	if (part->vm_flags & VM_SPECIAL)
		return;
	if (part->vm_start == vma->vm_start && vma_touches(vma->vm_prev, vma)) {
		s->prev = vma->vm_prev;
		vma_learn_faults(mm, s->prev);
		s->left = match_all(mm, s->prev, part, s->prev);
	}
	if (part->vm_end == vma->vm_end && vma_touches(vma, vma->vm_next)) {
		s->next = vma->vm_next;
		vma_learn_faults(mm, s->next);
		s->right = match_all(mm, part, s->next, s->next);
	}
	/* A merge of the whole would delete @vma. */
	if (part->vm_start == vma->vm_start && part->vm_end == vma->vm_end && vma->has_close)
		s->left = s->right = VERDICT_NO;
}

/* The part becomes one with its neighbours; what is left of @vma shrinks or goes. */
static struct vma *join(struct mm_txn *txn, const struct sides *s, struct vma *vma,
			const struct vma *part)
{
	bool whole = part->vm_start == vma->vm_start && part->vm_end == vma->vm_end;
	uint64_t end = part->vm_end, start = part->vm_start;
	struct vma *target = s->join_left ? s->prev : s->next;

	vma_learn_merged(txn->mm, target, part,
			 verdict_is_doubtful(s->join_left ? s->left : s->right));
	if (s->join_left && s->join_right) {
		vma_learn_merged(txn->mm, target, s->next, verdict_is_doubtful(s->right));
		end = s->next->vm_end;
		vma_del(txn, s->next);
	}
	if (whole)
		vma_del(txn, vma);
	else if (s->join_left)
		vma_set_range(txn, vma, end, vma->vm_end);
	else
		vma_set_range(txn, vma, vma->vm_start, start);
	if (s->join_left)
		vma_set_range(txn, target, target->vm_start, end);
	else
		vma_set_range(txn, target, start, target->vm_end);
	return target;
}

/* A call that has worked was not refused, so where the model thinks it was, something was joined. */
static int split_error(const struct mm_txn *txn, const struct vma *vma, uint64_t addr)
{
	if (txn->call && !txn->call->ret)
		return 0;
	if (txn->mm->map_count >= txn->mm->max_map_count)
		return -ENOMEM;
	return vma_may_split(vma, addr) ? 0 : -EINVAL;
}

/* No split. If a neighbour may have been joined, none was needed. */
static void refuse(struct mm_txn *txn, const struct sides *s, uint64_t start, uint64_t end)
{
	if (verdict_is_doubtful(s->left))
		txn_doubt(txn, s->prev->vm_start, end);
	if (verdict_is_doubtful(s->right))
		txn_doubt(txn, start, s->next->vm_end);
}

int vma_modify(struct mm_txn *txn, struct vma *vma, uint64_t start, uint64_t end,
	       const struct vma *want, struct vma **ret_vma)
{
	struct mm *mm = txn->mm;
	struct sides s = { 0 };
	struct vma part;
	int err;

	vma_learn_faults(mm, vma);
	part = *vma;
	part.vm_start = start;
	part.vm_end = end;
	part.vm_pgoff += (start - vma->vm_start) >> MM_PAGE_SHIFT;
	part.vm_flags = want->vm_flags;
	part.vm_flags_unknown = want->vm_flags_unknown;
	part.policy_id = want->policy_id;
	part.uffd_ctx = want->uffd_ctx;
	part.name = want->name;

	look_around(mm, &s, vma, &part);
	settle(&s);
	if (s.join_left || s.join_right) {
		*ret_vma = join(txn, &s, vma, &part);
		report(txn, &s, start, end, *ret_vma);
		return 0;
	}
	if (vma->vm_start < start) {
		err = split_error(txn, vma, start);
		if (err) {
			refuse(txn, &s, start, end);
			return err;
		}
		vma = vma_split(txn, vma, start);
		vma->uncertain = false;
	}
	if (vma->vm_end > end) {
		err = split_error(txn, vma, end);
		if (err) {
			refuse(txn, &s, start, end);
			return err;
		}
		vma_split(txn, vma, end)->uncertain = false;
	}
	vma_set_flags(txn, vma, want->vm_flags);
	vma->vm_flags_unknown = want->vm_flags_unknown;
	vma->policy_id = want->policy_id;
	vma->uffd_ctx = want->uffd_ctx;
	vma->name = want->name;
	report(txn, &s, start, end, vma);
	*ret_vma = vma;
	return 0;
}
