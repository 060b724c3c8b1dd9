/* SPDX-License-Identifier: MIT */
/*
 * A vma as others see it: its name in maps, its line, and why it doesn't continue the one below.
 */
#include "match.h"
#include "vma.h"

static bool is_heap(const struct mm *mm, const struct vma *vma)
{
	if (mm->rules & MM_RULE_HEAP_STRICT)
		return vma->vm_start < mm->brk && vma->vm_end > mm->start_brk;
	return vma->vm_start <= mm->brk && vma->vm_end >= mm->start_brk;
}

const char *vma_name(const struct mm *mm, const struct vma *vma)
{
	if (vma_is_file(vma) || vma_is_kernel_special(vma))
		return vma->name ? vma->name : "";
	if (vma->name && !name_has_prefix(vma->name, "[anon"))
		return vma->name;
	if (mm->brk && is_heap(mm, vma))
		return "[heap]";
	if (vma->vm_start <= mm->start_stack && mm->start_stack <= vma->vm_end &&
	    mm->start_stack)
		return "[stack]";
	return vma->name ? vma->name : "";
}

void vma_describe(const struct mm *mm, const struct vma *vma, struct vma_desc *ret_desc)
{
	bool file = vma_is_file(vma);

	*ret_desc = (struct vma_desc) {
		.vm_start = vma->vm_start,
		.vm_end = vma->vm_end,
		.vm_flags = vma->vm_flags,
		.offset = file ? vma->vm_pgoff << MM_PAGE_SHIFT : 0,
		.dev_major = vma->dev_major,
		.dev_minor = vma->dev_minor,
		.inode = vma->inode,
		.name = vma_name(mm, vma),
		.flags_known = VM_NOT_IN_MAPS & ~vma->vm_flags_unknown,
		.vm_flags_unknown = vma->vm_flags_unknown,
		.anon_vma = vma->anon_vma == ANON_VMA_PRESENT,
		.own = vma->own,
	};
}

enum vma_boundary vma_boundary(const struct mm *mm, const struct vma *vma)
{
	const struct vma *prev = vma->vm_prev;

	if (!vma_touches(prev, vma))
		return VMA_BOUNDARY_GAP;
	if ((prev->vm_flags ^ vma->vm_flags) & (VM_ACCESS_FLAGS | VM_SHARED | VM_MAYSHARE))
		return VMA_BOUNDARY_PERMS;
	if (match_file(prev, vma) == VERDICT_NO)
		return VMA_BOUNDARY_FILE;
	if ((prev->vm_flags | vma->vm_flags) & VM_SPECIAL)
		return VMA_BOUNDARY_SPECIAL;
	if (match_flags(prev, vma) == VERDICT_NO)
		return VMA_BOUNDARY_FLAGS;
	if (match_pgoff(prev, vma) == VERDICT_NO)
		return VMA_BOUNDARY_PGOFF;
	if (match_policy(prev, vma) == VERDICT_NO)
		return VMA_BOUNDARY_POLICY;
	if (match_uffd(prev, vma) < VERDICT_LIKELY)
		return VMA_BOUNDARY_FLAGS;
	if (match_name(prev, vma) == VERDICT_NO)
		return VMA_BOUNDARY_NAME;
	if (!verdict_is_taken(match_anon_vma(mm, prev, vma)))
		return VMA_BOUNDARY_ANON_VMA;
	if (match_pgoff(prev, vma) == VERDICT_UNLIKELY)
		return VMA_BOUNDARY_PGOFF;
	return VMA_BOUNDARY_UNTRIED;
}

const char *vma_boundary_name(enum vma_boundary why)
{
	static const char *const names[] = {
		[VMA_BOUNDARY_GAP] = "gap", [VMA_BOUNDARY_PERMS] = "perms",
		[VMA_BOUNDARY_FLAGS] = "flags", [VMA_BOUNDARY_FILE] = "file",
		[VMA_BOUNDARY_PGOFF] = "pgoff", [VMA_BOUNDARY_ANON_VMA] = "anon_vma",
		[VMA_BOUNDARY_POLICY] = "policy", [VMA_BOUNDARY_NAME] = "name",
		[VMA_BOUNDARY_SPECIAL] = "special", [VMA_BOUNDARY_UNTRIED] = "untried",
	};

	if ((unsigned int)why >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[why];
}
