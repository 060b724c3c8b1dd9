/* SPDX-License-Identifier: MIT */
#include "layout_pieces.h"

#include <errno.h>
#include <sys/mman.h>

enum { MAKERS_MIN = 1 << 16 };		/* before the first sweep */

void layout_pieces_init(struct layout_pieces *p)
{
	pool_init(&p->pool);
	mm_init(&p->mm, &p->pool.mem);
	table_init(&p->makers, sizeof(struct layout_maker));
	p->sweep_at = MAKERS_MIN;
}

void layout_pieces_fini(struct layout_pieces *p)
{
	table_fini(&p->makers);
	pool_fini(&p->pool);
}

static const struct layout_maker *maker_of(const struct layout_pieces *p, const struct vma *piece)
{
	return piece ? table_find(&p->makers, piece->event) : NULL;
}

/* Keep the makers of live pieces only, so that memory does not grow with the number of calls. */
static void sweep(struct layout_pieces *p)
{
	struct table kept;
	struct vma *vma;
	bool is_new;

	table_init(&kept, sizeof(struct layout_maker));
	for (vma = p->mm.first; vma; vma = vma->vm_next) {
		const struct layout_maker *maker = maker_of(p, vma);

		if (maker)
			*(struct layout_maker *)table_put(&kept, vma->event, &is_new) = *maker;
	}
	table_fini(&p->makers);
	p->makers = kept;
	p->sweep_at = 2 * kept.nr > MAKERS_MIN ? 2 * kept.nr : MAKERS_MIN;
}

static void note_maker(struct layout_pieces *p, const struct rec_call *c)
{
	struct layout_maker *maker;
	bool is_new;

	if (p->makers.nr >= p->sweep_at)
		sweep(p);
	maker = table_put(&p->makers, c->seq, &is_new);
	*maker = (struct layout_maker){
		.call = c->call, .origin = c->origin, .stack = c->stack,
	};
	maker->call.file = NULL;
	maker->call.name = NULL;
}

static void drop_piece(struct layout_pieces *p, uint64_t start, uint64_t bytes)
{
	uint64_t end = start + ((bytes + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1));

	if (end > start && mm_replace(&p->mm, start, end, NULL, 0, 0) == -ENOMEM)
		alloc_failed();
}

static void put_piece(struct layout_pieces *p, uint64_t start, uint64_t bytes, uint64_t seq)
{
	struct vma_desc desc = { .vm_start = start, .vm_flags = VM_READ };

	desc.vm_end = start + ((bytes + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1));
	if (desc.vm_end <= start || start % MM_PAGE_SIZE)
		return;
	/* mm_replace() would take what is there already for the same, its maker included. */
	drop_piece(p, start, desc.vm_end - start);
	if (mm_replace(&p->mm, start, desc.vm_end, &desc, 1, seq) == -ENOMEM)
		alloc_failed();
}

/* What is moved or resized stays its maker's. */
static void move_piece(struct layout_pieces *p, const struct rec_call *c)
{
	const uint64_t *arg = c->call.arg;
	const struct vma *piece = vma_lookup(&p->mm, arg[0]);
	uint64_t seq = piece ? piece->event : c->seq;

	if (!piece)
		note_maker(p, c);
	if (!(arg[3] & MREMAP_DONTUNMAP))
		drop_piece(p, arg[0], arg[1]);
	put_piece(p, (uint64_t)c->call.ret, arg[2], seq);
}

void layout_pieces_note(struct layout_pieces *p, const struct rec_call *c)
{
	const struct mm_call *call = &c->call;
	const struct vma *piece;

	switch (call->op) {
	case MM_MMAP:
	case MM_SHMAT:
		note_maker(p, c);
		put_piece(p, (uint64_t)call->ret, call->op == MM_MMAP ? call->arg[1] : call->len,
			  c->seq);
		break;
	case MM_MREMAP:
		move_piece(p, c);
		break;
	case MM_MUNMAP:
		drop_piece(p, call->arg[0], call->arg[1]);
		break;
	case MM_SHMDT:
		piece = vma_lookup(&p->mm, call->arg[0]);
		if (piece)
			drop_piece(p, piece->vm_start, piece->vm_end - piece->vm_start);
		break;
	default:
		break;
	}
}

const struct layout_maker *layout_pieces_at(struct layout_pieces *p, uint64_t addr, uint64_t limit,
					    uint64_t *ret_end)
{
	const struct vma *piece = find_vma(&p->mm, addr);
	const struct layout_maker *maker = NULL;

	*ret_end = limit;
	if (piece && piece->vm_start <= addr) {
		maker = maker_of(p, piece);
		*ret_end = piece->vm_end;
	} else if (piece) {
		*ret_end = piece->vm_start;
	}
	*ret_end = *ret_end < limit ? *ret_end : limit;
	return maker;
}
