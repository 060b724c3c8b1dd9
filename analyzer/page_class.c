/* SPDX-License-Identifier: MIT */
#include "page_class.h"

#include "alloc.h"

const char *const page_flag_names[NR_PAGE_FLAGS] = {
	[PAGE_FLAG_LOCKED] = "locked", [PAGE_FLAG_ERROR] = "error",
	[PAGE_FLAG_REFERENCED] = "referenced", [PAGE_FLAG_UPTODATE] = "uptodate",
	[PAGE_FLAG_DIRTY] = "dirty", [PAGE_FLAG_LRU] = "lru", [PAGE_FLAG_ACTIVE] = "active",
	[PAGE_FLAG_SLAB] = "slab", [PAGE_FLAG_WRITEBACK] = "writeback",
	[PAGE_FLAG_RECLAIM] = "reclaim", [PAGE_FLAG_BUDDY] = "buddy", [PAGE_FLAG_MMAP] = "mmap",
	[PAGE_FLAG_ANON] = "anon", [PAGE_FLAG_SWAPCACHE] = "swapcache",
	[PAGE_FLAG_SWAPBACKED] = "swapbacked", [PAGE_FLAG_COMPOUND_HEAD] = "compound_head",
	[PAGE_FLAG_COMPOUND_TAIL] = "compound_tail", [PAGE_FLAG_HUGE] = "huge",
	[PAGE_FLAG_UNEVICTABLE] = "unevictable", [PAGE_FLAG_HWPOISON] = "hwpoison",
	[PAGE_FLAG_NOPAGE] = "nopage", [PAGE_FLAG_KSM] = "ksm", [PAGE_FLAG_THP] = "thp",
	[PAGE_FLAG_OFFLINE] = "offline", [PAGE_FLAG_ZERO] = "zero", [PAGE_FLAG_IDLE] = "idle",
	[PAGE_FLAG_PGTABLE] = "pgtable", [PAGE_FLAG_RESERVED] = "reserved",
	[PAGE_FLAG_MLOCKED] = "mlocked", [PAGE_FLAG_OWNER_2] = "owner_2",
	[PAGE_FLAG_PRIVATE] = "private", [PAGE_FLAG_PRIVATE_2] = "private_2",
	[PAGE_FLAG_OWNER_PRIVATE] = "owner_private", [PAGE_FLAG_ARCH] = "arch",
	[PAGE_FLAG_UNCACHED] = "uncached", [PAGE_FLAG_SOFTDIRTY] = "softdirty",
	[PAGE_FLAG_ARCH_2] = "arch_2", [PAGE_FLAG_ARCH_3] = "arch_3",
};

#define PAGE_KIND_NAME(symbol, name) [PAGE_KIND_##symbol] = name,
const char *const page_kind_names[NR_PAGE_KINDS] = { PAGE_KINDS(PAGE_KIND_NAME) };

void page_classes_fini(struct page_classes *classes)
{
	alloc_free(classes->list);
	*classes = (struct page_classes){ 0 };
}

/* One out of order is left out: its runs have no class. */
void page_classes_add(struct page_classes *classes, const struct rec_page_class *c)
{
	if (c->id != classes->nr + 1)
		return;
	classes->list = alloc_grow(classes->list, classes->nr, &classes->cap, sizeof(*classes->list));
	classes->list[classes->nr++] = *c;
}

const struct rec_page_class *page_class(const struct page_classes *classes, uint32_t id)
{
	return id && id <= classes->nr ? &classes->list[id - 1] : NULL;
}

enum page_kind page_kind(const struct rec_page_class *c)
{
	uint64_t flags;

	if (!c)
		return PAGE_KIND_ANON;
	if (c->pagemap & PM_GUARD)
		return PAGE_KIND_GUARD;
	if (!(c->pagemap & PM_PRESENT))
		return PAGE_KIND_SWAP;
	if (!c->has_kpageflags)
		return c->pagemap & PM_FILE ? PAGE_KIND_FILE : PAGE_KIND_ANON;
	flags = c->kpageflags;
	if (flags & KPF(PAGE_FLAG_ZERO))
		return PAGE_KIND_ZERO;
	if (flags & (KPF(PAGE_FLAG_NOPAGE) | KPF(PAGE_FLAG_RESERVED)))
		return PAGE_KIND_SPECIAL;
	if (flags & KPF(PAGE_FLAG_HUGE))
		return PAGE_KIND_HUGETLB;
	if (flags & KPF(PAGE_FLAG_KSM))
		return PAGE_KIND_KSM;
	if (flags & KPF(PAGE_FLAG_ANON) || !(c->pagemap & PM_FILE))
		return PAGE_KIND_ANON;
	return flags & KPF(PAGE_FLAG_SWAPBACKED) ? PAGE_KIND_SHMEM : PAGE_KIND_FILE;
}

bool page_is_in_rss(const struct rec_page_class *c)
{
	enum page_kind kind = page_kind(c);

	if (kind == PAGE_KIND_SPECIAL)
		return c->kpageflags & KPF(PAGE_FLAG_MMAP);
	return page_is_present(c) && kind != PAGE_KIND_ZERO && kind != PAGE_KIND_HUGETLB &&
	       kind != PAGE_KIND_GUARD;
}

bool page_classes_agree(const struct page_classes *classes, const struct rec_frames *f)
{
	uint64_t resident = 0, swapped = 0, untold = 0, more;
	size_t i;

	for (i = 0; i < f->nr_runs; i++) {
		const struct rec_page_class *c = page_class(classes, f->runs[i].class);

		if (!c)
			untold += f->runs[i].pages;
		else if (page_is_present(c))
			resident += f->runs[i].pages;
		else if (page_is_swapped(c))
			swapped += f->runs[i].pages;
	}
	if (f->resident < resident || f->swapped < swapped)
		return false;
	more = f->resident - resident;
	return more <= untold && f->swapped - swapped <= untold - more;
}
