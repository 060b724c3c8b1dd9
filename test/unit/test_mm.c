/* SPDX-License-Identifier: MIT */
/*
 * The shadow mm: merging and splitting, lookup, address choice, fork, counters, knowledge.
 *
 * Drawings: one character a page, one letter a vma (see mm_fixture.h).
 */
#include <errno.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/shm.h>


#include "mm_fixture.h"

#define RW (PROT_READ | PROT_WRITE)

static struct mm mm;

static void test_mmap_joins_both_sides(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	CHECK_MAP(&mm, "AA");
	map_pages(&mm, 3, 2, PROT_READ);
	CHECK_MAP(&mm, "AA BB");
	map_pages(&mm, 2, 1, PROT_READ);
	CHECK_MAP(&mm, "AAAAA");
	CHECK_EQ(effect.uncertain, false);
	CHECK_EQ(effect.nr_removed, 1);
	CHECK_EQ(effect.start, AT(0));
	CHECK_EQ(effect.end, AT(5));
}

static void test_mmap_fixed_heals_what_it_punched(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 6, PROT_READ);
	map_pages(&mm, 2, 2, PROT_NONE);
	CHECK_MAP(&mm, "AABBCC");
	map_pages(&mm, 2, 2, PROT_READ);
	CHECK_MAP(&mm, "AAAAAA");
}

static void test_munmap_splits(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 6, RW);
	unmap_pages(&mm, 2, 1);
	CHECK_MAP(&mm, "AA BBB");
	unmap_pages(&mm, 1, 3);
	CHECK_MAP(&mm, "A   BB");
	unmap_pages(&mm, 0, 9);
	CHECK_MAP(&mm, "");
	CHECK_EQ(mm.total_vm, 0);
	CHECK_EQ(mm.map_count_peak, 2);
	CHECK_EQ(mm.hiwater_vm, 6);
}

static void test_mprotect_moves_a_boundary(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 3, PROT_READ);
	map_pages(&mm, 3, 3, PROT_NONE);
	CHECK_MAP(&mm, "AAABBB");
	protect_pages(&mm, 3, 1, PROT_READ);
	CHECK_MAP(&mm, "AAAABB");
	CHECK_EQ(effect.nr_inserted, 0);
	CHECK_EQ(effect.nr_removed, 0);
	protect_pages(&mm, 2, 2, PROT_NONE);
	CHECK_MAP(&mm, "AABBBB");
	protect_pages(&mm, 0, 6, PROT_READ);
	CHECK_MAP(&mm, "AAAAAA");
}

static void test_mprotect_stops_at_a_hole(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	map_pages(&mm, 3, 2, PROT_READ);
	/* AA BB: the first part is changed although the call fails. */
	apply(&mm, MM_MPROTECT, -ENOMEM, AT(1), 4 * PAGE, PROT_NONE, 0, 0, 0);
	CHECK_MAP(&mm, "AB CC");
	CHECK_EQ(find_vma(&mm, AT(1))->vm_flags & VM_READ, 0);
}

static void test_madvise_goes_on_over_holes(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	map_pages(&mm, 3, 2, PROT_READ);
	apply(&mm, MM_MADVISE, -ENOMEM, AT(1), 3 * PAGE, MADV_DONTDUMP, 0, 0, 0);
	CHECK_MAP(&mm, "AB CD");
	apply(&mm, MM_MADVISE, 0, AT(1), PAGE, MADV_DODUMP, 0, 0, 0);
	CHECK_MAP(&mm, "AA BC");
}

static void test_io_destroy_unmaps_what_replaced_a_part(void)
{
	struct mm_call call = {
		.op = MM_IO_SETUP, .arg = { 100, 0, AT(2) }, .len = 4 * PAGE, .ret = 0,
	};

	fixture_init(&mm);
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_MAP(&mm, "  AAAA");
	map_pages(&mm, 0, 3, PROT_READ);
	CHECK_MAP(&mm, "AAABBB");
	apply(&mm, MM_IO_DESTROY, 0, AT(2), 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "AA");
}

static void test_huge_pages_run_out_of_a_file(void)
{
	struct vma_file file = { .is_hugetlb = true };
	struct mm_call call = {
		.op = MM_MMAP, .ret = -ENOMEM, .file = &file,
		.arg = { 1 << 21, 1 << 21, RW, MAP_PRIVATE | MAP_FIXED, 3, 0 },
	};

	fixture_init(&mm);
	apply(&mm, MM_MMAP, 1 << 21, 1 << 21, 4 * PAGE, PROT_READ,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(mm.map_count, 0);
	CHECK_EQ(effect.uncertain, true);
	/* Refused for want of address space: that comes before anything is unmapped. */
	apply(&mm, MM_MMAP, 1 << 21, 1 << 21, 4 * PAGE, PROT_READ,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mm.rlimit_as = 8 * PAGE;
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(mm.map_count, 1);
	/* So does an offset that is none of huge pages, which is looked at late. */
	call.ret = -EINVAL;
	call.arg[5] = PAGE;
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(mm.map_count, 0);
}

static void test_shmat_beyond_the_limit_splits(void)
{
	struct mm_call call = {
		.op = MM_SHMAT, .arg = { 1, AT(2), SHM_REMAP }, .len = 4 * PAGE, .ret = -ENOMEM,
	};

	fixture_init(&mm);
	map_pages(&mm, 0, 4, PROT_READ);
	CHECK_MAP(&mm, "AAAA");
	mm.rlimit_as = 5 * PAGE;
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_MAP(&mm, "AABB");
	CHECK_EQ(effect.uncertain, false);
}

/*
 * Huge pages are cut between huge pages only; what was split before that is found out stays.
 *
 *     AAAA|HHHHHHHH      over the end of A and the beginning of H
 *     AABB|HHHHHHHH
 */
static void test_indivisible_in_the_way_splits(void)
{
	struct vma_desc huge = { .vm_start = 1 << 21, .vm_end = 2 << 21, .dev_minor = 1, .inode = 7,
				 .name = "/anon_hugepage (deleted)",
				 .vm_flags = VM_READ | VM_SHARED | VM_MAYSHARE };
	const uint64_t start = (1 << 21) - 2 * PAGE;
	struct mm_call call = {
		.op = MM_MMAP, .ret = -EINVAL,
		.arg = { start, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0 },
	};

	fixture_init(&mm);
	apply(&mm, MM_MMAP, start - 2 * PAGE, start - 2 * PAGE, 4 * PAGE, PROT_READ,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK_EQ(mm_insert(&mm, &huge), 0);
	CHECK_EQ(mm.map_count, 2);
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(mm.map_count, 3);
	CHECK_EQ(mm.first->vm_end, start);
	CHECK_EQ(effect.uncertain, true);	/* other arguments are refused with this error, too */
	call.ret = -EPERM;
	call.arg[0] += PAGE;
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(mm.map_count, 3);
}

/* The copy counts beside its source, and the target is cleared before that is asked. */
static void test_dontunmap_beyond_the_limit_clears_its_target(void)
{
	struct mm_call call = {
		.op = MM_MREMAP, .ret = -ENOMEM,
		.arg = { AT(0), 4 * PAGE, 4 * PAGE,
			 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, AT(6) },
	};

	fixture_init(&mm);
	map_pages(&mm, 0, 3, PROT_READ);
	map_pages(&mm, 7, 1, PROT_READ);
	CHECK_MAP(&mm, "AAA    B");
	mm.rlimit_as = 5 * PAGE;
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_MAP(&mm, "AAA");
	CHECK_EQ(effect.uncertain, false);
}

/*
 * At the limit of vmas no split is made; but where a neighbour may be joined, none is needed.
 *
 *     AABB    lock [0, 3): B's first page joins A, if they can be one
 */
static void test_a_join_at_the_limit_is_in_doubt(void)
{
	struct vma_desc half = { .vm_flags = VM_READ | VM_WRITE, .flags_known = true };

	fixture_init(&mm);
	half.vm_start = AT(0), half.vm_end = AT(2);
	CHECK_EQ(mm_insert(&mm, &half), 0);
	half.vm_start = AT(2), half.vm_end = AT(4);
	CHECK_EQ(mm_insert(&mm, &half), 0);
	mm.max_map_count = mm.map_count;
	apply(&mm, MM_MLOCK, -ENOMEM, AT(0), 3 * PAGE, 0, 0, 0, 0);
	CHECK_EQ(effect.uncertain, true);
	CHECK_EQ(effect.start <= AT(0) && effect.end >= AT(3), true);
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(3)), 0);
	CHECK_MAP(&mm, "AAAB");
}

static void test_shmdt_of_what_is_known_from_maps_only(void)
{
	struct vma_desc desc = { .vm_flags = VM_READ | VM_SHARED | VM_MAYSHARE,
				 .inode = 7, .dev_minor = 1, .name = "/SYSV00000000 (deleted)" };

	fixture_init(&mm);
	desc.vm_start = AT(0), desc.vm_end = AT(1);
	CHECK_EQ(mm_insert(&mm, &desc), 0);
	desc.vm_start = AT(2), desc.vm_end = AT(4), desc.offset = 2 * PAGE;
	CHECK_EQ(mm_insert(&mm, &desc), 0);
	/* Attached elsewhere. */
	desc.vm_start = AT(6), desc.vm_end = AT(7), desc.offset = 0;
	CHECK_EQ(mm_insert(&mm, &desc), 0);
	CHECK_MAP(&mm, "A BB  C");
	apply(&mm, MM_SHMDT, 0, AT(0), 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "      A");
}

static void test_mremap_rounds_huge_pages(void)
{
	struct vma_file file = { .is_hugetlb = true, .name = "/memfd:huge (deleted)" };
	uint64_t huge = 2 << 20;
	struct mm_call call = {
		.op = MM_MMAP, .ret = 4 * huge, .file = &file,
		.arg = { 4 * huge, 2 * huge, RW, MAP_SHARED | MAP_FIXED, 3, 0 },
	};

	fixture_init(&mm);
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	apply(&mm, MM_MREMAP, 4 * huge, 4 * huge, 4 * PAGE, PAGE, 0, 0, 0);
	CHECK_EQ(mm.map_count, 1);
	CHECK_EQ(mm.total_vm, 2 * huge / PAGE);
}

static void test_success_shows_that_a_stack_grew(void)
{
	fixture_init(&mm);
	apply(&mm, MM_MMAP, AT(10), AT(10), 2 * PAGE, RW,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	apply(&mm, MM_MREMAP, AT(0), AT(8), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(0), 0);
	CHECK_MAP(&mm, "A        BBB");
	CHECK_EQ(effect.uncertain, true);
	protect_pages(&mm, 7, 3, PROT_READ);
	CHECK_MAP(&mm, "A      BBBCC");
	CHECK_EQ(effect.uncertain, true);
	apply(&mm, MM_MLOCK, 0, AT(5), 3 * PAGE, 0, 0, 0, 0);
	CHECK_MAP(&mm, "A    BBBCCDD");
	/* With this flag the range may begin in a hole. */
	apply(&mm, MM_MPROTECT, 0, AT(3), 9 * PAGE, PROT_NONE | PROT_GROWSDOWN, 0, 0, 0);
	CHECK_EQ(find_vma(&mm, AT(3))->vm_start, AT(5));
}

/* Of memory known from a comparison nobody knows whether it grows. */
static void test_what_may_grow_may_have_grown(void)
{
	struct vma_desc desc = { .vm_start = AT(4), .vm_end = AT(6), .vm_flags = VM_READ };

	fixture_init(&mm);
	map_pages(&mm, 6, 1, RW);
	CHECK_EQ(mm_replace(&mm, AT(4), AT(6), &desc, 1, 0), 0);
	CHECK_MAP(&mm, "    AAB");
	protect_pages(&mm, 2, 5, PROT_READ);
	CHECK_EQ(effect.uncertain, true);
	CHECK_EQ(mm.first->vm_start, AT(2));
	CHECK_EQ(mm.last->vm_flags & VM_WRITE, 0);
}

/* Seen to have private pages: it is still the forked one that it was. */
static void test_replace_keeps_what_is_known_of_a_fork(void)
{
	struct vma_desc desc = { .vm_start = AT(1), .vm_end = AT(4), .anon_vma = true,
				 .vm_flags = VM_READ | VM_WRITE };

	fixture_init(&mm);
	apply(&mm, MM_MMAP, AT(2), AT(2), 2 * PAGE, RW,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	CHECK_EQ(mm_fork_child(&mm), 0);
	CHECK_EQ(mm_replace(&mm, AT(1), AT(4), &desc, 1, 0), 0);
	CHECK_EQ(mm.first->anon_vma, ANON_VMA_PRESENT);
	CHECK_EQ(mm.first->anon_vma_forked, ANON_VMA_FORKED_YES);
}

static void test_sealed_memory_stays(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 6, PROT_READ);
	apply(&mm, MM_MSEAL, 0, AT(2), 2 * PAGE, 0, 0, 0, 0);
	CHECK_MAP(&mm, "AABBCC");
	apply(&mm, MM_MUNMAP, -EPERM, AT(1), 3 * PAGE, 0, 0, 0, 0);
	CHECK_MAP(&mm, "ABCCDD");
	apply(&mm, MM_MPROTECT, -EPERM, AT(0), 6 * PAGE, PROT_NONE, 0, 0, 0);
	CHECK_MAP(&mm, "AABBCC");
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags & VM_READ, 0);
}

/* EPERM though nothing is sealed: a sealed stack has grown into the way, and nothing has moved. */
static void test_mremap_stops_at_an_unseen_seal(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	apply(&mm, MM_MREMAP, -EPERM, AT(0), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	      AT(8), 0);
	CHECK_MAP(&mm, "AA");
	CHECK_EQ(effect.uncertain, true);
}

/*
 * Registered with a userfaultfd; what the last close(2) leaves is in doubt.
 *
 *     AAAAAA → AABBCC → AABBCC, B's second page taken back: it joins C
 */
static void test_userfaultfd_keeps_apart(void)
{
	const uint64_t add = 0xc020aa00, take_back = 0x8010aa01;

	fixture_init(&mm);
	map_pages(&mm, 0, 6, PROT_READ);
	apply(&mm, MM_IOCTL, 0, 5, add, 0, AT(2), 2 * PAGE, 1);
	CHECK_MAP(&mm, "AABBCC");
	CHECK_EQ(find_vma(&mm, AT(2))->vm_flags & VM_UFFD_MISSING, VM_UFFD_MISSING);
	apply(&mm, MM_IOCTL, 0, 5, take_back, 0, AT(3), PAGE, 0);
	CHECK_MAP(&mm, "AABCCC");
	CHECK_EQ(effect.uncertain, false);
	/* By the same number, most likely the same one; by another, not. */
	apply(&mm, MM_IOCTL, 0, 5, add, 0, AT(3), PAGE, 1);
	CHECK_MAP(&mm, "AABBCC");
	apply(&mm, MM_IOCTL, 0, 6, add, 0, AT(4), PAGE, 1);
	CHECK_MAP(&mm, "AABBCD");
	CHECK_EQ(effect.uncertain, true);
	/* What moves is registered no longer, most likely. */
	apply(&mm, MM_MREMAP, AT(9), AT(4), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(9), 0);
	CHECK_EQ(find_vma(&mm, AT(9))->vm_flags & VM_UFFD_MISSING, 0);
	apply(&mm, MM_CLOSE, 0, 5, 0, 0, 0, 0, 0);
	CHECK_EQ(effect.uncertain, true);
	CHECK_MAP(&mm, "AAAA B   C");
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(4)), 0);
	/* What has most likely lost its context is not cut by taking it back once more. */
	apply(&mm, MM_IOCTL, 0, 6, take_back, 0, AT(1), PAGE, 0);
	CHECK_MAP(&mm, "AAAA B   C");
	/* A child has no part in it. */
	apply(&mm, MM_IOCTL, 0, 5, add, 0, AT(0), PAGE, 1);
	CHECK_EQ(mm_fork_child(&mm), 0);
	CHECK_EQ(mm.first->vm_flags & VM_UFFD_MISSING, 0);
}

/* The kernel has got over what lies in @passed, and not over the rest. */
static void apply_asked(struct mm_call *call, const struct mm_range *passed, size_t nr_passed)
{
	struct vma_desc desc = { .vm_flags = VM_READ };
	uint64_t addr;

	while ((addr = mm_ask(&mm, call))) {
		bool done = false;

		for (size_t i = 0; i < nr_passed; i++)
			done |= addr >= passed[i].start && addr < passed[i].end;
		if (call->op == MM_MREMAP)
			mm_answer(call, addr, done ? NULL : &desc);
		else
			mm_answer(call, addr, done ? &(struct vma_desc){ .vm_flags = 0 } : &desc);
	}
	CHECK_EQ(mm_apply(&mm, call, &effect), 0);
}

/* AA B CC, with flags that nobody knows: what the close(2) of a userfaultfd leaves, for one. */
static void map_in_doubt(uint64_t flags)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	map_pages(&mm, 3, 1, PROT_READ);
	map_pages(&mm, 5, 2, PROT_READ);
	for (struct vma *vma = mm.first; vma; vma = vma->vm_next)
		vma->vm_flags_unknown = flags;
}

/* A move of several that fails at a context nobody knows of: the kernel tells where. */
static void test_mremap_of_several_asks_for_contexts(void)
{
	const struct mm_call move = {
		.op = MM_MREMAP, .ret = -EFAULT,
		.arg = { AT(0), 7 * PAGE, 7 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(10) },
	};
	const struct mm_range passed[] = { { AT(0), AT(5) } };
	struct mm_call call = move;

	map_in_doubt(VM_UFFD_MISSING);
	CHECK_EQ(mm_ask(&mm, &call), AT(0));
	apply_asked(&call, passed, 1);
	CHECK_EQ(call.passed, AT(3));
	CHECK_EQ(call.stopped, AT(5));
	CHECK_MAP(&mm, "     AA   BB C");
	CHECK_EQ(effect.uncertain, false);
	CHECK_EQ(find_vma(&mm, AT(10))->vm_flags_unknown & VM_UFFD_MISSING, 0);
	/* The first one of several may be it, too. */
	call = move;
	map_in_doubt(VM_UFFD_MISSING);
	apply_asked(&call, NULL, 0);
	CHECK_MAP(&mm, "AA B CC");
	/* Nobody was asked: it is in doubt. */
	call = move;
	map_in_doubt(VM_UFFD_MISSING);
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(effect.uncertain, true);
	/* One vma alone is moved with its context. */
	call = move;
	call.arg[1] = call.arg[2] = 2 * PAGE;
	map_in_doubt(VM_UFFD_MISSING);
	CHECK_EQ(mm_ask(&mm, &call), 0);
	/* Seals are in the way of a move, too. */
	call = move;
	call.ret = -EPERM;
	map_in_doubt(VM_SEALED);
	apply_asked(&call, passed, 1);
	CHECK_MAP(&mm, "     AA   BB C");
	CHECK_EQ(mm.first->vm_flags & ~mm.first->vm_flags_unknown & VM_SEALED, VM_SEALED);
}

/* AABBCC, of which B has no access rights and can't be joined; any of them may be sealed. */
static void map_maybe_sealed(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	map_pages(&mm, 2, 2, PROT_NONE);
	apply(&mm, MM_MADVISE, 0, AT(2), 2 * PAGE, MADV_DONTFORK, 0, 0, 0);
	map_pages(&mm, 4, 2, PROT_READ);
	for (struct vma *vma = mm.first; vma; vma = vma->vm_next)
		vma->vm_flags_unknown = VM_SEALED;
}

static void test_mprotect_asks_for_seals(void)
{
	const struct mm_call protect = {
		.op = MM_MPROTECT, .ret = -EPERM, .arg = { AT(0), 6 * PAGE, PROT_NONE },
	};
	const struct mm_range passed[] = { { AT(0), AT(2) } };
	struct mm_call call = protect;

	map_maybe_sealed();
	CHECK_EQ(mm_ask(&mm, &call), AT(0));
	/* Where nothing is to be changed nothing shows: it stopped there or further up. */
	apply_asked(&call, passed, 1);
	CHECK_EQ(call.passed, AT(0));
	CHECK_EQ(call.stopped, AT(4));
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags & VM_READ, 0);
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags_unknown & VM_SEALED, 0);
	CHECK_EQ(find_vma(&mm, AT(4))->vm_flags & VM_READ, VM_READ);
	CHECK_EQ(find_vma(&mm, AT(4))->vm_flags_unknown & VM_SEALED, VM_SEALED);
	CHECK_EQ(effect.uncertain, false);
	call = protect;
	map_maybe_sealed();
	apply_asked(&call, NULL, 0);
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags & VM_READ, VM_READ);
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags & VM_SEALED, VM_SEALED);
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags_unknown & VM_SEALED, 0);
	/* Nobody was asked: it is in doubt. */
	call = protect;
	map_maybe_sealed();
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_EQ(effect.uncertain, true);
	CHECK_MAP(&mm, "AABBCC");
}

static void test_process_madvise_of_oneself(void)
{
	const struct mm_range ranges[] = { { AT(0), AT(1) }, { AT(3), AT(5) }, { AT(6), AT(7) } };
	struct mm_call call = {
		.op = MM_PROCESS_MADVISE, .arg = { 3, 0, 3, MADV_DONTDUMP, 0 }, .ret = PAGE,
		.ranges = ranges, .nr_ranges = 3,
	};

	fixture_init(&mm);
	map_pages(&mm, 0, 4, PROT_READ);
	map_pages(&mm, 6, 2, PROT_READ);
	CHECK_MAP(&mm, "AAAA  BB");
	/* The second reaches into the hole, the third is not come to. */
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_MAP(&mm, "ABBC  DD");
	CHECK_EQ(effect.uncertain, true);
	call.nr_ranges = 0;
	call.ret = 4 * PAGE;
	CHECK_EQ(mm_apply(&mm, &call, &effect), 0);
	CHECK_MAP(&mm, "ABBC  DD");
}

static void test_mremap_in_place_and_moved(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	apply(&mm, MM_MREMAP, AT(0), AT(0), 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, 0, 0);
	CHECK_MAP(&mm, "AAAA");
	apply(&mm, MM_MREMAP, AT(0), AT(0), 4 * PAGE, 3 * PAGE, 0, 0, 0);
	CHECK_MAP(&mm, "AAA");
	apply(&mm, MM_MREMAP, AT(6), AT(1), PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0, 0);
	CHECK_MAP(&mm, "A B   CC");
	/* Several at once, the hole between them kept. */
	apply(&mm, MM_MREMAP, AT(10), AT(0), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	      AT(10), 0);
	CHECK_MAP(&mm, "      AA  B C");
}

static void test_mremap_dontunmap_keeps_the_source(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_NONE);
	apply(&mm, MM_MREMAP, AT(5), AT(0), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4, 0, 0);
	CHECK_MAP(&mm, "AA   BB");
	CHECK_EQ(mm.total_vm, 4);
}

static void map_written(uint64_t page, uint64_t nr)
{
	apply(&mm, MM_MMAP, AT(page), AT(page), nr * PAGE, RW,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
}

/* AA BB, two anon_vmas: which of them does what fills the hole join? */
static void test_a_hole_is_joined_from_one_side(void)
{
	fixture_init(&mm);
	map_written(0, 2);
	map_written(3, 2);
	map_pages(&mm, 2, 1, RW);
	CHECK_MAP(&mm, "AAABB");
	fixture_init(&mm);
	mm.rules |= MM_RULE_MERGE_UPPER;
	map_written(0, 2);
	map_written(3, 2);
	map_pages(&mm, 2, 1, RW);
	CHECK_MAP(&mm, "AABBB");
	/* A moved mapping takes the lower one everywhere. */
	fixture_init(&mm);
	mm.rules |= MM_RULE_MERGE_UPPER;
	map_pages(&mm, 0, 1, PROT_NONE);
	map_pages(&mm, 2, 1, PROT_NONE);
	map_pages(&mm, 5, 1, PROT_NONE);
	apply(&mm, MM_MREMAP, AT(1), AT(5), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(1), 0);
	CHECK_MAP(&mm, "AAA");
}

static void dontunmap(uint64_t page, uint64_t nr, uint64_t to)
{
	apply(&mm, MM_MREMAP, AT(to), AT(page), nr * PAGE, nr * PAGE,
	      MREMAP_MAYMOVE | MREMAP_FIXED | 4, AT(to), 0);
}

static void test_mremap_dontunmap_beside_its_source(void)
{
	static const struct {
		uint32_t rules;
		const char *map;
	} cases[] = {
		{ 0, "AAAAAA" },
		{ MM_RULE_DONTUNMAP_RESET, "AABBBB" },
		{ MM_RULE_DONTUNMAP_RESET | MM_RULE_MERGE_UPPER, "AABBCC" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture_init(&mm);
		mm.rules |= cases[i].rules;
		map_pages(&mm, 0, 2, PROT_NONE);
		map_pages(&mm, 4, 2, PROT_NONE);
		dontunmap(0, 2, 2);
		CHECK_MAP(&mm, cases[i].map);
		CHECK_EQ(effect.uncertain, false);
	}
}

static void test_mremap_dontunmap_unlocks_its_source(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 4, PROT_READ);
	apply(&mm, MM_MLOCK, 0, AT(0), 4 * PAGE, 0, 0, 0, 0);
	dontunmap(1, 1, 6);
	CHECK_MAP(&mm, "AAAA  B");
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags & VM_LOCKED, 0);
	fixture_init(&mm);
	mm.rules |= MM_RULE_DONTUNMAP_RESET;
	map_pages(&mm, 0, 4, PROT_READ);
	apply(&mm, MM_MLOCK, 0, AT(0), 4 * PAGE, 0, 0, 0, 0);
	dontunmap(1, 1, 6);
	CHECK_MAP(&mm, "ABCC  D");
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags & VM_LOCKED, VM_LOCKED);
	CHECK_EQ(find_vma(&mm, AT(1))->vm_flags & VM_LOCKED, 0);
	CHECK_EQ(mm.locked_vm, 4);
}

static void test_a_failed_mremap_may_clear_its_target(void)
{
	for (int old = 0; old < 2; old++) {
		fixture_init(&mm);
		mm.rules |= old ? MM_RULE_MREMAP_UNMAPS_FIRST : 0;
		map_pages(&mm, 0, 1, PROT_READ);
		map_pages(&mm, 1, 1, PROT_NONE);
		map_pages(&mm, 4, 3, PROT_READ);
		/* Two vmas can't grow together. */
		apply(&mm, MM_MREMAP, -EFAULT, AT(0), 2 * PAGE, 3 * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, AT(4), 0);
		CHECK_MAP(&mm, old ? "AB" : "AB  CCC");
		/* Checks that come before that: overlap, flags, nothing there. */
		map_pages(&mm, 4, 3, PROT_READ);
		apply(&mm, MM_MREMAP, -EINVAL, AT(4), PAGE, 2 * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, AT(4), 0);
		apply(&mm, MM_MREMAP, -EINVAL, AT(0), PAGE, 2 * PAGE, MREMAP_FIXED, AT(4), 0);
		apply(&mm, MM_MREMAP, -EFAULT, AT(2), PAGE, 2 * PAGE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, AT(4), 0);
		CHECK_MAP(&mm, "AB  CCC");
	}
}

static void test_ksm_for_everything_may_keep_apart(void)
{
	for (int late = 0; late < 2; late++) {
		fixture_init(&mm);
		mm.rules |= late ? MM_RULE_KSM_LATE : 0;
		apply(&mm, MM_PRCTL, 0, 67, 1, 0, 0, 0, 0);
		map_pages(&mm, 0, 1, PROT_READ);
		map_pages(&mm, 1, 1, PROT_READ);
		CHECK_MAP(&mm, late ? "AB" : "AA");
		CHECK_EQ(mm.last->vm_flags & VM_MERGEABLE, VM_MERGEABLE);
		/* Flags are alike by now. */
		protect_pages(&mm, 0, 1, PROT_NONE);
		protect_pages(&mm, 0, 1, PROT_READ);
		CHECK_MAP(&mm, "AA");
	}
}

static void test_fork_and_aio_rings(void)
{
	for (int stay = 0; stay < 2; stay++) {
		struct mm_call call = { .op = MM_IO_SETUP, .arg = { 1, 0, AT(1) }, .len = PAGE };

		fixture_init(&mm);
		mm.rules |= stay ? MM_RULE_RINGS_STAY : 0;
		mm_apply(&mm, &call, &effect);
		CHECK_MAP(&mm, " A");
		mm_fork_child(&mm);
		CHECK_MAP(&mm, stay ? "" : " A");
	}
}

/* What stays apart though alike proves anon_vmas only where either side may bring one. */
static void test_what_a_boundary_proves(void)
{
	for (int old = 0; old < 2; old++) {
		fixture_init(&mm);
		mm.rules &= old ? ~(uint32_t)MM_RULE_MERGE_FAULTED : ~0u;
		map_pages(&mm, 0, 1, RW);
		map_pages(&mm, 2, 1, RW);
		map_pages(&mm, 1, 1, RW);
		CHECK_EQ(effect.uncertain, true);
		CHECK_EQ(mm_resolve(&mm, AT(0), AT(2)), 0);
		CHECK_EQ(mm_resolve(&mm, AT(2), AT(3)), 0);
		CHECK_MAP(&mm, "AAB");
		CHECK_EQ(mm.last->anon_vma, old ? ANON_VMA_UNKNOWN : ANON_VMA_PRESENT);
	}
}

static void test_brk_joins_below_only(void)
{
	fixture_init(&mm);
	mm.start_brk = mm.brk = AT(0);
	map_pages(&mm, 3, 1, RW);
	apply(&mm, MM_BRK, AT(1), AT(1), 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "A  B");
	apply(&mm, MM_BRK, AT(2) + 5, AT(2) + 5, 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "AAAB");
	CHECK_STR(vma_name(&mm, mm.first), "[heap]");
	CHECK_STR(vma_name(&mm, mm.last), "");
	apply(&mm, MM_BRK, AT(0), AT(0), 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "   A");
}

static void test_mlock_counts_and_splits(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 4, RW);
	apply(&mm, MM_MLOCK, 0, AT(1) + 7, 1, 0, 0, 0, 0);
	CHECK_MAP(&mm, "ABCC");
	CHECK_EQ(mm.locked_vm, 1);
	apply(&mm, MM_MLOCKALL, 0, MCL_CURRENT, 0, 0, 0, 0, 0);
	CHECK_EQ(mm.locked_vm, 4);
	apply(&mm, MM_MUNLOCKALL, 0, 0, 0, 0, 0, 0, 0);
	CHECK_EQ(mm.locked_vm, 0);
}

static void test_policy_keeps_apart_and_heals(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 4, PROT_READ);
	apply(&mm, MM_MBIND, 0, AT(1), PAGE, 2, 0x1234, 2, 0);
	CHECK_MAP(&mm, "ABCC");
	CHECK_EQ(vma_boundary(&mm, find_vma(&mm, AT(1))), VMA_BOUNDARY_POLICY);
	apply(&mm, MM_MBIND, 0, AT(0), 4 * PAGE, 0, 0, 0, 0);
	CHECK_MAP(&mm, "AAAA");
}

static void test_two_written_neighbours_are_in_doubt(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, RW);
	map_pages(&mm, 3, 2, RW);
	/* AA BB: both may have been written, so their anon_vmas may differ. */
	map_pages(&mm, 2, 1, RW);
	CHECK_EQ(effect.uncertain, true);
	CHECK_EQ(mm.nr_uncertain, 1);
	CHECK_MAP(&mm, "AAABB");
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(5)), 0);
	CHECK_MAP(&mm, "AAAAA");
	CHECK_STR(mm_check(&mm) ? mm_check(&mm) : "", "");
	/* The other answer to the same question. */
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(3)), 0);
	CHECK_MAP(&mm, "AAABB");
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(9)), 1);
}

static void test_a_fresh_neighbour_is_certain(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, RW);
	map_pages(&mm, 2, 2, RW);
	CHECK_MAP(&mm, "AAAA");
	CHECK_EQ(effect.uncertain, false);
	map_pages(&mm, 4, 2, PROT_READ);
	protect_pages(&mm, 4, 1, RW);
	CHECK_MAP(&mm, "AAAAAB");
	CHECK_EQ(effect.uncertain, false);
}

static void test_forked_memory_joins_nothing_new(void)
{
	fixture_init(&mm);
	apply(&mm, MM_MMAP, AT(0), AT(0), 2 * PAGE, RW,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	mm_fork_child(&mm);
	map_pages(&mm, 2, 2, RW);
	CHECK_MAP(&mm, "AABB");
	CHECK_EQ(effect.uncertain, false);
	CHECK_EQ(vma_boundary(&mm, mm.last), VMA_BOUNDARY_ANON_VMA);
}

/* Whether memory was written before the fork or after it makes the difference, and isn't seen. */
static void test_memory_perhaps_forked_is_in_doubt(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, RW);
	mm_fork_child(&mm);
	/* Filling it proves an anon_vma, yet not that it was there at fork. */
	apply(&mm, MM_MADVISE, 0, AT(0), 2 * PAGE, 23, 0, 0, 0);
	map_pages(&mm, 2, 2, RW);
	CHECK_EQ(effect.uncertain, true);
	CHECK_MAP(&mm, "AABB");
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(4)), 0);
	CHECK_MAP(&mm, "AAAA");
	/* It has joined fresh memory: so it isn't forked. */
	map_pages(&mm, 4, 1, RW);
	CHECK_EQ(effect.uncertain, false);
	CHECK_MAP(&mm, "AAAAA");
}

/* The lock it can't have is taken away after the attempt to merge. */
static void test_droppable_memory_under_a_future_lock(void)
{
	uint64_t flags = MAP_ANONYMOUS | MAP_FIXED | 8;

	fixture_init(&mm);
	apply(&mm, MM_MMAP, AT(0), AT(0), PAGE, 0, flags, -1, 0);
	apply(&mm, MM_MLOCKALL, 0, MCL_FUTURE, 0, 0, 0, 0, 0);
	apply(&mm, MM_MMAP, AT(1), AT(1), PAGE, 0, flags, -1, 0);
	CHECK_MAP(&mm, "AB");
	CHECK_EQ(mm.locked_vm, 0);
}

/* What two joined vmas learn from each other must not reach the part that is split off. */
static void test_resolve_splits_before_it_joins(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_NONE);
	map_pages(&mm, 2, 2, RW);
	protect_pages(&mm, 2, 2, PROT_NONE);
	CHECK_EQ(effect.uncertain, true);
	CHECK_EQ(mm_resolve(&mm, AT(0), AT(3)), 0);
	CHECK_EQ(find_vma(&mm, AT(0))->vm_flags_unknown & VM_ACCOUNT, 0);
	CHECK_EQ(find_vma(&mm, AT(3))->vm_flags_unknown & VM_ACCOUNT, VM_ACCOUNT);
	CHECK_MAP(&mm, "AAAB");
}

static void test_a_failed_dontfork_stops_at_sealed_memory(void)
{
	fixture_init(&mm);
	map_pages(&mm, 0, 2, PROT_READ);
	map_pages(&mm, 4, 2, PROT_READ);
	apply(&mm, MM_MSEAL, 0, AT(4), PAGE, 0, 0, 0, 0);
	apply(&mm, MM_MADVISE, -EPERM, AT(1), 5 * PAGE, MADV_DONTFORK, 0, 0, 0);
	CHECK_MAP(&mm, "AB  CD");
	CHECK_EQ(find_vma(&mm, AT(5))->vm_flags & VM_DONTCOPY, 0);
}

static void test_fork_copies_what_it_should(void)
{
	struct mm child;

	fixture_init(&mm);
	map_pages(&mm, 0, 6, RW);
	apply(&mm, MM_MADVISE, 0, AT(2), PAGE, MADV_DONTFORK, 0, 0, 0);
	apply(&mm, MM_MLOCK, 0, AT(4), PAGE, 0, 0, 0, 0);
	CHECK_MAP(&mm, "AABCDE");
	CHECK_EQ(mm_dup(&child, &mm, &fixture_mem), 0);
	CHECK_MAP(&child, "AA BCD");
	CHECK_STR(mm_check(&child) ? mm_check(&child) : "", "");
	CHECK_EQ(child.locked_vm, 0);
	CHECK_EQ(mm.locked_vm, 1);
	CHECK(mm_hash(&mm) != mm_hash(&child));
	mmget(&child);
	CHECK_EQ(mmput(&child), false);
	CHECK_EQ(mmput(&child), true);
}

static void test_two_files_of_one_inode_are_in_doubt(void)
{
	struct vma_file file = { .dev_major = 8, .inode = 5, .name = "/f" };
	struct mm_call call = {
		.op = MM_MMAP, .file = &file, .ret = AT(0),
		.arg = { AT(0), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, 3, 0 },
	};

	fixture_init(&mm);
	mm_apply(&mm, &call, &effect);
	call.arg[0] = call.ret = AT(1);
	call.arg[5] = PAGE;
	mm_apply(&mm, &call, &effect);
	CHECK_EQ(effect.uncertain, true);
	/* Not where the file doesn't go on: nothing hinges on it. */
	call.arg[0] = call.ret = AT(2);
	call.arg[5] = 7 * PAGE;
	mm_apply(&mm, &call, &effect);
	CHECK_EQ(effect.uncertain, false);
	CHECK_EQ(vma_boundary(&mm, mm.last), VMA_BOUNDARY_PGOFF);
	/* Another file. */
	file.inode = 6;
	call.arg[0] = call.ret = AT(3);
	call.arg[5] = 8 * PAGE;
	mm_apply(&mm, &call, &effect);
	CHECK_EQ(effect.uncertain, false);
	CHECK_EQ(vma_boundary(&mm, mm.last), VMA_BOUNDARY_FILE);
}

static void test_shmdt_takes_all_pieces(void)
{
	struct vma_file file = { .inode = 7, .name = "/SYSV00000000 (deleted)" };
	struct mm_call call = { .op = MM_SHMAT, .file = &file, .ret = AT(1), .len = 4 * PAGE };

	fixture_init(&mm);
	mm_apply(&mm, &call, &effect);
	CHECK_MAP(&mm, " AAAA");
	protect_pages(&mm, 2, 1, PROT_READ);
	unmap_pages(&mm, 3, 1);
	CHECK_MAP(&mm, " AB C");
	apply(&mm, MM_SHMDT, 0, AT(1), 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "");
}

/* As a fork child finds it: nothing but maps says what belongs together. */
static void test_shmdt_takes_all_pieces_found_at_start(void)
{
	static const struct { uint64_t start, end, page; uint64_t flags; } pieces[] = {
		{ 1, 2, 0, VM_READ }, { 2, 3, 1, 0 }, { 4, 5, 3, VM_READ },
		/* The same segment, attached behind it. */
		{ 5, 6, 0, VM_READ },
	};
	struct vma_desc desc = { .inode = 7, .dev_minor = 1, .name = "/SYSV00000000 (deleted)" };

	fixture_init(&mm);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		desc.vm_start = AT(pieces[i].start);
		desc.vm_end = AT(pieces[i].end);
		desc.offset = pieces[i].page * PAGE;
		desc.vm_flags = pieces[i].flags | VM_SHARED | VM_MAYSHARE;
		CHECK_EQ(mm_insert(&mm, &desc), 0);
	}
	CHECK_MAP(&mm, " AB CD");
	apply(&mm, MM_SHMDT, 0, AT(1), 0, 0, 0, 0, 0);
	CHECK_MAP(&mm, "     A");
}

static void test_area_is_the_highest_hole(void)
{
	fixture_init(&mm);
	mm.mmap_base = AT(20);
	/*            0         1         2
	 *            01234567890123456789 */
	map_pages(&mm, 2, 2, PROT_READ);
	map_pages(&mm, 6, 10, PROT_READ);
	map_pages(&mm, 18, 2, PROT_NONE);
	CHECK_EQ(get_unmapped_area(&mm, 0, 2 * PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL), AT(16));
	CHECK_EQ(get_unmapped_area(&mm, 0, PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL), AT(17));
	CHECK_EQ(get_unmapped_area(&mm, 0, 3 * PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL),
		 AT(2) - 3 * PAGE);
	/* A hint is taken where it fits, and only there. */
	CHECK_EQ(get_unmapped_area(&mm, AT(4) + 9, 2 * PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL),
		 AT(4));
	CHECK_EQ(get_unmapped_area(&mm, AT(5), 2 * PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL),
		 AT(16));
	CHECK_EQ(get_unmapped_area(&mm, 0, PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, NULL),
		 0);
	CHECK_EQ(get_unmapped_area(&mm, 0, 0, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL), 0);
	CHECK_EQ(get_unmapped_area(&mm, 0, ~0ull, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL), 0);
}

/* Above 2^47 only by a hint, and never across. */
static void test_area_with_five_levels(void)
{
	const uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS, high = 1ull << 50, end = 1ull << 47;

	for (int five = 0; five < 2; five++) {
		uint64_t above;

		fixture_init(&mm);
		mm.mmap_base = AT(20);
		if (five)
			mm.task_size = (1ull << 56) - PAGE;
		above = mm.task_size - end + PAGE + AT(19);
		CHECK_EQ(get_unmapped_area(&mm, 0, PAGE, 0, flags, NULL), AT(19));
		CHECK_EQ(get_unmapped_area(&mm, high, PAGE, 0, flags, NULL), five ? high : AT(19));
		CHECK_EQ(get_unmapped_area(&mm, end - 2 * PAGE, 2 * PAGE, 0, flags, NULL), AT(18));
		if (!five)
			continue;
		apply(&mm, MM_MMAP, high, high, PAGE, PROT_READ, flags | MAP_FIXED, -1, 0);
		CHECK_EQ(get_unmapped_area(&mm, high, PAGE, 0, flags, NULL), above);
	}
}

static void test_stack_guard_gap_is_kept(void)
{
	fixture_init(&mm);
	mm.mmap_base = AT(1000);
	apply(&mm, MM_MMAP, AT(998), AT(998), 2 * PAGE, RW,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	CHECK_EQ(get_unmapped_area(&mm, 0, PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL),
		 AT(998 - 256 - 1));
	CHECK_EQ(mm.stack_vm, 2);
}

static void test_find_vma_means_what_the_kernel_means(void)
{
	struct vma *prev;

	fixture_init(&mm);
	map_pages(&mm, 1, 2, PROT_READ);
	map_pages(&mm, 5, 1, PROT_READ);
	CHECK_EQ(find_vma(&mm, 0)->vm_start, AT(1));
	CHECK_EQ(find_vma(&mm, AT(2))->vm_start, AT(1));
	CHECK_EQ(find_vma(&mm, AT(3))->vm_start, AT(5));
	CHECK(!find_vma(&mm, AT(6)));
	CHECK(!vma_lookup(&mm, AT(3)));
	CHECK(!find_vma_intersection(&mm, AT(3), AT(5)));
	CHECK_EQ(find_vma_intersection(&mm, AT(3), AT(5) + 1)->vm_start, AT(5));
	CHECK(!find_vma_prev(&mm, AT(6), &prev));
	CHECK_EQ(prev->vm_start, AT(5));
}

static void test_replace_takes_the_kernels_word(void)
{
	struct vma_desc desc[2] = {
		{ .vm_start = AT(1), .vm_end = AT(3), .vm_flags = VM_READ },
		{ .vm_start = AT(5), .vm_end = AT(9), .vm_flags = VM_READ | VM_WRITE },
	};

	fixture_init(&mm);
	map_pages(&mm, 0, 8, PROT_READ);
	CHECK_EQ(mm_replace(&mm, AT(1), AT(6), desc, 2, 0), 0);
	CHECK_MAP(&mm, "ABB  CCCC");
	CHECK_STR(mm_check(&mm) ? mm_check(&mm) : "", "");
	CHECK_EQ(mm_replace(&mm, AT(1), AT(6), (struct vma_desc[]) { desc[1], desc[0] }, 2, 0),
		 -EINVAL);
	CHECK_EQ(mm_replace(&mm, AT(0), AT(20), NULL, 0, 0), 0);
	CHECK_MAP(&mm, "");
}

static void test_insert_refuses_nonsense(void)
{
	struct vma_desc desc = { .vm_start = AT(0), .vm_end = AT(2), .vm_flags = VM_READ };

	fixture_init(&mm);
	CHECK_EQ(mm_insert(&mm, &desc), 0);
	CHECK_EQ(mm_insert(&mm, &desc), -EINVAL);
	desc.vm_start = desc.vm_end = AT(5);
	CHECK_EQ(mm_insert(&mm, &desc), -EINVAL);
	desc.vm_end = AT(6) + 1;
	CHECK_EQ(mm_insert(&mm, &desc), -EINVAL);
	CHECK_MAP(&mm, "AA");
}

static void test_hostile_arguments_do_no_harm(void)
{
	static const uint64_t odd[] = {
		0, 1, PAGE - 1, PAGE, AT(1), AT(1) + 1, 1ull << 47, 1ull << 63, ~0ull,
		~0ull - PAGE + 1, 0x7ffffffff000ull, 4, 0x32,
	};
	uint64_t nr = sizeof(odd) / sizeof(odd[0]), seed = 1;

	fixture_init(&mm);
	map_pages(&mm, 0, 8, RW);
	for (int i = 0; i < 200000; i++) {
		uint64_t a[7];

		for (int k = 0; k < 7; k++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			a[k] = odd[(seed >> 33) % nr];
		}
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		apply(&mm, (seed >> 40) % (MM_OP_COUNT + 2),
		      (seed >> 35) % 3 ? (int64_t)a[6] : -(int64_t)((seed >> 50) % 40), a[0], a[1],
		      a[2], a[3], a[4], a[5]);
		mm_resolve(&mm, a[0], a[1]);
		if (check_failures)
			break;
	}
}

/* The same steps with an allocator that gives out after the n-th piece, for every n. */
static void test_allocator_failures_leave_a_sound_model(void)
{
	for (uint64_t n = 0; n < 40; n++) {
		struct mm child;

		fixture_alloc.left = n;
		fixture_init(&mm);
		for (uint64_t i = 0; i < 12; i++) {
			map_pages(&mm, 2 * i, 2, i & 1 ? RW : PROT_READ);
			protect_pages(&mm, 2 * i, 1, PROT_NONE);
		}
		unmap_pages(&mm, 3, 2);
		if (!mm_dup(&child, &mm, &fixture_mem))
			CHECK_STR(mm_check(&child) ? mm_check(&child) : "", "");
	}
	fixture_alloc.left = ~0ull;
}

static void test_a_million_vmas(void)
{
	uint64_t nr = 1000000;

	fixture_init(&mm);
	mm.max_map_count = 2 * nr;
	mm.mmap_base = AT(3 * nr);
	for (uint64_t i = 0; i < nr; i++) {
		struct mm_call call = {
			.op = MM_MMAP, .ret = AT(2 * i),
			.arg = { AT(2 * i), PAGE, PROT_READ,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0 },
		};

		mm_apply(&mm, &call, &effect);
	}
	CHECK_EQ(mm.map_count, nr);
	CHECK_EQ(mm.root->node.height <= 28, true);
	CHECK_STR(mm_check(&mm) ? mm_check(&mm) : "", "");
	CHECK_EQ(get_unmapped_area(&mm, 0, PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, NULL),
		 AT(3 * nr - 1));
	unmap_pages(&mm, 0, 2 * nr);
	CHECK_EQ(mm.map_count, 0);
}

int main(void)
{
	test_mmap_joins_both_sides();
	test_mmap_fixed_heals_what_it_punched();
	test_munmap_splits();
	test_mprotect_moves_a_boundary();
	test_mprotect_stops_at_a_hole();
	test_madvise_goes_on_over_holes();
	test_io_destroy_unmaps_what_replaced_a_part();
	test_huge_pages_run_out_of_a_file();
	test_shmat_beyond_the_limit_splits();
	test_indivisible_in_the_way_splits();
	test_dontunmap_beyond_the_limit_clears_its_target();
	test_a_join_at_the_limit_is_in_doubt();
	test_shmdt_of_what_is_known_from_maps_only();
	test_mremap_rounds_huge_pages();
	test_success_shows_that_a_stack_grew();
	test_what_may_grow_may_have_grown();
	test_replace_keeps_what_is_known_of_a_fork();
	test_sealed_memory_stays();
	test_mremap_stops_at_an_unseen_seal();
	test_mremap_of_several_asks_for_contexts();
	test_mprotect_asks_for_seals();
	test_userfaultfd_keeps_apart();
	test_process_madvise_of_oneself();
	test_mremap_in_place_and_moved();
	test_mremap_dontunmap_keeps_the_source();
	test_a_hole_is_joined_from_one_side();
	test_mremap_dontunmap_beside_its_source();
	test_mremap_dontunmap_unlocks_its_source();
	test_a_failed_mremap_may_clear_its_target();
	test_ksm_for_everything_may_keep_apart();
	test_fork_and_aio_rings();
	test_what_a_boundary_proves();
	test_brk_joins_below_only();
	test_mlock_counts_and_splits();
	test_policy_keeps_apart_and_heals();
	test_two_written_neighbours_are_in_doubt();
	test_a_fresh_neighbour_is_certain();
	test_forked_memory_joins_nothing_new();
	test_memory_perhaps_forked_is_in_doubt();
	test_droppable_memory_under_a_future_lock();
	test_resolve_splits_before_it_joins();
	test_a_failed_dontfork_stops_at_sealed_memory();
	test_fork_copies_what_it_should();
	test_two_files_of_one_inode_are_in_doubt();
	test_shmdt_takes_all_pieces();
	test_shmdt_takes_all_pieces_found_at_start();
	test_area_is_the_highest_hole();
	test_area_with_five_levels();
	test_stack_guard_gap_is_kept();
	test_find_vma_means_what_the_kernel_means();
	test_replace_takes_the_kernels_word();
	test_insert_refuses_nonsense();
	test_hostile_arguments_do_no_harm();
	test_allocator_failures_leave_a_sound_model();
	test_a_million_vmas();
	test_alloc_release(&fixture_alloc);
	return test_result();
}
