/* SPDX-License-Identifier: MIT */
/*
 * What an address space takes of memory: its pages by kind, as the kernel's RSS counters tell them, and
 * the kernel's own objects for it, by the sizes in /proc/slabinfo.
 */
#ifndef VMTRACE_ANALYZER_MM_COST_H
#define VMTRACE_ANALYZER_MM_COST_H

#include "physmap.h"

/* X(SYMBOL, "name"): the RSS counters, and what is present but in none of them. */
#define RSS_COUNTERS(X) X(ANON, "anon") X(FILE, "file") X(SHMEM, "shmem") X(NONE, "none")
#define RSS_ID(symbol, name) RSS_##symbol,
enum rss_counter { RSS_COUNTERS(RSS_ID) NR_RSS_COUNTERS };
extern const char *const rss_counter_names[NR_RSS_COUNTERS];

/* Where the kernel counts the pages of a class; swap and guard entries: RSS_NONE. */
enum rss_counter rss_counter_of(const struct rec_page_class *c);

struct page_counts {
	uint64_t kinds[NR_PAGE_KINDS];		/* pages */
	uint64_t rss[NR_RSS_COUNTERS];		/* of them present, by counter */
	bool has_kinds;				/* kpageflags are known: no kind looks like another */
};

void page_counts_make(struct page_counts *counts, const struct physmap *map,
		      const struct page_classes *classes);

/* Those of all counters. */
uint64_t page_counts_rss_bytes(const struct page_counts *counts);

/* How sure a number of objects is. */
enum cost_sureness { COST_EXACT, COST_AT_LEAST, COST_ESTIMATE };

/* X(SYMBOL, slab cache, sureness) */
#define COST_OBJECTS(X) \
	X(MM, mm_struct, COST_EXACT) X(VMA, vm_area_struct, COST_EXACT) \
	X(ANON_VMA, anon_vma, COST_ESTIMATE) X(ANON_VMA_CHAIN, anon_vma_chain, COST_AT_LEAST) \
	X(MAPLE, maple_node, COST_ESTIMATE)
#define COST_ID(symbol, name, sureness) COST_##symbol,
enum cost_object { COST_OBJECTS(COST_ID) NR_COST_OBJECTS };

struct mm_cost {
	uint64_t nr[NR_COST_OBJECTS];
	uint64_t object_bytes[NR_COST_OBJECTS];	/* 0: not known */
	const char *unreadable;			/* the error of /proc/slabinfo, or NULL; map's */
};

extern const char *const cost_object_names[NR_COST_OBJECTS];
extern const enum cost_sureness cost_sureness[NR_COST_OBJECTS];

/* @mm: the vmas at the moment of @map. */
void mm_cost_make(struct mm_cost *cost, const struct physmap *map,
		  const struct page_classes *classes, const struct mm *mm);

/* All objects whose size is known; bytes. */
uint64_t mm_cost_bytes(const struct mm_cost *cost);

#endif
