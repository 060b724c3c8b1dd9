/* SPDX-License-Identifier: MIT */
#include "layout_pieces.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "json.h"

enum { MAKERS_MIN = 1 << 16 };		/* before the first sweep */

/* Beside seq: no call, but a difference seen after it. */
#define UNSEEN (1ull << 63)

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
		.call = c->call, .origin = c->origin, .stack = c->stack, .tid = c->tid,
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

static uint64_t page_up(uint64_t addr)
{
	return (addr + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1);
}

static void move_to_last(struct layout_pieces *p, const struct rec_call *c)
{
	const uint64_t *arg = c->call.arg;
	uint64_t from = page_up(arg[1]), bytes = page_up(arg[2]), to = (uint64_t)c->call.ret;

	note_maker(p, c);
	if (to != arg[0]) {
		if (!(arg[3] & MREMAP_DONTUNMAP))
			drop_piece(p, arg[0], from);
		put_piece(p, to, bytes, c->seq);
	} else if (bytes > from) {
		put_piece(p, to + from, bytes - from, c->seq);
	} else {
		drop_piece(p, to + bytes, from - bytes);
	}
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
		if (p->wants_last)
			move_to_last(p, c);
		else
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

static void move_brk(struct layout_pieces *p, const struct rec_call *c)
{
	uint64_t from = page_up(p->brk), to = page_up((uint64_t)c->call.ret);

	if (p->brk && to > from) {
		note_maker(p, c);
		put_piece(p, from, to - from, c->seq);
	} else {
		drop_piece(p, to, from - to);
	}
	p->brk = (uint64_t)c->call.ret;
}

/* Whether other memory is there now, not only with other bounds, permissions or name. */
static bool is_remapped(const struct rec_diff *diff)
{
	size_t i;

	for (i = 0; i < js_len(diff->fields); i++) {
		const char *field = js_str(js_at(diff->fields, i));

		if (field && (!strcmp(field, "mapped") || !strcmp(field, "inode")))
			return diff->cause != TRACE_CAUSE_STACK_GROWTH;
	}
	return false;
}

static void note_unseen(struct layout_pieces *p, const struct rec_diff *diff)
{
	struct layout_maker *maker;
	bool is_new;

	if (diff->has_brk)
		p->brk = diff->brk;
	if (!is_remapped(diff))
		return;
	maker = table_put(&p->makers, UNSEEN | diff->seq, &is_new);
	maker->is_unseen = true;
	put_piece(p, diff->start, diff->end - diff->start, UNSEEN | diff->seq);
}

void layout_pieces_record(struct layout_pieces *p, const struct record *rec)
{
	if (rec->ev == TRACE_HEADER)
		p->brk = rec->header.mm.brk;
	else if (rec->ev == TRACE_DIFF)
		note_unseen(p, &rec->diff);
	else if (rec->ev == TRACE_CALL && rec->call.call.op == MM_BRK)
		move_brk(p, &rec->call);
	else if (rec->ev == TRACE_CALL && !rec->call.errno_name)
		layout_pieces_note(p, &rec->call);
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
