/* SPDX-License-Identifier: MIT */
#include "heap_areas.h"

#include <string.h>
#include <sys/mman.h>

#include "layout_role.h"

const char *const heap_area_titles[HEAP_NR_AREAS] = {
	[HEAP_AREA_BRK] = "brk heap", [HEAP_AREA_ARENA] = "arenas",
	[HEAP_AREA_MAPPED] = "mapped blocks", [HEAP_AREA_OTHER] = "other memory",
};

const char *const heap_area_names[HEAP_NR_AREAS] = {
	[HEAP_AREA_BRK] = "brk", [HEAP_AREA_ARENA] = "arena", [HEAP_AREA_MAPPED] = "mapped",
	[HEAP_AREA_OTHER] = "other",
};

static bool is_thread_stack(const struct layout_maker *maker)
{
	return maker && maker->call.op == MM_MMAP && maker->call.arg[3] & MAP_STACK;
}

static enum heap_area_kind kind_of(const struct vma *vma, const struct layout_maker *maker)
{
	if (maker && layout_is_arena(vma, maker))
		return HEAP_AREA_ARENA;
	return maker && maker->origin == TRACE_ORIGIN_LIBC ? HEAP_AREA_MAPPED : HEAP_AREA_OTHER;
}

static void add(struct heap_areas *a, enum heap_area_kind kind, const struct vma *part)
{
	struct heap_area *area;

	a->list = alloc_grow(a->list, a->nr, &a->cap, sizeof(*a->list));
	area = &a->list[a->nr++];
	*area = (struct heap_area){ .kind = kind, .start = part->vm_start, .end = part->vm_end };
}

static void add_pieces(struct heap_areas *a, const struct vma *vma, struct layout_pieces *pieces)
{
	struct vma part = *vma;

	for (; part.vm_start < vma->vm_end; part.vm_start = part.vm_end) {
		const struct layout_maker *maker = layout_pieces_at(pieces, part.vm_start,
								    vma->vm_end, &part.vm_end);

		if (!is_thread_stack(maker))
			add(a, kind_of(&part, maker), &part);
	}
}

static bool is_candidate(const struct vma *vma)
{
	return vma->vm_flags & VM_WRITE && !(vma->vm_flags & (VM_MAYSHARE | VM_GROWSDOWN)) &&
	       !vma->inode && !vma->own;
}

void heap_areas_collect(struct heap_areas *a, const struct mm *mm, struct layout_pieces *pieces,
			const struct physmap *frames, const struct page_classes *classes)
{
	const struct vma *vma;
	size_t i;

	*a = (struct heap_areas){ 0 };
	for (vma = mm->first; vma; vma = vma->vm_next) {
		if (!is_candidate(vma))
			continue;
		if (!strcmp(vma_name(mm, vma), "[heap]"))
			add(a, HEAP_AREA_BRK, vma);
		else
			add_pieces(a, vma, pieces);
	}
	for (i = 0; frames && i < a->nr; i++)
		a->list[i].resident = layout_frames_sum(frames, classes, a->list[i].start,
							a->list[i].end).anon;
}

void heap_areas_fini(struct heap_areas *a)
{
	alloc_free(a->list);
	*a = (struct heap_areas){ 0 };
}

struct heap_area *heap_areas_find(const struct heap_areas *a, uint64_t addr)
{
	size_t lo = 0, hi = a->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->list[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < a->nr && a->list[lo].start <= addr ? &a->list[lo] : NULL;
}
