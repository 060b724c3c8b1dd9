/* SPDX-License-Identifier: MIT */
/*
 * Random operations on the shadow mm and on the plainest model there is: an array with one entry
 * a page, which knows nothing of vmas. After every step both must say the same of every page, and
 * mm_check() must find the shadow in order.
 *
 * usage: test_mm_random [seeds [operations]]
 */
#include <linux/mman.h>
#include <stdlib.h>

#include "mm_fixture.h"

#define NR_PAGES 96

struct page {
	bool mapped, sealed;
	uint8_t prot;
	bool shared, dontdump, locked;
	uint64_t inode, offset;		/* file: inode != 0 */
};

static struct page pages[NR_PAGES];
static struct mm mm;
static uint64_t rng;

static uint64_t below(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % n;
}

struct range {
	uint64_t start, end;	/* pages */
};

static struct range some_range(void)
{
	struct range r = { .start = below(NR_PAGES) };

	r.end = r.start + 1 + below(below(8) ? 6 : 40);
	if (r.end > NR_PAGES)
		r.end = NR_PAGES;
	return r;
}

static bool any_sealed(struct range r)
{
	for (uint64_t i = r.start; i < r.end; i++)
		if (pages[i].mapped && pages[i].sealed)
			return true;
	return false;
}

static uint64_t first_hole(struct range r)
{
	uint64_t i = r.start;

	while (i < r.end && pages[i].mapped)
		i++;
	return i;
}

static int64_t run_call(enum mm_op op, int64_t ret, const struct vma_file *file, struct range r,
			uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct mm_call call = {
		.op = op, .ret = ret, .file = file,
		.arg = { AT(r.start), (r.end - r.start) * PAGE, a2, a3, a4, a5 },
	};

	return mm_apply(&mm, &call, &effect);
}

static void step_mmap(void)
{
	static const int prots[] = { 0, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC };
	struct vma_file file = { .dev_major = 8, .name = "/file" };
	struct range r = some_range();
	int prot = prots[below(4)], flags = MAP_FIXED | MAP_PRIVATE;
	uint64_t offset = 0;

	if (any_sealed(r))
		return;
	if (!below(3)) {
		file.inode = 1 + below(2);
		offset = (below(2) ? r.start : below(4)) * PAGE;
		flags = MAP_FIXED | (below(2) ? MAP_SHARED : MAP_PRIVATE);
	} else {
		flags |= MAP_ANONYMOUS;
	}
	run_call(MM_MMAP, AT(r.start), file.inode ? &file : NULL, r, prot, flags, -1, offset);
	for (uint64_t i = r.start; i < r.end; i++)
		pages[i] = (struct page) {
			.mapped = true, .prot = prot, .shared = flags & MAP_SHARED,
			.inode = file.inode,
			.offset = file.inode ? offset + (i - r.start) * PAGE : 0,
		};
}

static void step_munmap(void)
{
	struct range r = some_range();
	bool sealed = any_sealed(r);

	run_call(MM_MUNMAP, sealed ? -1 : 0, NULL, r, 0, 0, 0, 0);
	for (uint64_t i = r.start; i < r.end && !sealed; i++)
		pages[i] = (struct page) { 0 };
}

static void step_mprotect(void)
{
	struct range r = some_range();
	uint64_t hole = first_hole(r);
	int prot = below(2) ? PROT_READ : below(2) ? PROT_READ | PROT_WRITE : 0;

	if (any_sealed(r))
		return;
	run_call(MM_MPROTECT, hole < r.end ? -12 : 0, NULL, r, prot, 0, 0, 0);
	for (uint64_t i = r.start; i < hole; i++)
		pages[i].prot = prot;
}

static void step_madvise(void)
{
	struct range r = some_range();
	bool on = below(2);

	run_call(MM_MADVISE, first_hole(r) < r.end ? -12 : 0, NULL, r,
		 on ? MADV_DONTDUMP : MADV_DODUMP, 0, 0, 0);
	for (uint64_t i = r.start; i < r.end; i++)
		pages[i].dontdump = pages[i].mapped && on;
}

static void step_mlock(void)
{
	struct range r = some_range();
	uint64_t hole = first_hole(r);
	bool on = below(2);

	run_call(on ? MM_MLOCK : MM_MUNLOCK, hole < r.end ? -12 : 0, NULL, r, 0, 0, 0, 0);
	for (uint64_t i = r.start; i < hole; i++)
		pages[i].locked = on;
}

static void step_mseal(void)
{
	struct range r = some_range();

	r.end = r.start + 1;
	if (first_hole(r) < r.end)
		return;
	run_call(MM_MSEAL, 0, NULL, r, 0, 0, 0, 0);
	pages[r.start].sealed = true;
}

static void step_mremap(void)
{
	struct range from = some_range(), to = some_range();
	struct page moved[NR_PAGES];
	uint64_t nr = from.end - from.start;

	to.end = to.start + nr;
	if (to.end > NR_PAGES || (from.start < to.end && to.start < from.end) ||
	    any_sealed(from) || any_sealed(to) || !pages[from.start].mapped)
		return;
	run_call(MM_MREMAP, AT(to.start), NULL, from, nr * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		 AT(to.start), 0);
	memcpy(moved, pages + from.start, nr * sizeof(*pages));
	/* A hole in the source moves nothing and unmaps nothing. */
	for (uint64_t i = 0; i < nr; i++)
		if (moved[i].mapped)
			pages[to.start + i] = moved[i];
	for (uint64_t i = from.start; i < from.end; i++)
		pages[i] = (struct page) { 0 };
}

/* Now and then the kernel's answer: any vma may turn out to be two, and two alike to be one. */
static void step_resolve(void)
{
	struct vma *vma = find_vma(&mm, AT(below(NR_PAGES)));
	uint64_t nr;

	if (!vma)
		return;
	nr = (vma->vm_end - vma->vm_start) / PAGE;
	if (nr > 1)
		mm_resolve(&mm, vma->vm_start, vma->vm_start + (1 + below(nr - 1)) * PAGE);
	else if (vma->vm_next && !((vma->vm_flags ^ vma->vm_next->vm_flags) & ~VM_ACCOUNT))
		mm_resolve(&mm, vma->vm_start, vma->vm_next->vm_end);
}

static void step_fork(void)
{
	mm_fork_child(&mm);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		pages[i].locked = false;
}

/* Nothing is left sealed for ever, or the array would fill up with it. */
static void step_replace(void)
{
	mm_replace(&mm, AT(0), AT(NR_PAGES), NULL, 0, 0);
	memset(pages, 0, sizeof(pages));
}

static bool same_page(uint64_t i)
{
	const struct page *p = &pages[i];
	struct vma *vma = vma_lookup(&mm, AT(i));
	struct vma_desc d;

	if (!vma || !p->mapped)
		return CHECK_EQ(vma != NULL, p->mapped);
	vma_describe(&mm, vma, &d);
	if (!CHECK_EQ(d.vm_flags & 7, p->prot) || !CHECK_EQ(d.inode, p->inode) ||
	    !CHECK_EQ(!!(d.vm_flags & VM_MAYSHARE), p->shared) ||
	    !CHECK_EQ(!!(d.vm_flags & VM_DONTDUMP), p->dontdump) ||
	    !CHECK_EQ(!!(d.vm_flags & VM_LOCKED), p->locked) ||
	    !CHECK_EQ(!!(d.vm_flags & VM_SEALED), p->sealed))
		return false;
	return !p->inode || CHECK_EQ(d.offset + AT(i) - vma->vm_start, p->offset);
}

static bool same(void)
{
	const char *broken = mm_check(&mm);

	if (!CHECK_STR(broken ? broken : "", ""))
		return false;
	for (uint64_t i = 0; i < NR_PAGES; i++)
		if (!same_page(i)) {
			fprintf(stderr, "page %d\n", (int)i);
			return false;
		}
	return true;
}

static void run(uint64_t seed, uint64_t ops)
{
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	fixture_init(&mm);
	memset(pages, 0, sizeof(pages));
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t r = below(1000);

		if (r < 330)
			step_mmap();
		else if (r < 450)
			step_munmap();
		else if (r < 640)
			step_mprotect();
		else if (r < 760)
			step_madvise();
		else if (r < 830)
			step_mlock();
		else if (r < 930)
			step_mremap();
		else if (r < 970)
			step_resolve();
		else if (r < 990)
			step_mseal();
		else if (r < 995)
			step_fork();
		else
			step_replace();
		if (!same()) {
			fprintf(stderr, "seed %d, step %d\n", (int)seed, (int)i);
			return;
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 4;
	uint64_t ops = argc > 2 ? strtoull(argv[2], NULL, 0) : 50000;

	for (uint64_t seed = 1; seed <= seeds && !check_failures; seed++)
		run(seed, ops);
	test_alloc_release(&fixture_alloc);
	return test_result();
}
