/* SPDX-License-Identifier: MIT */
#include "page_tables.h"

#include <errno.h>
#include <sys/mman.h>

const char *const table_level_names[NR_TABLE_LEVELS] = {
	[TABLE_PTE] = "pte", [TABLE_PMD] = "pmd", [TABLE_PUD] = "pud", [TABLE_P4D] = "p4d",
	[TABLE_PGD] = "pgd",
};

/* What one table covers, as a power of two. */
static const unsigned int shifts[] = {
	[TABLE_PTE] = 21, [TABLE_PMD] = 30, [TABLE_PUD] = 39, [TABLE_P4D] = 48,
};

#define PTE_TABLE_SPAN (1ull << 21)
enum { PAGES_IN_PMD = 512, FOUR_LEVEL_BITS = 47 };

/* Counts tables of one level under ranges that come in the order of their starts. */
struct counter {
	uint64_t nr, next;		/* tables below @next are counted */
};

static void count(struct counter *counter, unsigned int shift, uint64_t start, uint64_t end)
{
	uint64_t first = start >> shift, last = (end - 1) >> shift;

	first = first > counter->next ? first : counter->next;
	if (first > last)
		return;
	counter->nr += last + 1 - first;
	counter->next = last + 1;
}

/* The lowest level at which a page of @run has a table. @next: the run behind it, or NULL. */
static enum table_level level_of(const struct rec_run *run, const struct rec_run *next,
				 const struct rec_page_class *c, bool is_hugetlb)
{
	if (!c || !c->huge)
		return is_hugetlb ? TABLE_PMD : TABLE_PTE;
	/* The head of a page is of another class than the many tails behind it. */
	if (is_hugetlb && c->kpageflags & KPF(PAGE_FLAG_COMPOUND_TAIL) &&
	    run->pages >= PAGES_IN_PMD)
		return TABLE_PUD;
	if (is_hugetlb && c->kpageflags & KPF(PAGE_FLAG_COMPOUND_HEAD) && next &&
	    next->va == run->va + MM_PAGE_SIZE && next->pages >= PAGES_IN_PMD)
		return TABLE_PUD;
	return TABLE_PMD;
}

static bool keeps_table(const struct rec_page_class *c, bool is_hugetlb)
{
	enum page_kind kind = page_kind(c);

	return c && c->huge && !is_hugetlb && c->pagemap & PM_PRESENT &&
	       (kind == PAGE_KIND_ANON || kind == PAGE_KIND_ZERO || kind == PAGE_KIND_KSM);
}

static void count_vma(struct page_tables *t, struct counter *counters, const struct physmap *map,
		      const struct phys_vma *vma, const struct page_classes *classes,
		      uint64_t *ret_kept_pages)
{
	bool is_hugetlb = vma->vm_flags & VM_HUGETLB;
	size_t i, last = vma->first_run + vma->nr_runs;

	for (i = vma->first_run; i < last && i < map->nr_runs; i++) {
		const struct rec_run *run = &map->runs[i];
		const struct rec_page_class *c = page_class(classes, run->class);
		uint64_t end = rec_run_end(run);
		int level = level_of(run, i + 1 < last ? run + 1 : NULL, c,
				     is_hugetlb || page_kind(c) == PAGE_KIND_HUGETLB);

		if (keeps_table(c, is_hugetlb))
			*ret_kept_pages += run->pages;
		t->has_huge &= !c || c->has_huge || !(c->pagemap & PM_PRESENT);
		t->has_five_levels |= end > 1ull << FOUR_LEVEL_BITS;
		for (; level < TABLE_PGD; level++)
			count(&counters[level], shifts[level], run->va, end);
	}
}

static void count_filled(struct page_tables *t, const struct mm *mm)
{
	struct counter counters[NR_COUNTED_LEVELS] = { 0 };
	const struct vma *vma;
	int level;

	for (vma = mm->first; vma; vma = vma->vm_next) {
		level = vma->vm_flags & VM_HUGETLB ? TABLE_PMD : TABLE_PTE;
		for (; level < NR_COUNTED_LEVELS; level++)
			count(&counters[level], shifts[level], vma->vm_start, vma->vm_end);
	}
	for (level = 0; level < NR_COUNTED_LEVELS; level++)
		t->filled[level] = counters[level].nr;
}

/*
 * Runs and what was emptied, merged by their starts: tables under both, less those under runs. Of what
 * was emptied only tables count that also lie under a vma.
 */
static void count_emptied(struct page_tables *t, const struct physmap *map, const struct mm *mm,
			  const struct emptied *e)
{
	struct counter with[NR_COUNTED_LEVELS] = { 0 }, without[NR_COUNTED_LEVELS] = { 0 };
	struct counter with_own[NR_COUNTED_LEVELS] = { 0 };
	const struct vma *vma = mm->first, *gap = e->mm.first;
	size_t i = 0;
	int level;

	while (i < map->nr_runs || (vma && gap)) {
		bool is_run, is_own = gap && gap->own;
		uint64_t start, end;

		start = vma && gap ? vma->vm_start & -PTE_TABLE_SPAN : UINT64_MAX;
		start = vma && gap && gap->vm_start > start ? gap->vm_start : start;
		is_run = i < map->nr_runs && map->runs[i].va <= start;
		if (is_run) {
			start = map->runs[i].va;
			end = rec_run_end(&map->runs[i++]);
		} else if (gap->vm_end <= vma->vm_end) {
			end = gap->vm_end;
			gap = gap->vm_next;
		} else {
			end = vma->vm_end;
			vma = vma->vm_next;
		}
		for (level = 0; start < end && level < NR_COUNTED_LEVELS; level++) {
			count(&with[level], shifts[level], start, end);
			if (is_run)
				count(&without[level], shifts[level], start, end);
			if (is_run || is_own)
				count(&with_own[level], shifts[level], start, end);
		}
	}
	for (level = 0; level < NR_COUNTED_LEVELS; level++) {
		t->emptied[level] = with[level].nr - without[level].nr;
		t->emptied_own[level] = with_own[level].nr - without[level].nr;
	}
}

void page_tables_count(struct page_tables *t, const struct physmap *map,
		       const struct page_classes *classes, const struct mm *mm,
		       const struct emptied *e)
{
	struct counter counters[NR_TABLE_LEVELS] = { 0 };
	uint64_t kept_pages = 0;
	size_t i;

	*t = (struct page_tables){ .has_huge = true };
	for (i = 0; i < map->nr_vmas; i++)
		count_vma(t, counters, map, &map->vmas[i], classes, &kept_pages);
	for (i = 0; i < NR_TABLE_LEVELS; i++)
		t->nr[i] = counters[i].nr;
	t->nr[TABLE_P4D] = t->has_five_levels ? t->nr[TABLE_P4D] : 0;
	t->nr[TABLE_PGD] = 1;
	t->kept = kept_pages / PAGES_IN_PMD;
	count_filled(t, mm);
	count_emptied(t, map, mm, e);
}

uint64_t page_tables_bytes(const struct page_tables *t)
{
	uint64_t nr = t->kept;
	int level;

	for (level = 0; level < NR_COUNTED_LEVELS; level++)
		nr += t->nr[level];
	return nr * TABLE_BYTES;
}

void emptied_init(struct emptied *e)
{
	pool_init(&e->pool);
	mm_init(&e->mm, &e->pool.mem);
}

void emptied_fini(struct emptied *e)
{
	pool_fini(&e->pool);
}

/* Every table that @bytes from @start on have a part in. */
static void put(struct emptied *e, uint64_t start, uint64_t bytes, bool own)
{
	struct vma_desc desc = { .vm_flags = VM_READ, .own = own };

	if (!bytes || bytes > UINT64_MAX - 2 * PTE_TABLE_SPAN - start)
		return;
	desc.vm_start = start & -PTE_TABLE_SPAN;
	desc.vm_end = (start + bytes + PTE_TABLE_SPAN - 1) & -PTE_TABLE_SPAN;
	if (mm_replace(&e->mm, desc.vm_start, desc.vm_end, &desc, 1, 0) == -ENOMEM)
		alloc_failed();
}

/* What is unmapped takes its tables along, but for those at its ends that others may use. */
static void unmap(struct emptied *e, uint64_t start, uint64_t bytes, bool own)
{
	uint64_t from = (start + PTE_TABLE_SPAN - 1) & -PTE_TABLE_SPAN;
	uint64_t to = (start + bytes) & -PTE_TABLE_SPAN;

	if (!bytes || start > UINT64_MAX - PTE_TABLE_SPAN || bytes > UINT64_MAX - start)
		return;
	if (from < to && mm_replace(&e->mm, from, to, NULL, 0, 0) == -ENOMEM)
		alloc_failed();
	if (start < from)
		put(e, start, from - start < bytes ? from - start : bytes, own);
	if (to >= from && start + bytes > to)
		put(e, to, start + bytes - to, own);
}

static bool takes_pages(uint64_t advice)
{
	enum { GUARD_REMOVE = 103, DONTNEED_LOCKED = 24 };

	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
	       advice == MADV_PAGEOUT || advice == DONTNEED_LOCKED || advice == GUARD_REMOVE;
}

static void note_call(struct emptied *e, const struct mm_call *c, bool own)
{
	size_t i;

	switch (c->op) {
	case MM_MADVISE:
		if (takes_pages(c->arg[2]))
			put(e, c->arg[0], c->arg[1], own);
		break;
	case MM_PROCESS_MADVISE:
		for (i = 0; takes_pages(c->arg[3]) && i < c->nr_ranges; i++)
			put(e, c->ranges[i].start, c->ranges[i].end - c->ranges[i].start, own);
		break;
	case MM_MUNMAP:
		unmap(e, c->arg[0], c->arg[1], own);
		break;
	case MM_MMAP:
		if (c->arg[3] & MAP_FIXED)
			unmap(e, c->arg[0], c->arg[1], own);
		break;
	case MM_BRK:
		put(e, (uint64_t)c->ret, 1, own);
		break;
	case MM_MREMAP:
		if ((uint64_t)c->ret != c->arg[0])
			put(e, c->arg[0], c->arg[1], own);
		else if (c->arg[2] < c->arg[1])
			unmap(e, c->arg[0] + c->arg[2], c->arg[1] - c->arg[2], own);
		break;
	default:
		break;
	}
}

void emptied_record(struct emptied *e, const struct record *rec)
{
	if (rec->ev == TRACE_CALL && !rec->call.errno_name)
		note_call(e, &rec->call.call, rec->call.origin == TRACE_ORIGIN_SELF);
}
