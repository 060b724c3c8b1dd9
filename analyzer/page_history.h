/* SPDX-License-Identifier: MIT */
/*
 * What became of the vma over one page: the vma before each call is compared with the one after it.
 *
 *     before   |  A A A A A  |        after   | A A | B B | A |   in B: split, perms
 *                    ^ page                         ^
 */
#ifndef VMTRACE_ANALYZER_PAGE_HISTORY_H
#define VMTRACE_ANALYZER_PAGE_HISTORY_H

#include <stdio.h>

#include "replay.h"

struct json_t;
struct symbols;

/*
 * X(symbol, "name"): "merged" with what stood beside it, "grown" into a hole; "shrunk" beside a
 * hole, "split" beside a vma; "replaced" by another mapping at the same place.
 */
#define PAGE_CHANGES(X) \
	X(MAPPED, "mapped") X(UNMAPPED, "unmapped") X(REPLACED, "replaced") X(SPLIT, "split") \
	X(SHRUNK, "shrunk") X(MERGED, "merged") X(GROWN, "grown") X(PERMS, "perms") \
	X(FLAGS, "flags") X(NAME, "name") X(FILE, "file")
#define PAGE_CHANGE_ID(symbol, name) PAGE_CHANGE_##symbol,
enum page_change { PAGE_CHANGES(PAGE_CHANGE_ID) NR_PAGE_CHANGES };

/* The vma over the page, by value. Names belong to the replay. */
struct page_vma {
	bool is_mapped;
	bool has_below, has_above;	/* a vma right beside it */
	uint64_t start, end, vm_flags, offset, inode;
	const char *name;
};

/* A call that changed the vma over the page, or was about the page; or a difference that did. */
struct page_event {
	uint64_t seq, t;
	unsigned int changes;		/* 1u << enum page_change; 0: the vma stayed as it was */
	bool is_diff;
	enum trace_cause cause;		/* of a difference */
	struct mm_call call;		/* its arguments and result only */
	char *errno_name;		/* NULL: it succeeded */
	enum trace_origin origin;
	int64_t tid;
	uint32_t stack;
	uint64_t other;			/* mremap: where the page came from or went; else 0 */
	uint64_t start, end;		/* of the vma afterwards; 0, 0: none */
};

struct page_history {
	uint64_t addr;
	struct page_vma now;
	struct page_event *list;	/* a ring of the last ones, if there is a limit */
	size_t nr, cap, limit;		/* limit 0: all are kept */
	uint64_t total;
	struct page_event mapped, unmapped;	/* the last that did */
	bool has_mapped, has_unmapped;
};

void page_history_init(struct page_history *history, uint64_t addr, size_t limit);
void page_history_fini(struct page_history *history);

/* To be called for each record, after the replay took it. */
void page_history_record(struct page_history *history, struct replay *replay,
			 const struct record *rec);

/* The @i-th of the history->nr that were kept, oldest first. */
const struct page_event *page_history_event(const struct page_history *history, size_t i);

/* "call 17 at 1.5 s: mmap(…) = 0x… (app, thread 5)", without a newline. */
void page_event_print(const struct page_event *event, FILE *out);
/* "mapped, merged"; "the mapping stayed as it was". */
void page_event_print_changes(const struct page_event *event, FILE *out);
struct json_t *page_event_json(const struct page_event *event, struct symbols *symbols);

#endif
