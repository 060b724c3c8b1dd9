/* SPDX-License-Identifier: MIT */
/*
 * Page tables that the pages of a checkpoint need, level by level (x86-64, 4096-byte tables):
 *
 *     level   a table covers   is there for
 *     PTE     2 MiB            pages mapped one by one, in swap, guarded
 *     PMD     1 GiB            these, and huge pages of 2 MiB
 *     PUD     512 GiB          these, and huge pages of 1 GiB
 *     P4D     256 TiB          five levels only; with four it is folded into the PGD
 *     PGD     all              always
 *
 * The kernel's count (VmPTE, mm_pgtables_bytes()) is of PTE, PMD and PUD tables, and of one PTE table
 * that it keeps with each transparent huge page of anonymous memory, to split it without having to ask
 * for memory. Huge pages of files and of hugetlb have none.
 */
#ifndef VMTRACE_ANALYZER_PAGE_TABLES_H
#define VMTRACE_ANALYZER_PAGE_TABLES_H

#include "alloc.h"
#include "physmap.h"

enum table_level { TABLE_PTE, TABLE_PMD, TABLE_PUD, TABLE_P4D, TABLE_PGD, NR_TABLE_LEVELS };
extern const char *const table_level_names[NR_TABLE_LEVELS];
#define TABLE_BYTES 4096u

/* Of these the kernel counts so many. */
enum { NR_COUNTED_LEVELS = TABLE_PUD + 1 };

struct page_tables {
	uint64_t nr[NR_TABLE_LEVELS];		/* needed for the pages */
	uint64_t kept;				/* PTE tables with huge pages, not in @nr */
	uint64_t emptied[NR_COUNTED_LEVELS];	/* at most, where calls have taken pages away */
	uint64_t emptied_own[NR_COUNTED_LEVELS];	/* of these by vmtrace's calls */
	uint64_t filled[NR_COUNTED_LEVELS];	/* if all pages of all vmas were there, as small ones */
	bool has_five_levels;			/* there are addresses that need them */
	bool has_huge;				/* which pages are huge is known */
};

/* Where calls have taken pages away but not the mapping, in steps of 2 MiB. */
struct emptied {
	struct pool pool;
	struct mm mm;				/* one vma each */
};

void emptied_init(struct emptied *emptied);
void emptied_fini(struct emptied *emptied);
void emptied_record(struct emptied *emptied, const struct record *rec);

/* @mm: the vmas at the moment of @map. */
void page_tables_count(struct page_tables *tables, const struct physmap *map,
		       const struct page_classes *classes, const struct mm *mm,
		       const struct emptied *emptied);

/* Bytes of those that the kernel counts. */
uint64_t page_tables_bytes(const struct page_tables *tables);

#endif
