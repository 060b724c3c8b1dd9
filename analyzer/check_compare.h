/* SPDX-License-Identifier: MIT */
/*
 * Inside check: one program beside its baseline, and what of the difference is settled.
 *
 * The passes go from the telling to the vague. What a pass settles, by a finding or by an exemption,
 * settles the whole region: later passes leave it alone, and what it added to the totals is noted as
 * explained. A change within its tolerance settles nothing: many of them still show in the totals.
 */
#ifndef VMTRACE_ANALYZER_CHECK_COMPARE_H
#define VMTRACE_ANALYZER_CHECK_COMPARE_H

#include "check_judge.h"
#include "diff.h"

/* Page tables that a lone mapping may need. */
enum { TABLE_BYTES = 3 * 4096 };

struct compare {
	struct judge *j;
	struct diff diff;
	bool *is_settled;			/* for each item */
	bool *is_explained, *has_new_perms;	/* for each region, by region_index() */
	struct compare_key *keys;		/* of the items with a region, sorted */
	size_t nr_keys;
	uint64_t *explained;
	uint64_t heap_bytes, heap_resident;	/* of told sites, to be found again in regions */
	uint64_t heap_vmas;
};

/* Where an item stands, by a hash of its region's family, name and place. */
struct compare_key {
	uint64_t key;
	size_t item;
};

/* Of both sides' groups together; what an item is about counts as the new one. */
size_t region_index(const struct compare *c, const struct diff_item *item);

typedef bool compare_suits_fn(const struct diff_group *g, const void *arg);

/**
 * settle_placed() - Settle the regions of a family and name that @site may have mapped.
 * @site:  NULL: regions without a place only.
 * @suits: whether it is one of them, with @arg.
 */
void settle_placed(struct compare *c, enum layout_role role, const char *name,
		   const struct layout_site *site, compare_suits_fn *suits, const void *arg);

/* Names with and without the kernel's mark of a deleted file are one. */
bool is_same_file(const char *a, const char *b);

/* A group and all that goes with it: sections of an object, a stack and its guard. */
void settle_region(struct compare *c, const struct diff_group *g);

/* The passes, in this order; the last one is about the other regions. */
void judge_facts(struct compare *c);
void judge_threads(struct compare *c);
void judge_heap(struct compare *c);

static inline bool is_malloc(enum layout_role role)
{
	return role == LAYOUT_HEAP || role == LAYOUT_ARENA || role == LAYOUT_MALLOC_MMAP;
}

static inline bool is_object(enum layout_role role)
{
	return role <= LAYOUT_LOADER;
}

/* A guard belongs to its stack. */
static inline enum layout_role family(enum layout_role role)
{
	return role == LAYOUT_THREAD_GUARD ? LAYOUT_THREAD_STACK : role;
}

static inline const struct diff_group *group_of(const struct diff_item *item)
{
	return item->after ? item->after : item->before;
}

static inline uint64_t rise(struct span from, struct span to)
{
	return to.max > from.max ? to.max - from.max : 0;
}

/* Whether @site is where @g is mapped. */
bool is_placed_at(const struct diff_group *g, const struct layout_site *site);

/* What a finding about @item is about. */
struct judge_subject subject_of(const struct diff_item *item);

#endif
