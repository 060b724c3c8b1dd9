/* SPDX-License-Identifier: MIT */
/*
 * Mappings of kernel objects that aren't made by mmap: SysV shared memory and AIO rings. The size
 * of the whole object is kept in each of its vmas, so that detaching finds all pieces.
 */
#include "ops.h"

#include <errno.h>
#include <sys/shm.h>

#include "vma.h"

#define RING_BYTES_MAX (1ull << 32)	/* how far from its start a part is looked for */

int op_shmat(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	uint64_t start = call->ret, bytes = page_align(call->len), end = start + bytes;
	uint64_t how = call->arg[2];
	struct vma model;

	if (call->ret < 0 && call->ret > -4096) {
		start = call->arg[1] & ~(MM_PAGE_SIZE - 1);
		end = start + bytes;
		if (!start || !(how & SHM_REMAP) || !range_is_sane(mm, start, end))
			return 0;
		/* Something sealed or indivisible was in the way, or there were too many vmas, or pages. */
		if (call->ret == -EPERM)
			mm_unmap_fails(txn, start, end);
		else if (call->ret == -EINVAL && mm_unmap_fails(txn, start, end))
			txn_doubt(txn, start, end);
		if (call->ret == -ENOMEM && mm->map_count <= mm->max_map_count &&
		    find_vma_intersection(mm, start, end) &&
		    !mm_map_over_limit(txn, start, end))
			txn_doubt(txn, start, end);
		return 0;
	}
	if (!range_is_sane(mm, start, end))
		return 0;
	vma_init_anon(txn, &model, start, end,
		      VM_READ | VM_MAYRWX | VM_SHARED | VM_MAYSHARE | mm->def_flags);
	model.vm_pgoff = 0;
	if (how & SHM_RDONLY)
		model.vm_flags &= ~(VM_SHARED | VM_MAYWRITE);
	else
		model.vm_flags |= VM_WRITE;
	if (how & SHM_EXEC)
		model.vm_flags |= VM_EXEC;
	if (vma_set_file(mm, &model, call->file))
		return -ENOMEM;
	model.has_close = true;
	model.file_bytes = bytes;
	mm_unmap(txn, start, end);
	mm_place_new(txn, &model, false);
	return 0;
}

/* A piece of an attachment at @addr lies where it was attached. */
static bool is_piece(const struct vma *vma, uint64_t addr)
{
	return vma->has_close && (vma->vm_start - addr) >> MM_PAGE_SHIFT == vma->vm_pgoff;
}

/*
 * Another piece of what @first, a copy, is a piece of. Of an attachment that is known from maps only
 * neither the size nor the identity is known: then any piece of the segment will do.
 */
static bool is_other_piece(const struct vma *vma, const struct vma *first, uint64_t addr)
{
	if (!is_piece(vma, addr))
		return false;
	if (first->file_bytes)
		return vma->file_id == first->file_id && vma->vm_end - addr <= first->file_bytes;
	return vma->inode == first->inode && !vma->file_bytes;
}

/* What is sealed stays, and shmdt doesn't say so. */
static void detach(struct mm_txn *txn, struct vma *vma)
{
	if (!(vma->vm_flags & VM_SEALED))
		vma_del(txn, vma);
}

int op_shmdt(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	uint64_t addr = call->arg[0];
	struct vma *vma = find_vma(txn->mm, addr), *next, first;

	if (call->ret)
		return 0;
	while (vma && (vma->vm_start < addr || !is_piece(vma, addr)))
		vma = vma->vm_next;
	if (!vma)
		return 0;
	first = *vma;
	next = vma->vm_next;
	detach(txn, vma);
	/* A segment attached before the model began: its size is not known. */
	for (vma = next; vma; vma = next) {
		next = vma->vm_next;
		if (first.file_bytes && vma->vm_end - addr > first.file_bytes)
			break;
		if (is_other_piece(vma, &first, addr))
			detach(txn, vma);
	}
	return 0;
}

int op_io_setup(struct mm_txn *txn)
{
	static const struct vma_file ring = { .name = "/[aio] (deleted)" };
	const struct mm_call *call = txn->call;
	uint64_t start = call->arg[2], end = start + page_align(call->len);
	struct vma model;

	if (call->ret || !range_is_sane(txn->mm, start, end))
		return 0;
	vma_init_anon(txn, &model, start, end,
		      VM_READ | VM_WRITE | VM_MAYRWX | VM_SHARED | VM_MAYSHARE | VM_DONTEXPAND |
			      txn->mm->def_flags);
	if (txn->mm->rules & MM_RULE_RINGS_STAY)
		model.vm_flags |= VM_DONTCOPY;
	model.vm_pgoff = 0;
	if (vma_set_file(txn->mm, &model, call->file ? call->file : &ring))
		return -ENOMEM;
	model.file_bytes = end - start;
	mm_unmap(txn, start, end);
	mm_place_new(txn, &model, false);
	return 0;
}

/* The whole ring is unmapped, whatever lies where a part of it was: any part tells its size. */
static uint64_t ring_bytes(struct mm *mm, uint64_t start)
{
	struct vma *vma = find_vma(mm, start);

	for (; vma && vma->vm_start < start + RING_BYTES_MAX; vma = vma->vm_next)
		if (vma->file_bytes && !vma->has_close &&
		    vma->vm_start - (vma->vm_pgoff << MM_PAGE_SHIFT) == start)
			return vma->file_bytes;
	return 0;
}

int op_io_destroy(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	uint64_t start = call->arg[0], bytes;

	if (call->ret)
		return 0;
	bytes = ring_bytes(txn->mm, start);
	if (!bytes)
		txn_doubt(txn, start, start + MM_PAGE_SIZE);
	else if (range_is_sane(txn->mm, start, start + bytes))
		mm_unmap(txn, start, start + bytes);
	return 0;
}
