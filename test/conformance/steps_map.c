/* SPDX-License-Identifier: MIT */
/*
 * Random mappings, protections and attributes.
 *
 * Most happen in a small window, so that neighbours meet often. The window moves on when sealed
 * vmas have piled up in it. "Floating" mappings are those whose place the kernel chose.
 */
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "steps.h"

#define SEALS_MAX 60
#define HUGE_PAGE (2ull << 20)

uint64_t some_prot(struct generator *g)
{
	static const uint64_t prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE, PROT_EXEC,
	};

	/* Few kinds, or neighbours would seldom be alike. */
	return prots[one_in(g, 5) ? below(g, 8) : below(g, 4)];
}

struct mmap_args {
	uint64_t addr, len, flags, fd, off;
	const struct file_info *file;
};

static void choose_backing(struct generator *g, struct mmap_args *a)
{
	uint64_t kind = below(g, 20);

	a->flags = MAP_PRIVATE | MAP_ANONYMOUS;
	if (kind < 5) {
		a->file = &objects.files[below(g, objects.nr_files)];
		a->fd = a->file->fd;
		a->off = below(g, 6) * PAGE;
		a->flags = one_in(g, 2) ? MAP_PRIVATE : MAP_SHARED;
		if (one_in(g, 20))
			a->flags = MAP_SHARED_VALIDATE;
	} else if (kind == 5) {
		a->flags = MAP_SHARED | MAP_ANONYMOUS;
	} else if (kind == 6 && one_in(g, 3)) {
		a->flags = MAP_DROPPABLE | MAP_ANONYMOUS;
	}
}

static void choose_flags(struct generator *g, struct mmap_args *a)
{
	static const struct { uint64_t chance, flag; } extra[] = {
		{ 12, MAP_NORESERVE }, { 15, MAP_POPULATE }, { 30, MAP_STACK }, { 40, MAP_LOCKED },
		{ 200, MAP_HUGETLB },
	};

	for (size_t i = 0; i < sizeof(extra) / sizeof(extra[0]); i++)
		if (one_in(g, extra[i].chance))
			a->flags |= extra[i].flag;
	/* Arguments no kernel takes. */
	if (one_in(g, 150))
		a->flags &= ~(uint64_t)MAP_TYPE;
	if (one_in(g, 150))
		a->fd = 999;
	if (one_in(g, 150))
		a->off += 1 + below(g, PAGE);
}

static void choose_place(struct generator *g, struct mmap_args *a, bool fixed)
{
	if (!fixed) {
		if (one_in(g, 4))
			a->addr = one_in(g, 3) ? below(g, 1 << 20) : some_addr(g) + below(g, PAGE);
		if (one_in(g, 40))
			a->flags |= MAP_32BIT;
		if (one_in(g, 6))
			a->len = (1 + below(g, 3)) * HUGE_PAGE;
		return;
	}
	a->addr = some_addr(g);
	a->flags |= one_in(g, 4) ? MAP_FIXED_NOREPLACE : MAP_FIXED;
	if (one_in(g, 60))
		a->flags |= MAP_GROWSDOWN;
	/* Sometimes the offset continues the file where the address does. */
	if (a->file && one_in(g, 2))
		a->off = (a->addr - g->window) & ~(PAGE - 1);
	if (!a->len && one_in(g, 3))
		a->len = PAGE;
}

/* Huge pages want addresses, lengths and offsets of their own; other ones are refused at once. */
static void align_for_huge_pages(struct generator *g, struct mmap_args *a, bool fixed)
{
	if (one_in(g, 4))
		return;
	if (fixed)
		a->addr = g->window & ~(HUGE_PAGE - 1);
	a->len = (1 + below(g, 2)) * HUGE_PAGE;
	a->off = a->file ? below(g, 2) * HUGE_PAGE : 0;
}

void step_mmap(struct generator *g, struct step *s, bool fixed)
{
	struct mmap_args a = { .len = some_len(g), .fd = -1ull };

	choose_backing(g, &a);
	choose_flags(g, &a);
	choose_place(g, &a, fixed);
	if ((a.file && a.file->is_hugetlb) || (a.flags & MAP_HUGETLB))
		align_for_huge_pages(g, &a, fixed);
	CALL(g, s, SYS_mmap, MM_MMAP, a.addr, a.len, some_prot(g), a.flags, a.fd, a.off);
	s->file.is_hugetlb = a.file && a.file->is_hugetlb;
	if (s->call.ret < 0)
		return;
	s->wants_file = a.file || (a.flags & (MAP_SHARED | MAP_HUGETLB));
	if (a.file) {
		s->file.no_write = a.file->no_write;
		s->file.no_exec = a.file->no_exec;
		s->file.thp_align = a.file->thp_align;
	}
	if (!fixed)
		remember_floating(g, s->call.ret, a.len);
}

void step_munmap(struct generator *g, struct step *s)
{
	if (g->nr_floating && one_in(g, 2)) {
		unsigned int i = below(g, g->nr_floating);
		uint64_t addr = g->floating[i], len = g->floating_len[i];

		g->nr_floating--;
		g->floating[i] = g->floating[g->nr_floating];
		g->floating_len[i] = g->floating_len[g->nr_floating];
		CALL(g, s, SYS_munmap, MM_MUNMAP, addr, len);
		return;
	}
	CALL(g, s, SYS_munmap, MM_MUNMAP, some_addr(g), some_len(g));
}

void step_mprotect(struct generator *g, struct step *s)
{
	uint64_t prot = some_prot(g), addr = some_addr(g), len = some_len(g);

	if (one_in(g, 60))
		prot |= PROT_GROWSDOWN;
	if (one_in(g, 30)) {
		CALL(g, s, SYS_pkey_mprotect, MM_PKEY_MPROTECT, addr, len, prot,
		     one_in(g, 2) ? -1ull : 0);
		return;
	}
	if (g->nr_floating && one_in(g, 6)) {
		unsigned int i = below(g, g->nr_floating);

		len = g->floating_len[i];
		addr = g->floating[i] + below(g, len / PAGE + 1) * PAGE;
		len = g->floating[i] + len - addr;
		if (!one_in(g, 3))
			len = len < PAGE ? len : PAGE;
	}
	CALL(g, s, SYS_mprotect, MM_MPROTECT, addr, len, prot);
}

void step_mremap(struct generator *g, struct step *s)
{
	uint64_t flags = one_in(g, 4) ? 0 : MREMAP_MAYMOVE, len = some_len(g), to = 0;
	uint64_t new_len = one_in(g, 2) ? len : some_len(g), addr = some_addr(g);

	if (one_in(g, 2)) {
		flags = MREMAP_MAYMOVE | MREMAP_FIXED;
		to = some_addr(g);
	}
	if (one_in(g, 5)) {
		flags |= MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
		new_len = len;
	}
	if (one_in(g, 12))
		len = 0;
	CALL(g, s, SYS_mremap, MM_MREMAP, addr, len, new_len, flags, to);
	if (s->call.ret > 0 && !to && (uint64_t)s->call.ret != addr)
		remember_floating(g, s->call.ret, new_len);
}

void step_brk(struct generator *g, struct step *s)
{
	uint64_t want = g->brk + below(g, 9) * PAGE - 4 * PAGE;

	/* Threads that move the one break undo each other's work. */
	if (!g->is_main)
		return;
	if (one_in(g, 4))
		want += below(g, PAGE);
	if (g->brk > g->brk_low + 256 * PAGE || want < g->brk_low)
		want = g->brk_low + below(g, 4) * PAGE;
	if (one_in(g, 30))
		want = 0;
	CALL(g, s, SYS_brk, MM_BRK, want);
	if (s->call.ret > 0)
		g->brk = s->call.ret;
}

void step_madvise(struct generator *g, struct step *s)
{
	static const int flags[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTFORK, MADV_DOFORK,
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTDUMP, MADV_DODUMP, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_NORMAL, MADV_DODUMP,
	};
	static const int neutral[] = {
		MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_REMOVE,
		22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */, 25 /* COLLAPSE */,
		102 /* GUARD_INSTALL */, 103 /* GUARD_REMOVE */, 12345,
	};
	int advice = one_in(g, 3) ? neutral[below(g, sizeof(neutral) / sizeof(int))] :
				    flags[below(g, sizeof(flags) / sizeof(int))];

	/* Holes don't stop it: an endless range would throw away our own memory. */
	CALL(g, s, SYS_madvise, MM_MADVISE, some_addr(g), some_span(g), advice);
	/* Depends on whether there is a free huge page, and on who else holds the pages. */
	s->volatile_result = advice == 25 || advice == MADV_PAGEOUT;
}

void step_lock(struct generator *g, struct step *s)
{
	uint64_t kind = below(g, 20);

	if (kind < 6)
		CALL(g, s, SYS_mlock, MM_MLOCK, some_addr(g), some_len(g));
	else if (kind < 9)
		CALL(g, s, SYS_mlock2, MM_MLOCK2, some_addr(g), some_len(g), below(g, 3));
	else if (kind < 18)
		CALL(g, s, SYS_munlock, MM_MUNLOCK, some_addr(g), some_len(g));
	else if (kind == 18 && one_in(g, 6))
		CALL(g, s, SYS_mlockall, MM_MLOCKALL, 1 + below(g, 7));
	else
		CALL(g, s, SYS_munlockall, MM_MUNLOCKALL, 0);
	/* The limit counts the library's memory, too. */
	s->volatile_result = s->call.op == MM_MLOCKALL;
}

void step_seal(struct generator *g, struct step *s)
{
	if (g->nr_seals >= SEALS_MAX) {
		CALL(g, s, SYS_mseal, MM_MSEAL, some_addr(g), some_len(g), 1);
		return;
	}
	CALL(g, s, SYS_mseal, MM_MSEAL, some_addr(g), some_len(g), 0);
	/* What is sealed stays: leave it behind when there is too much of it. */
	if (!s->call.ret && ++g->nr_seals % 4 == 0)
		g->window += 4 * WINDOW_PAGES * PAGE;
}

void step_policy(struct generator *g, struct step *s)
{
	static uint64_t node0 = 1;
	static const int modes[] = {
		MPOL_DEFAULT, MPOL_DEFAULT, MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE, MPOL_LOCAL,
	};
	int mode = modes[below(g, 6)];

	if (one_in(g, 6)) {
		CALL(g, s, SYS_set_mempolicy_home_node, MM_SET_MEMPOLICY_HOME_NODE, some_addr(g),
		     some_span(g), 0, 0);
		return;
	}
	if (one_in(g, 20))
		CALL(g, s, SYS_set_mempolicy, MM_SET_MEMPOLICY, mode,
		     mode == MPOL_DEFAULT || mode == MPOL_LOCAL ? 0 : (uintptr_t)&node0, 2);
	else if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
		CALL(g, s, SYS_mbind, MM_MBIND, some_addr(g), some_span(g), mode, 0, 0, 0);
	else
		CALL(g, s, SYS_mbind, MM_MBIND, some_addr(g), some_span(g), mode, (uintptr_t)&node0,
		     2, below(g, 4));
}

void step_remap_file_pages(struct generator *g, struct step *s)
{
	CALL(g, s, SYS_remap_file_pages, MM_REMAP_FILE_PAGES, some_addr(g), some_len(g), 0,
	     below(g, 9), 0);
}

/* Of itself: what advice it takes changes no vma. */
void step_process_madvise(struct generator *g, struct step *s)
{
	static const int advices[] = { MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_DONTNEED,
				       MADV_NOHUGEPAGE, MADV_RANDOM, 25 /* COLLAPSE */ };
	static struct iovec part[NR_GENERATORS];
	struct iovec *iov = &part[g->id % NR_GENERATORS];

	iov->iov_base = (void *)some_addr(g);
	iov->iov_len = some_span(g);
	CALL(g, s, SYS_process_madvise, MM_PROCESS_MADVISE, objects.self, (uintptr_t)iov, 1,
	     advices[below(g, sizeof(advices) / sizeof(int))], 0);
	s->range = (struct mm_range){ (uintptr_t)iov->iov_base,
				      (uintptr_t)iov->iov_base + iov->iov_len };
	if (s->range.end < s->range.start)
		s->range.end = ~0ull;
	s->call.ranges = &s->range;
	s->call.nr_ranges = 1;
	s->volatile_result = true;
}
