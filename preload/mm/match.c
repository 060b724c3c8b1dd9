/* SPDX-License-Identifier: MIT */
/*
 * The merge predicate: see match.h. The rules are those of is_mergeable_vma,
 * is_mergeable_anon_vma and can_vma_merge_before/after/right in the kernel's mm/vma.c.
 */
#include "match.h"

#include "vma.h"

enum verdict match_flags(const struct vma *a, const struct vma *b)
{
	uint64_t unknown = (a->vm_flags_unknown | b->vm_flags_unknown) & ~VM_IGNORE_MERGE;
	uint64_t differ = (a->vm_flags ^ b->vm_flags) & ~VM_IGNORE_MERGE;

	if (differ & ~unknown)
		return VERDICT_NO;
	if (!unknown)
		return VERDICT_YES;
	return differ ? VERDICT_UNLIKELY : VERDICT_LIKELY;
}

enum verdict match_file(const struct vma *a, const struct vma *b)
{
	if (a->file_id == b->file_id)
		return VERDICT_YES;
	if (!a->file_id || !b->file_id || a->has_close || b->has_close)
		return VERDICT_NO;
	if (a->inode != b->inode || a->dev_major != b->dev_major || a->dev_minor != b->dev_minor)
		return VERDICT_NO;
	return VERDICT_LIKELY;
}

static unsigned int pgoff_candidates(const struct vma *vma, uint64_t ret_pgoff[2])
{
	ret_pgoff[0] = vma->vm_pgoff;
	ret_pgoff[1] = vma->vm_start >> MM_PAGE_SHIFT;
	return vma->pgoff_state == VM_PGOFF_EITHER && ret_pgoff[0] != ret_pgoff[1] ? 2 : 1;
}

enum verdict match_pgoff(const struct vma *below, const struct vma *above)
{
	uint64_t pages = vma_pages(below), lo[2], hi[2];
	unsigned int nr_lo = pgoff_candidates(below, lo), nr_hi = pgoff_candidates(above, hi);
	bool belief = lo[0] + pages == hi[0], possible = false;

	if (below->pgoff_state == VM_PGOFF_ANY || above->pgoff_state == VM_PGOFF_ANY)
		return belief ? VERDICT_LIKELY : VERDICT_UNLIKELY;
	if (nr_lo == 1 && nr_hi == 1)
		return belief ? VERDICT_YES : VERDICT_NO;
	for (unsigned int i = 0; i < nr_lo; i++)
		for (unsigned int j = 0; j < nr_hi; j++)
			possible |= lo[i] + pages == hi[j];
	if (!possible)
		return VERDICT_NO;
	return belief ? VERDICT_LIKELY : VERDICT_UNLIKELY;
}

enum verdict match_policy(const struct vma *a, const struct vma *b)
{
	if (a->policy_id == b->policy_id)
		return VERDICT_YES;
	if (!a->policy_id || !b->policy_id || (a->policy_id ^ b->policy_id) >> 40)
		return VERDICT_NO;
	return policy_known(a->policy_id) && policy_known(b->policy_id) ? VERDICT_NO :
									  VERDICT_LIKELY;
}

/* is_mergeable_vm_userfaultfd_ctx(); for the rest the flags stand, which differ with the context. */
enum verdict match_uffd(const struct vma *a, const struct vma *b)
{
	if (a->uffd_ctx == b->uffd_ctx || !a->uffd_ctx || !b->uffd_ctx)
		return VERDICT_YES;
	return uffd_ctx_fd(a->uffd_ctx) == uffd_ctx_fd(b->uffd_ctx) ? VERDICT_LIKELY :
								      VERDICT_UNLIKELY;
}

enum verdict match_name(const struct vma *a, const struct vma *b)
{
	bool given_a = a->name && a->name[0] == '[', given_b = b->name && b->name[0] == '[';

	/* Names of files follow the file; only names given to memory count. */
	if (a->name == b->name || (!given_a && !given_b))
		return VERDICT_YES;
	return VERDICT_NO;
}

enum verdict match_anon_vma(const struct mm *mm, const struct vma *target,
			    const struct vma *source)
{
	enum verdict unless_present;
	const struct vma *has;

	if (target->anon_vma == ANON_VMA_NONE && source->anon_vma == ANON_VMA_NONE)
		return VERDICT_YES;
	if (target->anon_vma != ANON_VMA_NONE && source->anon_vma != ANON_VMA_NONE)
		return match_anon_vma_both(target, source);

	has = target->anon_vma != ANON_VMA_NONE ? target : source;
	unless_present = has->anon_vma == ANON_VMA_PRESENT ? VERDICT_NO : VERDICT_UNLIKELY;
	if (has->anon_vma_forked == ANON_VMA_FORKED_YES)
		return unless_present;
	if (has->anon_vma_forked == ANON_VMA_FORKED_MAYBE)
		return VERDICT_UNLIKELY;
	if (has == source && !(mm->rules & MM_RULE_MERGE_FAULTED))
		return unless_present;
	return VERDICT_YES;
}

enum verdict match_anon_vma_both(const struct vma *prev, const struct vma *next)
{
	if (prev->anon_vma == ANON_VMA_NONE || next->anon_vma == ANON_VMA_NONE)
		return VERDICT_YES;
	if (prev->anon_vma_id != next->anon_vma_id)
		return VERDICT_UNLIKELY;
	if (prev->anon_vma == ANON_VMA_PRESENT && next->anon_vma == ANON_VMA_PRESENT)
		return VERDICT_YES;
	return VERDICT_LIKELY;
}

enum verdict match_all(const struct mm *mm, const struct vma *below, const struct vma *above,
		       const struct vma *target)
{
	enum verdict v;

	if ((below->vm_flags | above->vm_flags) & VM_SPECIAL)
		return VERDICT_NO;
	if (!(mm->rules & MM_RULE_CLOSE_BOUNDARY) && (below->has_close || above->has_close))
		return VERDICT_NO;
	v = verdict_and(match_flags(below, above), match_file(below, above));
	v = verdict_and(v, match_pgoff(below, above));
	v = verdict_and(v, match_policy(below, above));
	v = verdict_and(v, match_uffd(below, above));
	v = verdict_and(v, match_name(below, above));
	if (v == VERDICT_NO)
		return v;
	return verdict_and(v, match_anon_vma(mm, target, target == below ? above : below));
}
