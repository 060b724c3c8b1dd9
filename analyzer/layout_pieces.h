/* SPDX-License-Identifier: MIT */
/*
 * Which call mapped what: an mm in which nothing merges. Two callers' anonymous memory is often one
 * vma, and who is to blame for it must still be told.
 *
 * Calls are kept for what is still mapped, so that memory does not grow with their number.
 */
#ifndef VMTRACE_ANALYZER_LAYOUT_PIECES_H
#define VMTRACE_ANALYZER_LAYOUT_PIECES_H

#include "alloc.h"
#include "record.h"
#include "table.h"

/* The call that mapped a piece. */
struct layout_maker {
	struct mm_call call;		/* file and name are not kept */
	enum trace_origin origin;
	uint32_t stack;
	int64_t tid;
	bool is_unseen;			/* the call was not captured; all else is 0 */
};

struct layout_pieces {
	struct pool pool;
	struct mm mm;			/* vma->event is the call */
	struct table makers;		/* seq -> struct layout_maker */
	size_t sweep_at;
	bool wants_last;		/* who mapped a page last, by mremap and brk, too */
	uint64_t brk;			/* with wants_last */
};

void layout_pieces_init(struct layout_pieces *pieces);
void layout_pieces_fini(struct layout_pieces *pieces);

/* A call that succeeded. */
void layout_pieces_note(struct layout_pieces *pieces, const struct rec_call *call);

/*
 * With wants_last, any record: calls that succeeded, and what was mapped unseen. What mremap moves is
 * that call's then, and so is what it or brk adds.
 */
void layout_pieces_record(struct layout_pieces *pieces, const struct record *rec);

/**
 * layout_pieces_at() - Who mapped the piece at @addr.
 * @ret_end: where it, or the hole between pieces, ends; @limit at most.
 *
 * Return: NULL if it was there before the trace. Valid until the next call is noted.
 */
const struct layout_maker *layout_pieces_at(struct layout_pieces *pieces, uint64_t addr,
					    uint64_t limit, uint64_t *ret_end);

#endif
