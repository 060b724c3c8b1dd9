/* SPDX-License-Identifier: MIT */
/*
 * mmap(2) and remap_file_pages(2): what flags a new mapping gets, and where it goes.
 *
 * Order, as in __mmap_region: what is in the way is unmapped, then the range joins its neighbours
 * if it can (it has no anon_vma, policy or name yet), then it is populated.
 */
#include "ops.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>

#include "merge.h"
#include "names.h"
#include "vma.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MAP_TYPE
#define MAP_TYPE 0x0f
#endif

void vma_init_anon(struct mm_txn *txn, struct vma *model, uint64_t start, uint64_t end,
		   uint64_t flags)
{
	memset(model, 0, sizeof(*model));
	model->vm_start = start;
	model->vm_end = end;
	model->vm_flags = flags;
	model->vm_pgoff = start >> MM_PAGE_SHIFT;
	model->event = txn->call ? txn->call->event : 0;
	model->own = txn->call && txn->call->own;
}

int vma_set_file(struct mm *mm, struct vma *model, const struct vma_file *file)
{
	model->file_id = ++mm->next_file_id;
	if (!file)
		return 0;
	model->dev_major = file->dev_major;
	model->dev_minor = file->dev_minor;
	model->inode = file->inode;
	model->has_close = file->has_close;
	model->is_hugetlb = file->is_hugetlb;
	return mm_intern(mm, file->name, &model->name);
}

struct vma *mm_place_new(struct mm_txn *txn, struct vma *model, bool populate)
{
	struct mm *mm = txn->mm;
	struct vma *vma;

	if ((model->vm_flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) == VM_WRITE &&
	    !model->is_hugetlb)
		model->vm_flags |= VM_ACCOUNT;
	if (!(mm->rules & MM_RULE_KSM_LATE))
		model->vm_flags |= ksm_flag(mm, model);
	vma = vma_place(txn, model, MERGE_NEW, NULL);
	if (vma->vm_start == model->vm_start && vma->vm_end == model->vm_end &&
	    ksm_flag(mm, vma) & ~vma->vm_flags)
		vma_set_flags(txn, vma, vma->vm_flags | VM_MERGEABLE);
	/* Only now, so that a lock it can't have has kept it from joining another one. */
	if ((vma->vm_flags & VM_LOCKED_MASK) && !vma_supports_mlock(vma))
		vma_set_flags(txn, vma, vma->vm_flags & ~VM_LOCKED_MASK);

	/* Filling writable private memory writes to it. A file may be too short for that. */
	if ((vma->vm_flags & VM_LOCKED_MASK) == VM_LOCKED)
		populate = true;
	if (populate && (vma->vm_flags & VM_WRITE) && !(vma->vm_flags & VM_LOCKONFAULT) &&
	    !vma_is_shared(vma) && !vma_is_file(vma))
		vma_learn_present(mm, vma);
	txn->effect->vma = vma;
	return vma;
}

static uint64_t prot_flags(uint64_t prot)
{
	return prot & (VM_READ | VM_WRITE | VM_EXEC);
}

static uint64_t huge_page_bytes(uint64_t flags)
{
	unsigned int shift = (flags >> MAP_HUGE_SHIFT) & MAP_HUGE_MASK;

	return shift >= MM_PAGE_SHIFT && shift < 40 ? 1ull << shift : MM_HUGE_PAGE_SIZE;
}

/* vm_flags that follow from mmap's own arguments. */
static uint64_t mmap_flags(const struct mm *mm, uint64_t prot, uint64_t flags)
{
	uint64_t type = flags & MAP_TYPE;
	uint64_t vm_flags = prot_flags(prot) | VM_MAYRWX | mm->def_flags;

	if (flags & MAP_GROWSDOWN)
		vm_flags |= VM_GROWSDOWN;
	if (flags & MAP_LOCKED)
		vm_flags |= VM_LOCKED;
	if ((flags & MAP_STACK) && (mm->rules & MM_RULE_STACK_NOHUGEPAGE))
		vm_flags |= VM_NOHUGEPAGE;
	if (type == MAP_SHARED_VALIDATE && (flags & MAP_SYNC))
		vm_flags |= VM_SYNC;
	if (type == MAP_SHARED || type == MAP_SHARED_VALIDATE)
		vm_flags |= VM_SHARED | VM_MAYSHARE;
	if (type == MAP_DROPPABLE)
		vm_flags |= VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP;
	if ((flags & MAP_NORESERVE) && !(mm->rules & MM_RULE_OVERCOMMIT_NEVER))
		vm_flags |= VM_NORESERVE;
	return vm_flags;
}

static int mmap_model(struct mm_txn *txn, struct vma *model, uint64_t start, uint64_t end)
{
	static const struct vma_file shared_anon = { .name = "/dev/zero (deleted)" };
	const struct mm_call *call = txn->call;
	const struct vma_file *file = call->file;
	uint64_t flags = call->arg[3];
	bool hugetlb = (file && file->is_hugetlb) ||
		       ((flags & MAP_HUGETLB) && (flags & MAP_ANONYMOUS));

	vma_init_anon(txn, model, start, end, mmap_flags(txn->mm, call->arg[2], flags));
	if ((flags & MAP_ANONYMOUS) && !(model->vm_flags & VM_SHARED) && !hugetlb)
		goto out_pkey;

	if (!file && (flags & MAP_ANONYMOUS))
		file = &shared_anon;
	model->vm_pgoff = flags & MAP_ANONYMOUS ? 0 : call->arg[5] >> MM_PAGE_SHIFT;
	if (file && file->no_write && (model->vm_flags & VM_SHARED))
		model->vm_flags &= ~(VM_SHARED | VM_MAYWRITE);
	if (file && file->no_exec)
		model->vm_flags &= ~VM_MAYEXEC;
	if (vma_set_file(txn->mm, model, file))
		return -ENOMEM;
	if (hugetlb) {
		model->is_hugetlb = true;
		model->vm_flags |= VM_HUGETLB | VM_DONTEXPAND;
	}
out_pkey:
	/* Executable-only memory may get a protection key of its own. */
	if (call->arg[2] == PROT_EXEC && (txn->mm->rules & MM_RULE_PKEYS))
		model->vm_flags_unknown |= VM_PKEY_MASK;
	return 0;
}

/* Errors that are returned before anything is looked at. */
static bool error_is_early(int64_t err)
{
	return err == -EINVAL || err == -EBADF || err == -EACCES || err == -ENODEV ||
	       err == -EEXIST || err == -EOVERFLOW || err == -EAGAIN || err == -ENFILE ||
	       err == -EOPNOTSUPP || err == -ETXTBSY || err == -ENOSYS || err == -EINTR;
}

static bool exceeds(uint64_t limit, uint64_t pages, uint64_t more)
{
	return limit != ~0ull && pages + more > limit >> MM_PAGE_SHIFT;
}

bool mm_may_expand(const struct mm *mm, uint64_t flags, uint64_t pages)
{
	return !exceeds(mm->rlimit_as, mm->total_vm, pages) &&
	       !(vm_flags_is_data(flags) && exceeds(mm->rlimit_data, mm->data_vm, pages));
}

bool mm_map_over_limit(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	struct mm *mm = txn->mm;
	struct vma *vma = find_vma_intersection(mm, start, end);
	uint64_t overlap = 0;

	for (; vma && vma->vm_start < end; vma = vma->vm_next)
		overlap += (vma->vm_end < end ? vma->vm_end : end) -
			   (vma->vm_start > start ? vma->vm_start : start);
	if (!exceeds(mm->rlimit_as, mm->total_vm, (end - start - overlap) >> MM_PAGE_SHIFT))
		return false;
	vma = vma_lookup(mm, start);
	if (vma && vma->vm_start < start)
		vma_split(txn, vma, start);
	vma = vma_lookup(mm, end);
	if (vma && vma->vm_start < end)
		vma_split(txn, vma, end);
	return true;
}

/* hugetlbfs looks at the offset only after the range was cleared. */
static bool huge_offset_is_bad(const struct mm_call *call)
{
	uint64_t offset = call->arg[5], mask = MM_HUGE_PAGE_SIZE - 1;

	return call->ret == -EINVAL && call->file && call->file->is_hugetlb &&
	       (call->arg[3] & MAP_TYPE) && !(call->arg[0] & mask) && (offset & mask) &&
	       !(offset & (MM_PAGE_SIZE - 1));
}

/* A failed MAP_FIXED: the ends of the range may have been split before the refusal. */
static void mmap_failed(struct mm_txn *txn, uint64_t start, uint64_t end)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;

	if (!(call->arg[3] & MAP_FIXED) || !range_is_sane(mm, start, end) ||
	    !find_vma_intersection(mm, start, end))
		return;
	if (huge_offset_is_bad(call)) {
		mm_unmap(txn, start, end);
		txn_doubt(txn, start, end);
		return;
	}
	/* What can't be split is in the way, if it was not an argument that was refused before. */
	if (call->ret == -EINVAL && mm_unmap_fails(txn, start, end))
		txn_doubt(txn, start, end);
	if (error_is_early(call->ret))
		return;
	if (call->ret == -EPERM) {
		mm_unmap_fails(txn, start, end);
		return;
	}
	if (call->ret != -ENOMEM || mm->map_count > mm->max_map_count) {
		if (call->ret != -ENOMEM)
			txn_doubt(txn, start, end);
		return;
	}
	if (mm_map_over_limit(txn, start, end))
		return;
	/* Huge pages run out after the range was cleared: a hole stays. */
	if ((call->arg[3] & MAP_HUGETLB) || (call->file && call->file->is_hugetlb))
		mm_unmap(txn, start, end);
	txn_doubt(txn, start, end);
}

int op_mmap(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t flags = call->arg[3], start, len = page_align(call->arg[1]), end;
	struct vma model;

	if ((flags & MAP_HUGETLB) && (flags & MAP_ANONYMOUS)) {
		uint64_t huge = huge_page_bytes(flags);

		len = (len + huge - 1) & ~(huge - 1);
	} else if (call->file && call->file->is_hugetlb) {
		len = (len + MM_HUGE_PAGE_SIZE - 1) & ~(MM_HUGE_PAGE_SIZE - 1);
	}
	if (call->ret < 0 && call->ret > -4096) {
		mmap_failed(txn, call->arg[0], call->arg[0] + len);
		return 0;
	}
	start = call->ret;
	end = start + len;
	if (!range_is_sane(mm, start, end))
		return 0;
	if (mmap_model(txn, &model, start, end))
		return -ENOMEM;

	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		txn->effect->predicted = get_unmapped_area(mm, call->arg[0], call->arg[1],
							   call->arg[5] >> MM_PAGE_SHIFT, flags,
							   call->file);
		if (txn->effect->predicted) {
			mm->nr_predicted++;
			mm->nr_predicted_right += txn->effect->predicted == start;
		}
	}
	mm_unmap(txn, start, end);
	mm_place_new(txn, &model, (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE);
	return 0;
}

int op_remap_file_pages(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t start = call->arg[0] & ~(MM_PAGE_SIZE - 1);
	uint64_t end = start + (call->arg[1] & ~(MM_PAGE_SIZE - 1));
	struct vma model, *vma;

	if (!range_is_sane(mm, start, end))
		return 0;
	vma = vma_lookup(mm, start);
	if (call->ret == -EINVAL && vma && vma_is_file(vma) && mm_unmap_fails(txn, start, end))
		txn_doubt(txn, start, end);
	if (call->ret == -EINVAL || call->ret == -EAGAIN)
		return 0;
	if (call->ret || !vma || !vma_is_file(vma)) {
		if (call->ret != -EPERM || !mm_unmap_fails(txn, start, end))
			txn_doubt(txn, start, end);
		return 0;
	}
	model = *vma;
	model.vm_start = start;
	model.vm_end = end;
	model.vm_pgoff = call->arg[3];
	model.vm_flags = (vma->vm_flags & (VM_ACCESS_FLAGS | VM_MAYRWX | VM_SHARED | VM_MAYSHARE |
					   VM_LOCKED | VM_HUGETLB | VM_DONTEXPAND)) |
			 mm->def_flags;
	model.policy_id = 0;
	model.uffd_ctx = 0;
	model.event = call->event;
	model.own = call->own;
	mm_unmap(txn, start, end);
	mm_place_new(txn, &model, true);
	return 0;
}
