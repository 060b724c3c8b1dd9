/* SPDX-License-Identifier: MIT */
#include "frames_thp.h"

#define THP_REASON_NAME(symbol, name, text) [THP_##symbol] = name,
const char *const thp_reason_names[NR_THP_REASONS] = { THP_REASONS(THP_REASON_NAME) };
#define THP_REASON_TEXT(symbol, name, text) [THP_##symbol] = text,
const char *const thp_reason_texts[NR_THP_REASONS] = { THP_REASONS(THP_REASON_TEXT) };

/* Of pages in blocks that lie in the vma. */
static enum thp_reason reason_of(const struct phys_vma *vma, const struct rec_page_class *c,
				 bool on_advice)
{
	bool is_shmem = page_kind(c) == PAGE_KIND_SHMEM;

	if (vma->vm_flags & VM_NOHUGEPAGE)
		return THP_NOHUGEPAGE;
	if (!c || !c->has_huge)
		return THP_UNKNOWN;
	if (c->kpageflags & KPF(PAGE_FLAG_THP))
		return THP_SPLIT;
	if (is_shmem)
		return THP_SHMEM;
	return on_advice && !(vma->vm_flags & VM_HUGEPAGE) ? THP_NOT_ADVISED : THP_NOT_COLLAPSED;
}

static uint64_t overlap(uint64_t start, uint64_t end, uint64_t from, uint64_t to)
{
	start = start > from ? start : from;
	end = end < to ? end : to;
	return end > start ? (end - start) / MM_PAGE_SIZE : 0;
}

void thp_note(struct frames_thp *thp, const struct phys_vma *vma, const struct rec_run *run,
	      const struct rec_page_class *c, bool on_advice)
{
	uint64_t first = (vma->start + THP_BYTES - 1) & ~(THP_BYTES - 1), in_blocks = 0;
	uint64_t last = vma->end & ~(THP_BYTES - 1);
	enum page_kind kind = page_kind(c);

	if ((kind != PAGE_KIND_ANON && kind != PAGE_KIND_SHMEM) || !page_is_present(c) ||
	    (c && c->huge))
		return;
	if (vma->end - vma->start < THP_BYTES) {
		thp->pages[THP_TOO_SMALL] += run->pages;
		return;
	}
	if (first >= vma->start && first < last)
		in_blocks = overlap(run->va, rec_run_end(run), first, last);
	thp->pages[THP_ALIGNMENT] += run->pages - in_blocks;
	thp->pages[reason_of(vma, c, on_advice)] += in_blocks;
}

uint64_t thp_total(const struct frames_thp *thp)
{
	uint64_t pages = 0;
	int i;

	for (i = 0; i < NR_THP_REASONS; i++)
		pages += thp->pages[i];
	return pages;
}
