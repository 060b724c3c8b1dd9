/* SPDX-License-Identifier: MIT */
/*
 * Where the kernel would put a mapping: the highest hole below mmap_base that is large enough,
 * found by the largest-gap augmentation (arch_get_unmapped_area_topdown, unmapped_area_topdown).
 */
#include <linux/mman.h>
#include <sys/mman.h>

#include "tree.h"
#include "vma.h"

#define LOW_32BIT 0x40000000ull
/* What lies above is for those who ask for it by a hint (5-level page tables). */
#define DEFAULT_MAP_WINDOW 0x7ffffffff000ull

struct area {
	uint64_t low, high;	/* the hole's part within [low, high) counts */
	uint64_t len;		/* room needed */
};

static uint64_t clip(const struct area *a, uint64_t *start, uint64_t *end)
{
	if (*start < a->low)
		*start = a->low;
	if (*end > a->high)
		*end = a->high;
	return *end > *start ? *end - *start : 0;
}

static bool hole_fits(const struct area *a, const struct vma *above)
{
	uint64_t start = above->vm_prev ? above->vm_prev->vm_end : 0, end = above->vm_start;

	return clip(a, &start, &end) >= a->len;
}

/* The vma right above the highest hole that fits, within @vma's subtree. */
static struct vma *highest(const struct area *a, struct vma *vma)
{
	struct vma *found;

	for (; vma && vma->node.max_gap >= a->len; vma = vma->node.left) {
		if (vma->vm_end < a->high) {
			found = highest(a, vma->node.right);
			if (found)
				return found;
		}
		if (hole_fits(a, vma))
			return vma;
		if (vma->vm_start <= a->low)
			return NULL;
	}
	return NULL;
}

static struct vma *lowest(const struct area *a, struct vma *vma)
{
	struct vma *found;

	for (; vma && vma->node.max_gap >= a->len; vma = vma->node.right) {
		if (vma->vm_start > a->low) {
			found = lowest(a, vma->node.left);
			if (found)
				return found;
		}
		if (hole_fits(a, vma))
			return vma;
		if (vma->vm_end >= a->high)
			return NULL;
	}
	return NULL;
}

static bool top_hole_fits(const struct mm *mm, const struct area *a)
{
	uint64_t start = mm->last ? mm->last->vm_end : 0, end = ~0ull;

	return clip(a, &start, &end) >= a->len;
}

/* A stack above keeps its guard gap free; what lies in it isn't looked at again. */
static uint64_t topdown(const struct mm *mm, uint64_t low, uint64_t high, uint64_t len,
			uint64_t align_mask)
{
	struct area a = { .low = low, .high = high, .len = len + align_mask };

	while (a.len >= len) {
		struct vma *above = NULL;
		uint64_t end, addr;

		if (!top_hole_fits(mm, &a)) {
			above = highest(&a, mm->root);
			if (!above)
				return 0;
		}
		end = above && above->vm_start < a.high ? above->vm_start : a.high;
		addr = (end - len) & ~align_mask;
		if (!above || !(above->vm_flags & VM_GROWSDOWN) || vm_start_gap(mm, above) >= end)
			return addr;
		a.high = vm_start_gap(mm, above);
		if (a.high <= a.low)
			return 0;
	}
	return 0;
}

static uint64_t bottomup(const struct mm *mm, uint64_t low, uint64_t high, uint64_t len,
			 uint64_t align_mask)
{
	struct area a = { .low = low, .high = high, .len = len + align_mask };

	while (a.len >= len) {
		struct vma *above = lowest(&a, mm->root);
		uint64_t start, addr;

		if (!above && !top_hole_fits(mm, &a))
			return 0;
		if (above)
			start = above->vm_prev ? above->vm_prev->vm_end : 0;
		else
			start = mm->last ? mm->last->vm_end : 0;
		if (start < a.low)
			start = a.low;
		addr = (start + align_mask) & ~align_mask;
		if (!above || !(above->vm_flags & VM_GROWSDOWN) ||
		    vm_start_gap(mm, above) >= addr + a.len - 1)
			return addr;
		a.low = above->vm_end;
	}
	return 0;
}

static bool hint_is_usable(struct mm *mm, uint64_t addr, uint64_t len)
{
	struct vma *vma;

	if (mm->task_size - len < addr)
		return false;
	if ((addr > DEFAULT_MAP_WINDOW) != (addr + len > DEFAULT_MAP_WINDOW))
		return false;
	vma = find_vma(mm, addr);
	return !vma || addr + len <= vm_start_gap(mm, vma);
}

static uint64_t search(struct mm *mm, uint64_t addr, uint64_t len, uint64_t align_mask)
{
	uint64_t low = mm->mmap_min_addr > MM_PAGE_SIZE ? mm->mmap_min_addr : MM_PAGE_SIZE;
	uint64_t more = addr > DEFAULT_MAP_WINDOW ? mm->task_size - DEFAULT_MAP_WINDOW : 0;
	uint64_t found;

	if (addr && hint_is_usable(mm, addr, len))
		return addr;
	found = topdown(mm, low, mm->mmap_base + more, len, align_mask);
	if (found || !mm->mmap_legacy_base)
		return found;
	return bottomup(mm, mm->mmap_legacy_base, DEFAULT_MAP_WINDOW + more, len, align_mask);
}

/* Large mappings start where a huge page may: the search asks for one more and rounds. */
static uint64_t search_aligned(struct mm *mm, uint64_t addr, uint64_t len, uint64_t offset)
{
	uint64_t size = MM_HUGE_PAGE_SIZE, first = (offset + size - 1) & ~(size - 1), sub, found;

	if (offset + len < first || offset + len - first < size || len + size < len)
		return 0;
	found = search(mm, addr, len + size, 0);
	if (!found || found == addr)
		return found;
	sub = (offset - found) & (size - 1);
	return sub || !(mm->rules & MM_RULE_THP_ALIGN) ? found + sub : found + size;
}

uint64_t get_unmapped_area(struct mm *mm, uint64_t addr, uint64_t len, uint64_t pgoff,
			   uint64_t flags, const struct vma_file *file)
{
	bool hugetlb = (file && file->is_hugetlb) || (flags & MAP_HUGETLB);
	bool anon = (flags & MAP_ANONYMOUS) && !(flags & MAP_SHARED);
	uint64_t found = 0;

	len = page_align(len);
	if (hugetlb)
		len = (len + MM_HUGE_PAGE_SIZE - 1) & ~(MM_HUGE_PAGE_SIZE - 1);
	if (!len || len > mm->task_size || !mm->mmap_base)
		return 0;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return addr;
	if (flags & MAP_32BIT)
		return addr && addr + len <= 2 * LOW_32BIT && hint_is_usable(mm, addr, len) ?
		       addr & ~(MM_PAGE_SIZE - 1) : 0;
	addr &= ~(MM_PAGE_SIZE - 1);
	if (addr && addr < mm->mmap_min_addr)
		addr = page_align(mm->mmap_min_addr);
	if (hugetlb)
		return search(mm, addr, len, MM_HUGE_PAGE_SIZE - 1);

	if (file && file->thp_align)
		found = search_aligned(mm, addr, len, pgoff << MM_PAGE_SHIFT);
	else if ((mm->rules & MM_RULE_THP_ALIGN) && !addr && anon &&
		 !(len & (MM_HUGE_PAGE_SIZE - 1)))
		found = search_aligned(mm, 0, len, 0);
	return found ? found : search(mm, addr, len, 0);
}
