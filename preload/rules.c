/* SPDX-License-Identifier: MIT */
/*
 * Experiments on scratch pages: see rules.h.
 *
 *     base                                                   base + SCRATCH_PAGES
 *     |n.12345.n|n.12345.n| … |n.12345.n|                    n: PROT_NONE, never changed
 *      slot 0    slot 1        one for each experiment
 *
 * The scratch range is reserved as a whole before anything is tried, so that MAP_FIXED in it can't
 * hit what isn't ours. Each experiment leaves a picture in the pages of its slot; what matters is
 * where one vma ends and the next one starts.
 */
#include "rules.h"

#include <errno.h>
#include <linux/prctl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <vmtrace/mm.h>

#include "kmaps.h"
#include "sys.h"

#include "no_heap.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* Above every place the arena may take, below every position-independent program. */
#define SCRATCH_BASE 0x280000000000ull
#define SLOT_PAGES 8
#define NR_SLOTS 7
#define SCRATCH_PAGES (SLOT_PAGES * NR_SLOTS + 1)
#define HUGE_BYTES (2ull << 20)
#define FOUR_LEVEL_END (1ull << 47)
#define FIVE_LEVEL_END (1ull << 56)

#define RW (PROT_READ | PROT_WRITE)

enum slot {
	SLOT_STACK, SLOT_ACCOUNT, SLOT_FAULTED, SLOT_HOLE, SLOT_RESET, SLOT_SEVERAL, SLOT_NAME,
};

struct picture {
	unsigned char vma[SCRATCH_PAGES];	/* 0: hole; else a number that differs by vma */
	unsigned char nr_vmas;
};

static uint64_t page_at(enum slot slot, int page)
{
	return SCRATCH_BASE + ((uint64_t)slot * SLOT_PAGES + (uint64_t)page) * MM_PAGE_SIZE;
}

static bool map(enum slot slot, int page, int prot, int flags)
{
	void *p = (void *)(uintptr_t)page_at(slot, page);

	return sys_mmap(p, MM_PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1,
			0) == p;
}

/* With an anon_vma, which the first write makes. */
static bool map_written(enum slot slot, int page)
{
	if (!map(slot, page, RW, 0))
		return false;
	*(volatile char *)(uintptr_t)page_at(slot, page) = 1;
	return true;
}

static bool protect(enum slot slot, int page, int prot)
{
	return !sys_call(SYS_mprotect, (long)page_at(slot, page), MM_PAGE_SIZE, prot, 0, 0, 0);
}

/* To another page of the slot. */
static bool move(enum slot slot, int page, int nr, int new_nr, int flags, int to)
{
	long ret = sys_call(SYS_mremap, (long)page_at(slot, page), nr * (long)MM_PAGE_SIZE,
			    new_nr * (long)MM_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
			    (long)page_at(slot, to), 0);

	return ret == (long)page_at(slot, to);
}

static bool joined(const struct picture *p, enum slot slot, int page)
{
	const unsigned char *at = p->vma + slot * SLOT_PAGES + page;

	return at[0] && at[0] == at[1];
}

static bool is_hole(const struct picture *p, enum slot slot, int page)
{
	return !p->vma[slot * SLOT_PAGES + page];
}

/* Two fresh pages, which join anywhere but in a process whose memory is all KSM's; a stack. */
static bool draw_stack(void)
{
	return map(SLOT_STACK, 1, PROT_READ, 0) && map(SLOT_STACK, 2, PROT_READ, 0) &&
	       map(SLOT_STACK, 3, PROT_READ, MAP_STACK);
}

static bool see_stack(const struct picture *p, uint32_t *rules)
{
	if (!joined(p, SLOT_STACK, 1))
		return false;
	*rules |= joined(p, SLOT_STACK, 2) ? 0 : MM_RULE_STACK_NOHUGEPAGE;
	return true;
}

static bool draw_account(void)
{
	return map(SLOT_ACCOUNT, 1, RW, 0) && map(SLOT_ACCOUNT, 2, PROT_READ, 0) &&
	       protect(SLOT_ACCOUNT, 1, PROT_READ);
}

static bool see_account(const struct picture *p, uint32_t *rules)
{
	*rules |= joined(p, SLOT_ACCOUNT, 1) ? MM_RULE_ACCOUNT_CLEAR : 0;
	return true;
}

/* A written page becomes like the fresh one above it; both stay accounted. */
static bool draw_faulted(void)
{
	return map_written(SLOT_FAULTED, 1) && map(SLOT_FAULTED, 2, PROT_WRITE, 0) &&
	       protect(SLOT_FAULTED, 1, PROT_WRITE);
}

static bool see_faulted(const struct picture *p, uint32_t *rules)
{
	*rules |= joined(p, SLOT_FAULTED, 1) ? MM_RULE_MERGE_FAULTED : 0;
	return true;
}

/* A fresh page between two written ones. */
static bool draw_hole(void)
{
	return map_written(SLOT_HOLE, 1) && map_written(SLOT_HOLE, 3) && map(SLOT_HOLE, 2, RW, 0);
}

/*
 * vm_ops->close can't be tried without a SysV segment, whose id the program would see missing, nor
 * [heap] without a mapping at the program's break. Both changed before the merge was rewritten and
 * after 6.1, to which they are counted.
 */
static bool see_hole(const struct picture *p, uint32_t *rules)
{
	bool left = joined(p, SLOT_HOLE, 1), right = joined(p, SLOT_HOLE, 2);

	if (left == right)
		return false;
	*rules |= right ? MM_RULE_MERGE_UPPER : MM_RULE_CLOSE_BOUNDARY | MM_RULE_HEAP_STRICT;
	return true;
}

/* A written page was moved, so that its offset isn't that of its place; its vma stays behind. */
static bool draw_reset(void)
{
	return map_written(SLOT_RESET, 1) && move(SLOT_RESET, 1, 1, 1, 0, 3) &&
	       move(SLOT_RESET, 3, 1, 1, MREMAP_DONTUNMAP, 5) && map(SLOT_RESET, 4, RW, 0);
}

/* The kernels that reset the offset also keep copy and source apart: one series of fixes. */
static bool see_reset(const struct picture *p, uint32_t *rules)
{
	*rules |= joined(p, SLOT_RESET, 3) ? MM_RULE_DONTUNMAP_RESET : 0;
	return true;
}

/* Two vmas can't be resized at once anywhere, but perhaps moved. */
static bool draw_several(void)
{
	if (!map(SLOT_SEVERAL, 1, PROT_READ, 0) || !map(SLOT_SEVERAL, 2, PROT_WRITE, 0) ||
	    move(SLOT_SEVERAL, 1, 2, 3, 0, 4))
		return false;
	(void)move(SLOT_SEVERAL, 1, 2, 2, 0, 5);
	return true;
}

/*
 * The first target shows at page 4 whether it was cleared. KSM's flag can't be tried without giving
 * it to the whole program; it moved in the release that brought the move of several vmas, 6.17.
 */
static bool see_several(const struct picture *p, uint32_t *rules)
{
	*rules |= is_hole(p, SLOT_SEVERAL, 1) ? MM_RULE_MULTI_MREMAP : MM_RULE_KSM_LATE;
	*rules |= is_hole(p, SLOT_SEVERAL, 4) ? MM_RULE_MREMAP_UNMAPS_FIRST : 0;
	return true;
}

static bool draw_name(void)
{
	sys_call(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (long)page_at(SLOT_NAME, 1),
		 MM_PAGE_SIZE, (long)"vmtrace", 0);
	return true;
}

static bool see_name(const struct picture *p, uint32_t *rules)
{
	*rules |= joined(p, SLOT_NAME, 0) ? 0 : MM_RULE_ANON_NAME;
	return true;
}

static const struct experiment {
	uint32_t decides;				/* the rules see() knows about */
	bool (*draw)(void);				/* false: a call was refused */
	bool (*see)(const struct picture *p, uint32_t *rules);	/* false: the picture says nothing */
} experiments[NR_SLOTS] = {
	[SLOT_STACK] = { MM_RULE_STACK_NOHUGEPAGE, draw_stack, see_stack },
	[SLOT_ACCOUNT] = { MM_RULE_ACCOUNT_CLEAR, draw_account, see_account },
	[SLOT_FAULTED] = { MM_RULE_MERGE_FAULTED, draw_faulted, see_faulted },
	[SLOT_HOLE] = { MM_RULE_MERGE_UPPER | MM_RULE_CLOSE_BOUNDARY | MM_RULE_HEAP_STRICT,
			draw_hole, see_hole },
	[SLOT_RESET] = { MM_RULE_DONTUNMAP_RESET, draw_reset, see_reset },
	[SLOT_SEVERAL] = { MM_RULE_MULTI_MREMAP | MM_RULE_KSM_LATE | MM_RULE_MREMAP_UNMAPS_FIRST,
			   draw_several, see_several },
	[SLOT_NAME] = { MM_RULE_ANON_NAME, draw_name, see_name },
};

static int take_vma(const struct vma_desc *desc, void *ctx)
{
	struct picture *p = ctx;
	uint64_t addr = desc->vm_start;

	p->nr_vmas++;
	if (addr < SCRATCH_BASE)
		addr = SCRATCH_BASE;
	for (; addr < desc->vm_end && addr < page_at(0, SCRATCH_PAGES); addr += MM_PAGE_SIZE)
		p->vma[(addr - SCRATCH_BASE) / MM_PAGE_SIZE] = p->nr_vmas;
	return addr >= page_at(0, SCRATCH_PAGES);
}

static uint32_t probe_merging(void)
{
	void *base = (void *)(uintptr_t)SCRATCH_BASE, *got;
	struct picture p = { 0 };
	uint32_t rules = MM_RULES_DEFAULT;
	bool drawn[NR_SLOTS];
	int i, err;

	got = sys_mmap(base, SCRATCH_PAGES * MM_PAGE_SIZE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (sys_is_err((long)got))
		return rules;
	/* Before Linux 4.17 the flag is but a hint. */
	if (got != base) {
		sys_call(SYS_munmap, (long)got, SCRATCH_PAGES * MM_PAGE_SIZE, 0, 0, 0, 0);
		return rules;
	}
	for (i = 0; i < NR_SLOTS; i++)
		drawn[i] = experiments[i].draw();
	err = kmaps_walk(SCRATCH_BASE, page_at(0, SCRATCH_PAGES), take_vma, &p);
	for (i = 0; i < NR_SLOTS && err >= 0; i++) {
		uint32_t seen = 0;

		if (drawn[i] && experiments[i].see(&p, &seen))
			rules = (rules & ~experiments[i].decides) | seen;
	}
	sys_call(SYS_munmap, (long)base, SCRATCH_PAGES * MM_PAGE_SIZE, 0, 0, 0, 0);
	return rules;
}

static void *map_anywhere(void *hint, uint64_t len)
{
	return sys_mmap(hint, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static bool is_aligned(const void *p)
{
	return !((uintptr_t)p & (HUGE_BYTES - 1));
}

/*
 * Where the kernel puts memory that could be huge pages. One place in 512 is aligned by chance: a
 * page right below it leaves chance no second one.
 */
static uint32_t probe_align(uint32_t rules)
{
	uint64_t bytes[3] = { HUGE_BYTES, MM_PAGE_SIZE, HUGE_BYTES };
	void *p[3];
	int nr = 0;

	p[0] = map_anywhere(NULL, bytes[0]);
	if (sys_is_err((long)p[0]))
		return rules;
	nr = 1;
	rules &= ~MM_RULE_THP_ALIGN;
	if (is_aligned(p[0])) {
		rules |= MM_RULE_THP_ALIGN;
		p[1] = map_anywhere((char *)p[0] - MM_PAGE_SIZE, bytes[1]);
		nr += !sys_is_err((long)p[1]);
	}
	if (nr == 2) {
		p[2] = map_anywhere(NULL, bytes[2]);
		nr += !sys_is_err((long)p[2]);
	}
	if (nr == 3 && !is_aligned(p[2]))
		rules &= ~MM_RULE_THP_ALIGN;
	while (nr--)
		sys_call(SYS_munmap, (long)p[nr], (long)bytes[nr], 0, 0, 0, 0);
	return rules;
}

/*
 * Whether the vdso, which is VM_SPECIAL and copied by fork anyway, may be told so. An AIO ring takes
 * too long to make for a look at its flags; the same release changed them.
 */
static uint32_t probe_special(uint32_t rules)
{
	uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
	int err = vdso ? sys_madvise((void *)(uintptr_t)vdso, MM_PAGE_SIZE, MADV_DOFORK) : 0;

	return err == -EINVAL ? rules | MM_RULE_RINGS_STAY : rules;
}

uint32_t rules_probe(void)
{
	return probe_special(probe_align(probe_merging()));
}

uint64_t rules_task_size(void)
{
	void *want = (void *)(uintptr_t)FOUR_LEVEL_END, *got;

	got = sys_mmap(want, MM_PAGE_SIZE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (!sys_is_err((long)got))
		sys_call(SYS_munmap, (long)got, MM_PAGE_SIZE, 0, 0, 0, 0);
	return (got == want || (long)got == -EEXIST ? FIVE_LEVEL_END : FOUR_LEVEL_END) -
	       MM_PAGE_SIZE;
}

uint32_t rules_settings(void)
{
	char text[64];
	uint32_t rules = 0;
	long key;

	/* "always [madvise] never" */
	if (sys_read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)) <= 0 ||
	    !strstr(text, "[always]"))
		rules |= MM_RULE_THP_MADVISE;
	if (sys_read_file("/proc/sys/vm/overcommit_memory", text, sizeof(text)) > 0 &&
	    text[0] == '2')
		rules |= MM_RULE_OVERCOMMIT_NEVER;
	key = sys_call(SYS_pkey_alloc, 0, 0, 0, 0, 0, 0);
	if (key >= 0) {
		rules |= MM_RULE_PKEYS;
		sys_call(SYS_pkey_free, key, 0, 0, 0, 0, 0);
	}
	return rules;
}
