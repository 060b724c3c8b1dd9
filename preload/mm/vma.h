/* SPDX-License-Identifier: MIT */
/*
 * What a vma is: questions answered from its own fields, without looking at its neighbours.
 */
#ifndef VMTRACE_MM_VMA_H
#define VMTRACE_MM_VMA_H

#include <string.h>

#include "vmtrace/mm.h"

#define VM_ACCESS_FLAGS	(VM_READ | VM_WRITE | VM_EXEC)
#define VM_MAYRWX	(VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)
#define VM_SPECIAL	(VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP)
#define VM_LOCKED_MASK	(VM_LOCKED | VM_LOCKONFAULT)
#define VM_UFFD_MASK	(VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR)
/* Bits that never keep two vmas apart (VM_IGNORE_MERGE). */
#define VM_IGNORE_MERGE	(VM_SOFTDIRTY | VM_MAYBE_GUARD)

/* What maps alone doesn't tell about a vma. */
#define VM_NOT_IN_MAPS \
	(~(VM_ACCESS_FLAGS | VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB) & ((1ull << 43) - 1))

#define MM_HUGE_PAGE_SIZE (2ull << 20)

/* A userfaultfd context by the descriptor it was registered with, and by the registration. */
static inline uint64_t uffd_ctx_new(int fd, uint64_t event)
{
	return (uint64_t)(uint32_t)(fd + 1) << 32 | (uint32_t)event;
}

static inline int uffd_ctx_fd(uint64_t ctx)
{
	return (int)(ctx >> 32) - 1;
}

static inline uint64_t page_align(uint64_t addr)
{
	return (addr + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1);
}

static inline uint64_t vma_pages(const struct vma *vma)
{
	return (vma->vm_end - vma->vm_start) >> MM_PAGE_SHIFT;
}

static inline bool name_has_prefix(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);

	return name && strlen(name) >= len && !memcmp(name, prefix, len);
}

/* Counted as data: is_data_mapping(). */
static inline bool vm_flags_is_data(uint64_t flags)
{
	return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE;
}

static inline bool vma_is_file(const struct vma *vma)
{
	return vma->file_id != 0;
}

static inline bool vma_is_shared(const struct vma *vma)
{
	return vma->vm_flags & (VM_SHARED | VM_MAYSHARE);
}

/* No vm_ops: private anonymous memory, and private mappings of /dev/zero. */
static inline bool vma_is_anonymous(const struct vma *vma)
{
	if (vma_is_shared(vma))
		return false;
	return !vma_is_file(vma) ||
	       (name_has_prefix(vma->name, "/dev/zero") && !vma->name[sizeof("/dev/zero") - 1]);
}

/* Lines such as [vdso]: installed by the kernel, with operations of their own. */
static inline bool vma_is_kernel_special(const struct vma *vma)
{
	return !vma_is_file(vma) && name_has_prefix(vma->name, "[v");
}

/* vm_ops->may_split: special mappings never, hugetlbfs between huge pages only. */
static inline bool vma_may_split(const struct vma *vma, uint64_t addr)
{
	if (vma_is_kernel_special(vma))
		return false;
	return !(vma->vm_flags & VM_HUGETLB) || !(addr & (MM_HUGE_PAGE_SIZE - 1));
}

static inline bool vma_supports_mlock(const struct vma *vma)
{
	return !(vma->vm_flags & (VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE));
}

static inline bool vma_may_ksm(const struct vma *vma)
{
	return !(vma->vm_flags &
		 (VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE));
}

/* What PR_SET_MEMORY_MERGE adds to the flags of a new mapping. */
static inline uint64_t ksm_flag(const struct mm *mm, const struct vma *vma)
{
	return mm->ksm_merge_any && vma_may_ksm(vma) ? VM_MERGEABLE : 0;
}

static inline bool vma_touches(const struct vma *below, const struct vma *above)
{
	return below && above && below->vm_end == above->vm_start;
}

/* Lowest address another mapping should keep off: stacks have a guard gap below them. */
static inline uint64_t vm_start_gap(const struct mm *mm, const struct vma *vma)
{
	uint64_t gap = mm->stack_guard_gap ? mm->stack_guard_gap : 256 * MM_PAGE_SIZE;

	if (!(vma->vm_flags & VM_GROWSDOWN))
		return vma->vm_start;
	return vma->vm_start > gap ? vma->vm_start - gap : 0;
}

/**
 * vma_learn_faults() - Admit that the program may have touched @vma since it was looked at last.
 *
 * Turns ANON_VMA_NONE into ANON_VMA_UNKNOWN where a page fault could have made an anon_vma: in
 * private memory that is writable, or that is anonymous, accessible and large enough for the huge
 * zero page. Call it before a rule asks for the anon_vma, and before access rights change.
 */
void vma_learn_faults(struct mm *mm, struct vma *vma);

/** vma_learn_possible() - @vma may have an anon_vma now, whatever its access rights are. */
void vma_learn_possible(struct mm *mm, struct vma *vma);

/** vma_learn_present() - @vma is known to have an anon_vma. */
void vma_learn_present(struct mm *mm, struct vma *vma);

/**
 * vma_learn_merged() - @dst, linked, is about to take over (part of) @src: join what is known.
 * @doubtful: they only may be one. Then what is known of one side isn't taken for the other's, for
 *            the two may have to be split again.
 */
void vma_learn_merged(struct mm *mm, struct vma *dst, const struct vma *src, bool doubtful);

#endif
