/* SPDX-License-Identifier: MIT */
/*
 * Threaded AVL tree: see tree.h.
 *
 * A new node always becomes a leaf next to its neighbour in the list: either the right child of
 * the one below or the left child of the one above is free, because one of two neighbours in the
 * order is an ancestor of the other.
 */
#include "tree.h"

static int height(const struct vma *vma)
{
	return vma ? vma->node.height : 0;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Recompute what @vma says about its subtree. Return: whether anything changed. */
static bool node_update(struct vma *vma)
{
	const struct vma *left = vma->node.left, *right = vma->node.right;
	int h = 1 + (height(left) > height(right) ? height(left) : height(right));
	uint64_t gap = vma_gap_below(vma);
	uint64_t min_start = left ? left->node.min_start : vma->vm_start;
	uint64_t max_end = right ? right->node.max_end : vma->vm_end;
	bool changed;

	if (left)
		gap = max_u64(gap, left->node.max_gap);
	if (right)
		gap = max_u64(gap, right->node.max_gap);
	changed = h != vma->node.height || gap != vma->node.max_gap ||
		  min_start != vma->node.min_start || max_end != vma->node.max_end;
	vma->node.height = h;
	vma->node.max_gap = gap;
	vma->node.min_start = min_start;
	vma->node.max_end = max_end;
	return changed;
}

/* Put @new where @old hangs below its parent. */
static void replace_child(struct mm *mm, struct vma *old, struct vma *new)
{
	struct vma *parent = old->node.parent;

	if (!parent)
		mm->root = new;
	else if (parent->node.left == old)
		parent->node.left = new;
	else
		parent->node.right = new;
	if (new)
		new->node.parent = parent;
}

/*
 *      x              y
 *     ╱ ╲            ╱ ╲
 *    a   y    ──▶   x   c
 *       ╱ ╲        ╱ ╲
 *      b   c      a   b
 */
static struct vma *rotate_left(struct mm *mm, struct vma *x)
{
	struct vma *y = x->node.right, *b = y->node.left;

	replace_child(mm, x, y);
	y->node.left = x;
	x->node.parent = y;
	x->node.right = b;
	if (b)
		b->node.parent = x;
	node_update(x);
	node_update(y);
	return y;
}

static struct vma *rotate_right(struct mm *mm, struct vma *y)
{
	struct vma *x = y->node.left, *b = x->node.right;

	replace_child(mm, y, x);
	x->node.right = y;
	y->node.parent = x;
	y->node.left = b;
	if (b)
		b->node.parent = y;
	node_update(y);
	node_update(x);
	return x;
}

/* Walk from @vma to the root, repairing balance and augmentation until nothing changes. */
static void rebalance(struct mm *mm, struct vma *vma)
{
	while (vma) {
		bool changed = node_update(vma);
		int balance = height(vma->node.left) - height(vma->node.right);

		if (balance > 1) {
			struct vma *left = vma->node.left;

			if (height(left->node.left) < height(left->node.right))
				rotate_left(mm, left);
			vma = rotate_right(mm, vma);
			changed = true;
		} else if (balance < -1) {
			struct vma *right = vma->node.right;

			if (height(right->node.right) < height(right->node.left))
				rotate_right(mm, right);
			vma = rotate_left(mm, vma);
			changed = true;
		}
		if (!changed)
			return;
		vma = vma->node.parent;
	}
}

void tree_insert(struct mm *mm, struct vma *vma, struct vma *prev)
{
	struct vma *next = prev ? prev->vm_next : mm->first;

	vma->vm_prev = prev;
	vma->vm_next = next;
	if (prev)
		prev->vm_next = vma;
	else
		mm->first = vma;
	if (next)
		next->vm_prev = vma;
	else
		mm->last = vma;

	vma->node.left = vma->node.right = NULL;
	vma->node.height = 0;
	if (!mm->root) {
		vma->node.parent = NULL;
		mm->root = vma;
	} else if (prev && !prev->node.right) {
		prev->node.right = vma;
		vma->node.parent = prev;
	} else {
		next->node.left = vma;
		vma->node.parent = next;
	}
	rebalance(mm, vma);
	if (next)
		rebalance(mm, next);
}

void tree_remove(struct mm *mm, struct vma *vma)
{
	struct vma *prev = vma->vm_prev, *next = vma->vm_next, *from;

	if (prev)
		prev->vm_next = next;
	else
		mm->first = next;
	if (next)
		next->vm_prev = prev;
	else
		mm->last = prev;

	if (vma->node.left && vma->node.right) {
		/* next is the leftmost node on the right: it has no left child. */
		from = next->node.parent == vma ? next : next->node.parent;
		replace_child(mm, next, next->node.right);
		next->node.left = vma->node.left;
		next->node.left->node.parent = next;
		next->node.right = vma->node.right;
		if (next->node.right)
			next->node.right->node.parent = next;
		replace_child(mm, vma, next);
		next->node.height = 0;
	} else {
		from = vma->node.parent;
		replace_child(mm, vma, vma->node.left ? vma->node.left : vma->node.right);
	}
	rebalance(mm, from);
	/* The walk may have stopped below the node whose hole has grown. */
	if (next)
		rebalance(mm, next);
}

void tree_resized(struct mm *mm, struct vma *vma)
{
	rebalance(mm, vma);
	if (vma->vm_next)
		rebalance(mm, vma->vm_next);
}
