/* SPDX-License-Identifier: MIT */
/* mm_check(): is the model in order? mm_hash(): are two the same to the eye? */
#include "tree.h"
#include "txn.h"
#include "vma.h"

struct walk {
	const struct vma *expected;	/* next of the list, while the tree is walked in order */
	uint32_t nr;
	const char *broken;
};

static int child_height(const struct vma *vma)
{
	return vma ? vma->node.height : 0;
}

static void check_node(const struct vma *vma, struct walk *w)
{
	const struct vma *left = vma->node.left, *right = vma->node.right;
	int l = child_height(left), r = child_height(right);
	uint64_t gap = vma_gap_below(vma);

	if (left && left->node.max_gap > gap)
		gap = left->node.max_gap;
	if (right && right->node.max_gap > gap)
		gap = right->node.max_gap;
	if ((left && left->node.parent != vma) || (right && right->node.parent != vma))
		w->broken = "tree: a child doesn't point to its parent";
	else if (vma->node.height != 1 + (l > r ? l : r))
		w->broken = "tree: wrong height";
	else if (l - r > 1 || r - l > 1)
		w->broken = "tree: out of balance";
	else if (vma->node.max_gap != gap)
		w->broken = "tree: wrong max_gap";
	else if (vma->node.min_start != (left ? left->node.min_start : vma->vm_start))
		w->broken = "tree: wrong min_start";
	else if (vma->node.max_end != (right ? right->node.max_end : vma->vm_end))
		w->broken = "tree: wrong max_end";
}

static void walk_tree(const struct vma *vma, struct walk *w, unsigned int depth)
{
	if (!vma || w->broken)
		return;
	if (depth > 64) {
		w->broken = "tree: too deep";
		return;
	}
	walk_tree(vma->node.left, w, depth + 1);
	if (w->broken)
		return;
	if (vma != w->expected) {
		w->broken = "tree and list disagree";
		return;
	}
	w->expected = vma->vm_next;
	w->nr++;
	check_node(vma, w);
	walk_tree(vma->node.right, w, depth + 1);
}

static const char *check_vma(const struct mm *mm, const struct vma *vma)
{
	if ((vma->vm_start | vma->vm_end) & (MM_PAGE_SIZE - 1))
		return "vma: not page aligned";
	if (vma->vm_start >= vma->vm_end)
		return "vma: empty";
	if (vma->vm_prev && vma->vm_prev->vm_end > vma->vm_start)
		return "vma: overlaps the one below";
	if (vma->vm_prev ? vma->vm_prev->vm_next != vma : mm->first != vma)
		return "list: broken link";
	if (!vma->vm_next && mm->last != vma)
		return "list: wrong last";
	if ((vma->anon_vma == ANON_VMA_NONE) != (vma->anon_vma_id == 0))
		return "vma: anon_vma_id without anon_vma";
	if (vma_is_shared(vma) && vma->anon_vma != ANON_VMA_NONE)
		return "vma: shared memory with an anon_vma";
	return NULL;
}

const char *mm_check(const struct mm *mm)
{
	struct walk w = { .expected = mm->first };
	struct mm sum = { 0 };
	const struct vma *vma;

	mm_for_each_vma(vma, mm) {
		const char *broken = check_vma(mm, vma);

		if (broken)
			return broken;
		if (++sum.map_count > mm->map_count)
			return "map_count: too small";
		mm_account(&sum, vma->vm_flags, vma_pages(vma));
	}
	if (sum.map_count != mm->map_count)
		return "map_count: too large";
	if (!mm->first && mm->last)
		return "list: last without first";
	if (mm->root && mm->root->node.parent)
		return "tree: the root has a parent";
	walk_tree(mm->root, &w, 0);
	if (w.broken)
		return w.broken;
	if (w.expected || w.nr != mm->map_count)
		return "tree: incomplete";
	if (sum.total_vm != mm->total_vm)
		return "total_vm";
	if (sum.data_vm != mm->data_vm || sum.exec_vm != mm->exec_vm ||
	    sum.stack_vm != mm->stack_vm)
		return "data_vm, exec_vm or stack_vm";
	if (sum.locked_vm + mm->locked_vm_leaked != mm->locked_vm)
		return "locked_vm";
	if (mm->hiwater_vm < mm->total_vm)
		return "hiwater_vm";
	return NULL;
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 29);
}

uint64_t mm_hash(const struct mm *mm)
{
	uint64_t visible = VM_READ | VM_WRITE | VM_EXEC | VM_MAYSHARE, h = mm->map_count;
	const struct vma *vma;

	mm_for_each_vma(vma, mm) {
		h = mix(h, vma->vm_start);
		h = mix(h, vma->vm_end);
		h = mix(h, vma->vm_flags & visible);
		h = mix(h, vma_is_file(vma) ? vma->vm_pgoff : 0);
		h = mix(h, (uint64_t)vma->dev_major << 32 | vma->dev_minor);
		h = mix(h, vma->inode);
	}
	return h;
}
