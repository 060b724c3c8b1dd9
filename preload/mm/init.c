/* SPDX-License-Identifier: MIT */
/* An address space begins: mm_init() and mm_insert(). Users are counted here, too. */
#include "init.h"

#include <errno.h>
#include <string.h>

#include "names.h"
#include "vma.h"

void mm_init(struct mm *mm, const struct mm_alloc *mem)
{
	memset(mm, 0, sizeof(*mm));
	mm->mem = mem;
	mm->rules = MM_RULES_DEFAULT;
	mm->mm_users = 1;
	mm->mm_count = 1;
	mm->max_map_count = 65530;
	mm->task_size = 0x7ffffffff000ull;
	mm->mmap_min_addr = 65536;
	mm->rlimit_memlock = mm->rlimit_data = mm->rlimit_as = mm->rlimit_stack = ~0ull;
}

void mmget(struct mm *mm)
{
	mm->mm_users++;
}

bool mmput(struct mm *mm)
{
	if (mm->mm_users > 0)
		mm->mm_users--;
	return mm->mm_users == 0;
}

/* The flags maps doesn't show, guessed from what it does show. */
static void guess_flags(struct vma *vma)
{
	bool private = !vma_is_shared(vma);

	vma->vm_flags |= VM_MAYRWX;
	vma->vm_flags_unknown = VM_NOT_IN_MAPS;
	if (vma->vm_flags & VM_SHARED) {
		vma->vm_flags |= VM_MAYSHARE;
		vma->vm_flags_unknown |= VM_SHARED;
	}
	if (private && (vma->vm_flags & VM_WRITE))
		vma->vm_flags |= VM_ACCOUNT;
	if (vma_is_kernel_special(vma))
		vma->vm_flags |= VM_DONTEXPAND;
}

/* Pieces of one SysV attachment lie where it was attached, and have its file in common. */
static void find_attachment(struct mm *mm, struct vma *vma)
{
	uint64_t base = vma->vm_start - (vma->vm_pgoff << MM_PAGE_SHIFT);
	struct vma *other = find_vma(mm, base);

	for (; other && other->vm_start < vma->vm_start; other = other->vm_next) {
		if (other->has_close && other->inode == vma->inode &&
		    other->vm_start - (other->vm_pgoff << MM_PAGE_SHIFT) == base) {
			vma->file_id = other->file_id;
			vma->file_bytes = other->file_bytes;
			return;
		}
	}
}

int vma_from_desc(struct mm *mm, struct vma *vma, const struct vma_desc *desc)
{
	const char *name = desc->name && desc->name[0] ? desc->name : NULL;
	bool pseudo = name && name[0] == '[', stack = name_has_prefix(name, "[stack]");
	bool file = desc->inode || desc->dev_major || desc->dev_minor || (name && !pseudo);

	memset(vma, 0, sizeof(*vma));
	vma->vm_start = desc->vm_start;
	vma->vm_end = desc->vm_end;
	vma->vm_flags = desc->vm_flags;
	vma->dev_major = desc->dev_major;
	vma->dev_minor = desc->dev_minor;
	vma->inode = desc->inode;
	vma->own = desc->own;
	vma->has_close = name_has_prefix(name, "/SYSV");
	vma->is_hugetlb = name_has_prefix(name, "/anon_hugepage");
	vma->vm_pgoff = (file ? desc->offset : desc->vm_start) >> MM_PAGE_SHIFT;
	if (file)
		vma->file_id = ++mm->next_file_id;
	if (vma->has_close)
		find_attachment(mm, vma);
	/* exec moves the stack after it was written to. */
	if (stack)
		vma->pgoff_state = VM_PGOFF_ANY;
	if (stack || name_has_prefix(name, "[heap]"))
		name = NULL;
	if (mm_intern(mm, name, &vma->name))
		return -ENOMEM;
	if (desc->flags_known)
		vma->vm_flags_unknown = desc->vm_flags_unknown;
	else
		guess_flags(vma);
	if (stack && !desc->flags_known)
		vma->vm_flags |= VM_GROWSDOWN;
	if (vma->is_hugetlb)
		vma->vm_flags |= VM_HUGETLB | VM_DONTEXPAND;
	if (vma_is_shared(vma))
		return 0;
	vma->anon_vma_id = ++mm->next_anon_vma_id;
	vma->anon_vma = desc->anon_vma ? ANON_VMA_PRESENT : ANON_VMA_UNKNOWN;
	/* Pages that are gone may have left one behind; what came after the fork has a simple chain. */
	if (mm->is_inherited)
		vma->anon_vma_forked = desc->anon_vma ? ANON_VMA_FORKED_YES : ANON_VMA_FORKED_MAYBE;
	return 0;
}

int mm_insert(struct mm *mm, const struct vma_desc *desc)
{
	struct mm_effect effect = { 0 };
	struct mm_txn txn = { .mm = mm, .effect = &effect };
	uint64_t mask = MM_PAGE_SIZE - 1;
	struct vma model, *prev, *next;

	if ((desc->vm_start | desc->vm_end) & mask || desc->vm_start >= desc->vm_end)
		return -EINVAL;
	next = find_vma_prev(mm, desc->vm_start, &prev);
	if (next && next->vm_start < desc->vm_end)
		return -EINVAL;
	if (txn_reserve(mm, 1) || vma_from_desc(mm, &model, desc))
		return -ENOMEM;
	vma_add(&txn, &model, prev);
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	if (mm->map_count > mm->map_count_peak)
		mm->map_count_peak = mm->map_count;
	return 0;
}
