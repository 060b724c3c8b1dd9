/* SPDX-License-Identifier: MIT */
/*
 * mremap(2): shrink, grow in place, move, duplicate, move several vmas at once.
 *
 *   in place    AAAA....      →  AAAAAA..
 *   move        AAAA....      →  ....AAAA
 *   DONTUNMAP   AAAA....      →  aaaaAAAA      (a: same vma, its pages are gone)
 *   several     AA BB........ →  .......AA BB  (the hole keeps its width and is not unmapped)
 *
 * Where the result lies is taken from the return value, everything else from the kernel's rules.
 */
#include "ops.h"

#include <errno.h>
#include <sys/mman.h>

#include "merge.h"
#include "vma.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

struct remap {
	uint64_t addr, old_len, new_len, flags, new_addr;
	bool failed;		/* the call as a whole */
};

/* Anonymous memory nobody has touched takes the offset of its new place; touched one keeps it. */
static void moved_pgoff(struct vma *model, const struct vma *src, uint64_t new_addr)
{
	uint64_t natural = new_addr >> MM_PAGE_SHIFT;

	if (!vma_is_anonymous(src))
		return;
	if (src->anon_vma == ANON_VMA_NONE) {
		model->vm_pgoff = natural;
		model->pgoff_state = VM_PGOFF_KNOWN;
	} else if (src->anon_vma == ANON_VMA_UNKNOWN) {
		if (src->pgoff_state != VM_PGOFF_KNOWN)
			model->pgoff_state = VM_PGOFF_ANY;
		else if (model->vm_pgoff != natural)
			model->pgoff_state = VM_PGOFF_EITHER;
	} else if (src->pgoff_state == VM_PGOFF_EITHER) {
		/* The other candidate was the place it leaves. */
		model->pgoff_state = VM_PGOFF_ANY;
	}
}

/* MREMAP_DONTUNMAP leaves the old vma, unlocked as a whole and without its pages. */
static void leave_source(struct mm_txn *txn, const struct remap *r, const struct vma *target)
{
	struct mm *mm = txn->mm;
	struct vma *src = vma_lookup(mm, r->addr);

	if (!src)
		return;
	if ((src->vm_flags & VM_LOCKED) && !(mm->rules & MM_RULE_DONTUNMAP_RESET)) {
		/* The kernel goes on counting them. */
		mm->locked_vm_leaked += vma_pages(src);
		mm->locked_vm += vma_pages(src);
	}
	vma_set_flags(txn, src, src->vm_flags & ~VM_LOCKED_MASK);
	src->vm_flags_unknown &= ~VM_LOCKED_MASK;
	if (src == target || src->vm_start != r->addr || src->vm_end != r->addr + r->old_len)
		return;
	src->anon_vma = ANON_VMA_NONE;
	src->anon_vma_id = 0;
	src->anon_vma_forked = ANON_VMA_FORKED_NO;
	if ((mm->rules & MM_RULE_DONTUNMAP_RESET) && vma_is_anonymous(src) && !vma_is_file(src)) {
		src->vm_pgoff = src->vm_start >> MM_PAGE_SHIFT;
		src->pgoff_state = VM_PGOFF_KNOWN;
	}
}

/*
 * If nobody can tell whether the copy joined its own source, nor can anybody tell which vma has
 * lost its locks.
 */
static void doubt_source_locks(struct vma *target)
{
	target->vm_flags_unknown |= VM_LOCKED_MASK;
	if (vma_touches(target->vm_prev, target))
		target->vm_prev->vm_flags_unknown |= VM_LOCKED_MASK;
	if (vma_touches(target, target->vm_next))
		target->vm_next->vm_flags_unknown |= VM_LOCKED_MASK;
}

/*
 * A vma that stays behind must not become one with its copy. Nor does the copy join the vma on its
 * other side where the older merge is in use, unless it has been written to.
 */
static struct vma *place_apart(struct mm_txn *txn, const struct vma *model, struct vma *src)
{
	struct mm *mm = txn->mm;
	bool touches = vma_touches(src, model) || vma_touches(model, src);
	struct vma *prev, *next, *vma;

	if (!touches || !(mm->rules & MM_RULE_MERGE_UPPER) || !vma_is_anonymous(src) ||
	    src->anon_vma == ANON_VMA_PRESENT)
		return vma_place(txn, model, MERGE_COPY, src);
	next = find_vma_prev(mm, model->vm_start, &prev);
	vma = vma_add(txn, model, prev);
	if (src->anon_vma == ANON_VMA_UNKNOWN)
		txn_doubt(txn, prev ? prev->vm_start : model->vm_start,
			  next ? next->vm_end : model->vm_end);
	return vma;
}

/* Only what is copied is unlocked: it becomes a vma of its own before. */
static struct vma *split_locked(struct mm_txn *txn, const struct remap *r, struct vma *src)
{
	uint64_t end = r->addr + r->old_len;

	if (!(src->vm_flags & VM_LOCKED) || !(txn->mm->rules & MM_RULE_DONTUNMAP_RESET))
		return src;
	if (src->vm_start < r->addr)
		src = vma_split(txn, src, r->addr);
	if (src->vm_end > end)
		vma_split(txn, src, end);
	return src;
}

/*
 * What has moved is registered no longer (mremap_userfaultfd_prep), together with what it joined
 * there, unless the userfaultfd asked to be told of moves.
 */
static void drop_context(struct mm_txn *txn, struct vma *vma)
{
	vma_set_flags(txn, vma, vma->vm_flags & ~VM_UFFD_MASK);
	vma->vm_flags_unknown |= VM_UFFD_MASK;
	vma->uffd_ctx = 0;
}

static void move_vma(struct mm_txn *txn, const struct remap *r, struct vma *src)
{
	struct mm *mm = txn->mm;
	uint64_t end = r->new_addr + r->new_len;
	struct vma model, *vma;

	if (r->flags & MREMAP_DONTUNMAP)
		src = split_locked(txn, r, src);
	vma_learn_faults(mm, src);
	model = *src;
	model.vm_start = r->new_addr;
	model.vm_end = end;
	model.vm_pgoff += (r->addr - src->vm_start) >> MM_PAGE_SHIFT;
	model.event = txn->call->event;
	moved_pgoff(&model, src, r->new_addr);
	if (!range_is_sane(mm, model.vm_start, end))
		return;
	/* Never anything there if the model is right. */
	mm_unmap(txn, model.vm_start, end);
	if ((r->flags & MREMAP_DONTUNMAP) && (mm->rules & MM_RULE_DONTUNMAP_RESET))
		vma = place_apart(txn, &model, src);
	else
		vma = vma_place(txn, &model, MERGE_COPY, NULL);
	if (r->flags & MREMAP_DONTUNMAP) {
		leave_source(txn, r, vma);
		if (txn->effect->uncertain && (model.vm_flags & VM_LOCKED))
			doubt_source_locks(vma);
	}
	if (!(r->flags & MREMAP_DONTUNMAP) && r->old_len)
		mm_unmap(txn, r->addr, r->addr + r->old_len);
	vma = vma_lookup(mm, r->new_addr);
	if (vma && (vma->vm_flags & VM_UFFD_MASK))
		drop_context(txn, vma);
	if (vma && (vma->vm_flags & VM_WRITE) && (vma->vm_flags & VM_LOCKED_MASK) == VM_LOCKED &&
	    r->new_len > r->old_len && !vma_is_file(vma))
		vma_learn_present(mm, vma);
	/* Private /dev/zero counts as anonymous, yet shows its offset. */
	if (vma && vma_is_file(vma) && vma->pgoff_state != VM_PGOFF_KNOWN)
		txn_doubt(txn, vma->vm_start, vma->vm_end);
	txn->effect->vma = vma;
}

static void grow_in_place(struct mm_txn *txn, const struct remap *r, struct vma *vma)
{
	struct vma model;

	vma_learn_faults(txn->mm, vma);
	model = *vma;
	model.vm_start = vma->vm_end;
	model.vm_end = r->addr + r->new_len;
	model.vm_pgoff += vma_pages(vma);
	/* There is no copied-from vma whose chain would be asked for. */
	model.anon_vma_forked = ANON_VMA_FORKED_NO;
	if (!range_is_sane(txn->mm, model.vm_start, model.vm_end))
		return;
	mm_unmap(txn, model.vm_start, model.vm_end);
	vma = vma_place(txn, &model, MERGE_EXTEND, NULL);
	if ((vma->vm_flags & VM_WRITE) && (vma->vm_flags & VM_LOCKED_MASK) == VM_LOCKED &&
	    !vma_is_file(vma) && !(vma->vm_flags & VM_UFFD_MASK))
		vma_learn_present(txn->mm, vma);
	txn->effect->vma = vma;
}

/* The checks made before anything is changed. Return: 0 or -errno. */
static int check_vma(const struct remap *r, const struct vma *vma)
{
	bool implies_new = r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
	uint64_t old_len = r->old_len;

	if (!vma)
		return -EFAULT;
	if (vma->vm_flags & ~vma->vm_flags_unknown & VM_SEALED)
		return -EPERM;
	if (r->new_len <= old_len && !implies_new)
		return 0;
	if (!old_len && !vma_is_shared(vma))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && (vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP)))
		return -EINVAL;
	if (old_len > r->new_len)
		old_len = r->new_len;
	if (old_len > vma->vm_end - r->addr)
		return -EFAULT;
	if (r->new_len != old_len && (vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP)))
		return -EFAULT;
	return 0;
}

static bool sealed_within(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma(mm, start);

	for (; vma && vma->vm_start < end; vma = vma->vm_next)
		if (vma->vm_flags & VM_SEALED)
			return true;
	return false;
}

/* Is there no room under the limits for a source that stays, once the target is clear? */
static bool copy_over_limit(struct mm_txn *txn, const struct remap *r)
{
	struct mm *mm = txn->mm;
	const struct vma *vma = vma_lookup(mm, r->addr);
	uint64_t end = r->new_addr + r->new_len, total = 0, data = 0;
	struct mm after = *mm;

	if (txn->call->ret != -ENOMEM || !(r->flags & MREMAP_DONTUNMAP) || !vma)
		return false;
	for (struct vma *v = find_vma(mm, r->new_addr); v && v->vm_start < end; v = v->vm_next) {
		uint64_t from = v->vm_start > r->new_addr ? v->vm_start : r->new_addr;
		uint64_t pages = ((v->vm_end < end ? v->vm_end : end) - from) >> MM_PAGE_SHIFT;

		total += pages;
		if (vm_flags_is_data(v->vm_flags))
			data += pages;
	}
	after.total_vm -= total;
	after.data_vm -= data;
	return !mm_may_expand(&after, vma->vm_flags, r->old_len >> MM_PAGE_SHIFT);
}

/* The call has failed, yet not by a check: has the model a reason, and what is left behind? */
static bool remap_failed(struct mm_txn *txn, const struct remap *r)
{
	uint64_t tail = r->addr + r->new_len, end = r->addr + r->old_len;
	uint64_t new_end = r->new_addr + r->new_len;
	bool fixed = r->flags & MREMAP_FIXED;
	struct mm *mm = txn->mm;

	if (fixed && mm_unmap_fails(txn, r->new_addr, new_end))
		return true;
	/* The copy counts beside its source: asked only after the target was cleared (mremap_to). */
	if (fixed && copy_over_limit(txn, r)) {
		mm_unmap(txn, r->new_addr, new_end);
		return true;
	}
	/* With an old length of 0 the target may contain the source. */
	if (fixed && txn->call->ret == -EFAULT && r->new_addr <= r->addr && r->addr < new_end) {
		mm_unmap(txn, r->new_addr, new_end);
		return true;
	}
	if (r->new_len < r->old_len && sealed_within(mm, tail, end)) {
		if (fixed)
			mm_unmap(txn, r->new_addr, new_end);
		mm_unmap_fails(txn, tail, end);
		return true;
	}
	/* No room: nothing has happened unless a target was given. */
	return !fixed && txn->call->ret == -ENOMEM;
}

/* Return: 0 done, 1 the kernel has stopped here, -1 it hasn't failed as the model expects. */
static int remap_one(struct mm_txn *txn, struct remap *r, bool last)
{
	struct mm *mm = txn->mm;
	struct vma *vma = vma_lookup(mm, r->addr);
	bool implies_new = r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);

	if (!vma || (r->failed && (check_vma(r, vma) || remap_failed(txn, r))))
		return 1;
	if (r->failed && last)
		return -1;
	if (r->flags & MREMAP_FIXED) {
		mm_unmap(txn, r->new_addr, r->new_addr + r->new_len);
		vma = vma_lookup(mm, r->addr);
		if (!vma)
			return 1;
	}
	if (r->new_len < r->old_len) {
		mm_unmap(txn, r->addr + r->new_len, r->addr + r->old_len);
		r->old_len = r->new_len;
		vma = vma_lookup(mm, r->addr);
		if (!vma)
			return 1;
	}
	txn->effect->vma = vma;
	if (implies_new || r->new_addr != r->addr)
		move_vma(txn, r, vma);
	else if (r->new_len > r->old_len)
		grow_in_place(txn, r, vma);
	return 0;
}

/*
 * SysV shm and /dev/zero have a get_unmapped_area of their own, which the kernel doesn't trust. Of a
 * registration with a userfaultfd only what is known counts, see doubtful_flags().
 */
static bool may_move_several(const struct vma *vma)
{
	if (vma->vm_flags & ~vma->vm_flags_unknown & VM_UFFD_MASK)
		return false;
	return !vma_is_file(vma) || !(vma->has_close || vma_is_anonymous(vma));
}

/*
 * Refused for what is sealed, yet nothing is, as far as is known: a sealed stack has grown into the
 * source or the target.
 */
static bool unseen_seal(struct mm *mm, const struct mm_call *call, const struct remap *r)
{
	return call->ret == -EPERM && !call->passed && !call->stopped &&
	       !sealed_within(mm, r->addr, r->addr + r->old_len) &&
	       !sealed_within(mm, r->new_addr, r->new_addr + r->new_len);
}

/* The flags of which nobody knows whether the call has failed for them at @vma, one of several. */
static uint64_t doubtful_flags(const struct vma *vma, int64_t err, bool several)
{
	switch (err) {
	case -EFAULT:
		return several ? vma->vm_flags_unknown & VM_UFFD_MASK : 0;
	case -EPERM:
		return vma->vm_flags_unknown & VM_SEALED;
	default:
		return 0;
	}
}

/* Did the move end before @vma, as far as is known? What the kernel has answered is learnt. */
static bool stops_at(struct mm_txn *txn, const struct remap *whole, struct vma *vma, uint64_t addr,
		     uint64_t doubtful)
{
	const struct mm_call *call = txn->call;

	if (!doubtful)
		return false;
	if (addr <= call->passed) {
		vma_set_flags(txn, vma, vma->vm_flags & ~doubtful);
		vma->vm_flags_unknown &= ~doubtful;
		return false;
	}
	if (!call->stopped) {
		txn_doubt(txn, addr, whole->addr + whole->old_len);
		txn_doubt(txn, whole->new_addr, whole->new_addr + whole->new_len);
		return vma->vm_flags & doubtful;
	}
	if (addr >= call->stopped && doubtful == VM_SEALED) {
		vma_set_flags(txn, vma, vma->vm_flags | VM_SEALED);
		vma->vm_flags_unknown &= ~VM_SEALED;
	}
	return addr >= call->stopped;
}

static int remap_several(struct mm_txn *txn, const struct remap *whole)
{
	uint64_t end = whole->addr + whole->old_len, shift = whole->new_addr - whole->addr;
	uint64_t cur = whole->addr;
	struct mm *mm = txn->mm;
	struct vma *vma = find_vma(mm, cur);
	bool seen = false;
	int err;

	for (; cur < end && vma && vma->vm_start < end; seen = true) {
		uint64_t until = vma->vm_end < end ? vma->vm_end : end;
		struct remap r = *whole;

		if (!seen && vma->vm_start > whole->addr)
			return 1;
		if (whole->failed && (seen || vma->vm_end < end) && !may_move_several(vma))
			return 1;
		r.addr = vma->vm_start > cur ? vma->vm_start : cur;
		r.new_addr = r.addr + shift;
		r.old_len = r.new_len = until - r.addr;
		if (stops_at(txn, whole, vma, r.addr,
			     doubtful_flags(vma, whole->failed ? txn->call->ret : 0,
					    seen || vma->vm_end < end)))
			return 1;
		if (txn_reserve(mm, TXN_NODES))
			return -ENOMEM;
		err = remap_one(txn, &r, until == end);
		if (err)
			return err;
		cur = until;
		vma = find_vma(mm, cur);
	}
	txn->effect->vma = vma_lookup(mm, whole->new_addr);
	return 0;
}

static bool params_are_bad(const struct mm *mm, const struct remap *r)
{
	if (r->addr & (MM_PAGE_SIZE - 1) || !r->new_len || r->new_len > mm->task_size)
		return true;
	if (r->addr >= mm->task_size || r->old_len > mm->task_size - r->addr)
		return true;
	return !range_is_sane(mm, r->new_addr, r->new_addr + r->new_len);
}

/*
 * The target is unmapped before the source is shrunk, and the latter is refused if what it shrinks
 * by reaches beyond the address space: a hole at the target stays.
 */
static void shrink_beyond_end(struct mm_txn *txn, const struct remap *r)
{
	struct mm *mm = txn->mm;
	uint64_t new_end = r->new_addr + r->new_len;

	if (!(r->flags & MREMAP_FIXED) || !(r->flags & MREMAP_MAYMOVE) ||
	    (r->flags & MREMAP_DONTUNMAP) || r->new_len >= r->old_len ||
	    r->old_len <= mm->task_size - r->addr || r->addr + r->old_len < r->addr)
		return;
	if (!range_is_sane(mm, r->new_addr, new_end) || !span_is_sane(r->addr, r->addr + r->old_len))
		return;
	if (r->addr + r->old_len > r->new_addr && new_end > r->addr)
		return;
	if (check_vma(r, vma_lookup(mm, r->addr)) || mm_unmap_fails(txn, r->new_addr, new_end))
		return;
	mm_unmap(txn, r->new_addr, new_end);
}

/* The checks of older kernels that come before the target is cleared. */
static bool refused_early(struct mm *mm, const struct mm_call *call, const struct remap *r)
{
	const struct vma *vma = vma_lookup(mm, r->addr);
	uint64_t known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;

	if ((r->flags & ~known) || !(r->flags & MREMAP_MAYMOVE) || !r->new_len || !vma)
		return true;
	if ((r->flags & MREMAP_DONTUNMAP) && call->arg[1] != call->arg[2])
		return true;
	if ((r->addr & (MM_PAGE_SIZE - 1)) || (vma->vm_flags & VM_SEALED))
		return true;
	if ((vma->vm_flags & VM_HUGETLB) && call->ret == -EINVAL)
		return true;
	if (r->new_len > mm->task_size || !range_is_sane(mm, r->new_addr, r->new_addr + r->new_len))
		return true;
	if (r->addr + r->old_len > r->new_addr && r->new_addr + r->new_len > r->addr)
		return true;
	return (uint64_t)mm->map_count + 2 >= (uint64_t)mm->max_map_count - 3;
}

/* A failed MREMAP_FIXED of older kernels: gone are the target and what the source shrinks by. */
static void unmapped_first(struct mm_txn *txn, const struct remap *r)
{
	uint64_t new_end = r->new_addr + r->new_len;
	uint64_t tail = r->addr + r->new_len, end = r->addr + r->old_len;
	struct mm *mm = txn->mm;

	if (refused_early(mm, txn->call, r) || mm_unmap_fails(txn, r->new_addr, new_end))
		return;
	mm_unmap(txn, r->new_addr, new_end);
	if (r->new_len < r->old_len && range_is_sane(mm, tail, end) &&
	    !mm_unmap_fails(txn, tail, end))
		mm_unmap(txn, tail, end);
}

/* Lengths of huge pages are rounded to whole ones. */
static void round_lengths(struct mm *mm, struct remap *r)
{
	const struct vma *vma = vma_lookup(mm, r->addr);
	uint64_t mask = MM_HUGE_PAGE_SIZE - 1;

	if (!vma || !(vma->vm_flags & VM_HUGETLB))
		return;
	r->old_len = (r->old_len + mask) & ~mask;
	r->new_len = (r->new_len + mask) & ~mask;
}

/* Of several, each one that was moved is gone from where it was, unless it was to stay. */
uint64_t ask_mremap(struct mm *mm, const struct mm_call *call)
{
	struct remap r = {
		.addr = call->arg[0],
		.old_len = page_align(call->arg[1]),
		.new_len = page_align(call->arg[2]),
		.flags = call->arg[3],
		.new_addr = call->arg[4],
		.failed = true,
	};
	uint64_t end = r.addr + r.old_len, cur = r.addr;
	struct vma *vma;

	if (!(r.flags & MREMAP_FIXED) || (r.flags & MREMAP_DONTUNMAP) || r.old_len != r.new_len ||
	    !(mm->rules & MM_RULE_MULTI_MREMAP) || params_are_bad(mm, &r) ||
	    (end > r.new_addr && r.new_addr + r.new_len > r.addr))
		return 0;
	for (vma = vma_lookup(mm, cur); vma && vma->vm_start < end; vma = vma->vm_next) {
		bool several = cur > r.addr || vma->vm_end < end;

		if (vma->vm_start > cur)
			cur = vma->vm_start;
		if ((several && !may_move_several(vma)) ||
		    (vma->vm_flags & ~vma->vm_flags_unknown & VM_SEALED))
			return 0;
		if (doubtful_flags(vma, call->ret, several) && cur > call->passed)
			return cur;
		cur = vma->vm_end;
	}
	return 0;
}

int op_mremap(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	struct mm *mm = txn->mm;
	struct remap r = {
		.addr = call->arg[0],
		.old_len = page_align(call->arg[1]),
		.new_len = page_align(call->arg[2]),
		.flags = call->arg[3],
		.new_addr = call->ret,
		.failed = call->ret < 0 && call->ret > -4096,
	};
	bool fixed = r.flags & MREMAP_FIXED;
	uint64_t nr = mm->map_count;
	int err;

	round_lengths(mm, &r);
	if (!r.failed)
		mm_learn_growth(txn, r.addr);
	if (r.failed) {
		r.new_addr = fixed ? call->arg[4] : r.addr;
		if (fixed && (mm->rules & MM_RULE_MREMAP_UNMAPS_FIRST) && call->ret != -EINTR) {
			unmapped_first(txn, &r);
			return 0;
		}
		if (call->ret == -EINVAL && (!fixed || r.old_len != r.new_len)) {
			shrink_beyond_end(txn, &r);
			return 0;
		}
		if (call->ret == -EAGAIN || call->ret == -EINTR)
			return 0;
		if (fixed && nr + 2 >= (uint64_t)mm->max_map_count - 3)
			return 0;
		if (fixed && r.addr + r.old_len > r.new_addr && r.new_addr + r.new_len > r.addr)
			return 0;
	}
	if (params_are_bad(mm, &r))
		return 0;
	if (unseen_seal(mm, call, &r))
		err = -EPERM;
	else if (fixed && r.old_len == r.new_len && (mm->rules & MM_RULE_MULTI_MREMAP))
		err = remap_several(txn, &r);
	else
		err = remap_one(txn, &r, true);
	if (err == -ENOMEM)
		return err;
	if (err < 0 && r.failed) {
		txn_doubt(txn, r.addr, r.addr + (r.old_len ? r.old_len : MM_PAGE_SIZE));
		if (fixed)
			txn_doubt(txn, r.new_addr, r.new_addr + r.new_len);
	}
	return 0;
}
