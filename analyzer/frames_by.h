/* SPDX-License-Identifier: MIT */
/*
 * Who owns the resident bytes at the last checkpoint with frames: each byte has one owner.
 *
 *     pages:   |  present, in swap …                 |   of a line, by class
 *     pieces:  |  mmap by A    | brk by B            |   who mapped them last
 *     blocks:                    [C]  [D]  [C ]          live then, of pages of the heap
 *     rows:     A: mapped        C, D: heap; B: free heap memory (what is left of these pages)
 *
 * Pages are cut where the checkpoint's lines are read, for that is when pieces are what they were. The
 * heap is run later, up to that moment. Memory is proportional to runs and blocks.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_BY_H
#define VMTRACE_ANALYZER_FRAMES_BY_H

#include "heap_groups.h"
#include "layout_pieces.h"

struct trace;
struct view;

/* X(symbol, "name"): who has memory, and how. */
#define FRAMES_OWNERS(X) \
	X(MAPPED, "mapped")	/* the call that mapped it last */ \
	X(HEAP, "heap")		/* who allocated the block */ \
	X(FREE, "heap_free")	/* of the heap's pages what no live block has */ \
	X(START, "start")	/* it was there when the trace began, or the stack grew */ \
	X(UNSEEN, "unseen")	/* a call that was not captured */ \
	X(OWN, "own")		/* vmtrace's */
#define FRAMES_OWNER_ID(symbol, name) FRAMES_OWNER_##symbol,
enum frames_owner { FRAMES_OWNERS(FRAMES_OWNER_ID) FRAMES_NR_OWNERS };
extern const char *const frames_owner_names[FRAMES_NR_OWNERS];

/* Whether it is known by a call stack; the others by a name. */
bool frames_owner_has_stack(enum frames_owner owner);

/* Bytes, but for the pages on which they are: two rows may share one. */
struct owner_sum {
	uint64_t resident, huge, swapped, pages;
	double pss;
};

struct frames_row {
	enum frames_owner owner;
	uint32_t stack;			/* its first one */
	int64_t tid;
	char *name;			/* without a stack; of a module or function; else NULL */
	uint64_t stacks;
	struct owner_sum sum;
	uint64_t next_page;		/* those below are counted */
	size_t next;			/* of the same hash */
};

struct frames_part;
struct frames_block;

struct frames_by {
	enum heap_by by;
	struct layout_pieces pieces;
	bool is_new;			/* a checkpoint began: its first line replaces this */
	char why[16];

	bool is_known, pfn_visible;
	bool is_complete;		/* by its end, which says how many pages there are */
	struct rec_frames_end last;
	uint64_t t, seq;		/* of its pages; of the last call before them */
	struct frames_part *parts;	/* by address */
	size_t nr_parts, cap_parts;
	char **names;			/* of the lines' vmas */
	size_t nr_names, cap_names;
	uint64_t end;			/* where the last line ended */

	/* by frames_by_collect() */
	struct frames_row *rows;	/* the one with most resident bytes first */
	size_t nr_rows, cap_rows;
	struct table row_of_key, row_of_hash;
	struct owner_sum all;
	bool has_blocks;		/* the heap was recorded, all of it */
	bool has_pss, has_huge;		/* known of all pages */
};

void frames_by_init(struct frames_by *f, enum heap_by by);
void frames_by_fini(struct frames_by *f);
void frames_by_record(struct frames_by *f, struct trace *trace, const struct record *rec);

/* After the heap was run: fill in the rows. */
void frames_by_collect(struct frames_by *f, struct trace *trace);

/* What "frames" has with --by. */
extern const struct view view_frames_by;

#endif
