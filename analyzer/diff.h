/* SPDX-License-Identifier: MIT */
/*
 * What two layouts of a program differ in.
 *
 * Regions are compared by groups: all vmas of one role, section, file and mapping function, wherever
 * they lie. The function is the innermost frame outside libc: whoever happens to be above it when an
 * allocator needs another piece is chance, and only told as the site to blame.
 * Nothing is judged here: every group whose figures lie outside the earlier layout's spans is an item.
 * Tolerances and rules are check's business.
 */
#ifndef VMTRACE_ANALYZER_DIFF_H
#define VMTRACE_ANALYZER_DIFF_H

#include "layout.h"

/* All regions of one kind and place. */
struct diff_group {
	enum layout_role role;
	enum layout_section section;	/* LAYOUT_NO_SECTION in an item: the whole object */
	const char *name;		/* "" for none */
	const char *origin;
	const char *place[2];		/* innermost frames up to one outside libc; NULL: none */
	const struct layout_site *site;	/* of the most bytes; in an item: of the most that are new */
	struct span count;		/* vmas */
	struct span bytes, resident, huge;
	char *perms, *flags;		/* all that occur, sorted, separated by a space */
	const struct diff_member *members;	/* by site */
	size_t nr_members;
};

/* A region of a group. */
struct diff_member;

/*
 * X(symbol, name): worst first. A group that has several is told by each of them. "split": more vmas
 * over the same bytes; "merged": fewer. "added" and "removed" of an object is one item, not
 * one for each section, and a thread's guard goes with its stack.
 */
#define DIFF_KINDS(X) \
	X(FACT, "fact") X(PERMS, "permissions") X(FLAGS, "flags") X(ADDED, "added") \
	X(THREADS, "threads") X(MORE, "more") X(SPLIT, "split") X(GROWN, "grown") X(RESIDENT, "resident") \
	X(HEAP_SITE, "heap-site") X(TOTAL, "total") X(FEWER, "fewer") X(MERGED, "merged") \
	X(SHRUNK, "shrunk") X(REMOVED, "removed") X(FACT_GONE, "fact-gone")
#define DIFF_KIND_ID(symbol, name) DIFF_##symbol,
enum diff_kind { DIFF_KINDS(DIFF_KIND_ID) DIFF_NR_KINDS };
extern const char *const diff_kind_names[DIFF_NR_KINDS];

struct diff_item {
	enum diff_kind kind;
	const struct diff_group *before, *after;	/* regions; NULL: there is none */
	const struct layout_fact *fact;			/* FACT (new), FACT_GONE */
	const struct layout_site *site;			/* of the group, fact or heap site; NULL: none */
	enum layout_total total;			/* TOTAL */
	/* THREADS: how many the site made. MORE, SPLIT…: vmas. Else bytes or the total. */
	struct span from, to;
};

struct diff {
	const struct layout_program *before, *after;	/* NULL: it is not in that layout */
	struct diff_group *groups[2];
	struct diff_member *members[2];
	size_t nr_groups[2];
	struct diff_item *items;		/* by kind, then by how much */
	size_t nr_items, cap_items;
};

/* Compare; either may be NULL (then everything is added, or removed). Both must outlive @diff. */
void diff_init(struct diff *diff, const struct layout_program *before,
	       const struct layout_program *after);
void diff_fini(struct diff *diff);

/* vmtrace-report diff A B: text or JSON of all programs. */
void diff_print_text(const struct layout *before, const struct layout *after, bool colour, FILE *out);
struct json_t *diff_json(const struct layout *before, const struct layout *after);

#endif
