/* SPDX-License-Identifier: MIT */
/*
 * Lookup by address. The last hit is remembered (mmap_cache), as the kernel did when its tree was
 * a red-black one; programs ask for the same neighbourhood again and again.
 */
#include "tree.h"

static struct vma *search(const struct mm *mm, uint64_t addr)
{
	struct vma *vma = mm->root, *found = NULL;

	while (vma) {
		if (vma->vm_end > addr) {
			found = vma;
			if (vma->vm_start <= addr)
				break;
			vma = vma->node.left;
		} else {
			vma = vma->node.right;
		}
	}
	return found;
}

struct vma *find_vma(struct mm *mm, uint64_t addr)
{
	struct vma *vma = mm->mmap_cache;

	mm->find_vma_calls++;
	if (vma && vma->vm_end > addr && (!vma->vm_prev || vma->vm_prev->vm_end <= addr)) {
		mm->find_vma_cache_hits++;
		return vma;
	}
	vma = search(mm, addr);
	if (vma)
		mm->mmap_cache = vma;
	return vma;
}

struct vma *find_vma_prev(struct mm *mm, uint64_t addr, struct vma **ret_prev)
{
	struct vma *vma = find_vma(mm, addr);

	*ret_prev = vma ? vma->vm_prev : mm->last;
	return vma;
}

struct vma *find_vma_intersection(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma(mm, start);

	return vma && vma->vm_start < end ? vma : NULL;
}

struct vma *vma_lookup(struct mm *mm, uint64_t addr)
{
	struct vma *vma = find_vma(mm, addr);

	return vma && vma->vm_start <= addr ? vma : NULL;
}
