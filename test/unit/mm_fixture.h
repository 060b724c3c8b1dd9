/* SPDX-License-Identifier: MIT */
/*
 * A small address space for tests, from page PAGE0 on, and drawings of it.
 *
 *   "AA B  CC"   one character a page, one letter a vma in order of address, ' ' a hole
 */
#ifndef VMTRACE_TEST_MM_FIXTURE_H
#define VMTRACE_TEST_MM_FIXTURE_H

#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"
#include "vmtrace/mm.h"

#define PAGE MM_PAGE_SIZE
#define PAGE0 0x100000ull
#define AT(page) (PAGE0 + (page) * PAGE)

struct test_block {
	struct test_block *next;
	uint64_t pad;
};

struct test_alloc {
	uint64_t left;			/* calls that still succeed */
	struct test_block *blocks;	/* everything handed out */
};

static inline void *test_alloc_fn(void *ctx, size_t bytes)
{
	struct test_alloc *a = ctx;
	struct test_block *block = a->left ? calloc(1, sizeof(*block) + bytes) : NULL;

	if (!block)
		return NULL;
	a->left--;
	block->next = a->blocks;
	a->blocks = block;
	return block + 1;
}

static inline void test_alloc_release(struct test_alloc *a)
{
	for (struct test_block *block = a->blocks, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	a->blocks = NULL;
}

static struct test_alloc fixture_alloc = { .left = ~0ull };
static const struct mm_alloc fixture_mem = { .alloc = test_alloc_fn, .ctx = &fixture_alloc };
static struct mm_effect effect;

static inline void fixture_init(struct mm *mm)
{
	test_alloc_release(&fixture_alloc);
	mm_init(mm, &fixture_mem);
	mm->mmap_min_addr = PAGE;
}

static inline int64_t apply(struct mm *mm, enum mm_op op, int64_t ret, uint64_t a0, uint64_t a1,
			    uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct mm_call call = { .op = op, .arg = { a0, a1, a2, a3, a4, a5 }, .ret = ret };
	int err = mm_apply(mm, &call, &effect);

	CHECK_STR(mm_check(mm) ? mm_check(mm) : "", "");
	return err;
}

static inline void map_pages(struct mm *mm, uint64_t page, uint64_t nr, int prot)
{
	apply(mm, MM_MMAP, AT(page), AT(page), nr * PAGE, prot,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static inline void protect_pages(struct mm *mm, uint64_t page, uint64_t nr, int prot)
{
	apply(mm, MM_MPROTECT, 0, AT(page), nr * PAGE, prot, 0, 0, 0);
}

static inline void unmap_pages(struct mm *mm, uint64_t page, uint64_t nr)
{
	apply(mm, MM_MUNMAP, 0, AT(page), nr * PAGE, 0, 0, 0, 0);
}

/* Letters in order of address, A the first at or above PAGE0; trailing holes are left out. */
static inline const char *draw(struct mm *mm)
{
	static char text[256];
	size_t n = 0, used = 0;
	char letter = 'A';

	for (const struct vma *vma = mm->first; vma; vma = vma->vm_next) {
		if (vma->vm_start < PAGE0)
			continue;
		for (; n < sizeof(text) - 1 && AT(n) < vma->vm_start; n++)
			text[n] = ' ';
		for (; n < sizeof(text) - 1 && AT(n) < vma->vm_end; n++)
			text[n] = letter;
		used = n;
		letter++;
	}
	text[used] = '\0';
	return text;
}

#define CHECK_MAP(mm, drawing) CHECK_STR(draw(mm), drawing)

#endif
