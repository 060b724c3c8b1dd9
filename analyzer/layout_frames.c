/* SPDX-License-Identifier: MIT */
#include "layout_frames.h"

#include "alloc.h"
#include "json.h"
#include "layout.h"

enum { HUGE_BYTES = 2 << 20 };		/* of a huge page */

static uint64_t pages_with(struct json_t *flags, const char *name)
{
	uint64_t n = 0;

	(void)js_u64(flags ? js_get(flags, name) : NULL, &n);
	return n;
}

/* Of @run what may be huge pages: aligned to them in both address spaces. */
static struct layout_run huge_part(const struct layout_run *run)
{
	uint64_t start = (run->start + HUGE_BYTES - 1) & ~(uint64_t)(HUGE_BYTES - 1);
	uint64_t end = run->end & ~(uint64_t)(HUGE_BYTES - 1);

	if (start >= end || (run->pfn - run->start / MM_PAGE_SIZE) % (HUGE_BYTES / MM_PAGE_SIZE))
		end = start;
	return (struct layout_run){ start, end, 0 };
}

/* Unless they are all that is resident of the vma, in order, there are none. */
static void note_runs(struct layout_frames *fs, const struct rec_frames *f,
		      struct layout_resident *to)
{
	uint64_t at = f->start;
	size_t i;

	for (i = 0; f->pfn_visible && i < f->nr_runs; i++) {
		const struct rec_run *from = &f->runs[i];
		struct layout_run *run, huge;

		if (from->va < at || from->va >= f->end || from->va % MM_PAGE_SIZE ||
		    from->pages > (f->end - from->va) / MM_PAGE_SIZE)
			break;
		fs->runs = alloc_grow(fs->runs, fs->nr_runs, &fs->cap_runs, sizeof(*fs->runs));
		run = &fs->runs[fs->nr_runs++];
		at = from->va + from->pages * MM_PAGE_SIZE;
		*run = (struct layout_run){ from->va, at, from->pfn };
		huge = huge_part(run);
		to->run_bytes += run->end - run->start;
		to->huge_run_bytes += huge.end - huge.start;
	}
	if (i == f->nr_runs && to->run_bytes / MM_PAGE_SIZE == f->resident)
		to->nr_runs = fs->nr_runs - to->first_run;
	else
		fs->nr_runs = to->first_run;
}

void layout_frames_note(struct layout_frames *fs, const struct rec_frames *f)
{
	uint64_t pages = (f->end - f->start) / MM_PAGE_SIZE;
	uint64_t resident = f->resident < pages ? f->resident : pages;
	uint64_t anon = resident > f->file ? resident - f->file : 0;
	uint64_t huge = add_capped(pages_with(f->flags, "thp"), pages_with(f->flags, "huge"));

	if (fs->is_new)
		fs->nr = fs->nr_runs = 0;
	fs->is_new = false;
	fs->is_known = true;
	fs->list = alloc_grow(fs->list, fs->nr, &fs->cap, sizeof(*fs->list));
	fs->list[fs->nr++] = (struct layout_resident){
		.start = f->start, .end = f->end, .anon = anon, .file = resident - anon,
		.huge = huge < anon ? huge : anon, .first_run = fs->nr_runs,
	};
	note_runs(fs, f, &fs->list[fs->nr - 1]);
}

const struct layout_resident *layout_frames_find(const struct layout_frames *fs,
						 const struct vma *vma)
{
	size_t lo = 0, hi = fs->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (fs->list[mid].start < vma->vm_start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < fs->nr && fs->list[lo].start == vma->vm_start ? &fs->list[lo] : NULL;
}

/* Bytes of @pages for a part of what they are spread over. */
static uint64_t share(uint64_t pages, uint64_t part, uint64_t all)
{
	return all ? (uint64_t)((unsigned __int128)pages * part / all) * MM_PAGE_SIZE : 0;
}

static uint64_t overlap(uint64_t start, uint64_t end, const struct layout_run *run)
{
	uint64_t from = start > run->start ? start : run->start;
	uint64_t to = end < run->end ? end : run->end;

	return to > from ? to - from : 0;
}

/* The first of @f's runs that ends above @addr. */
static size_t find_run(const struct layout_frames *fs, const struct layout_resident *f,
		       uint64_t addr)
{
	size_t lo = f->first_run, hi = f->first_run + f->nr_runs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (fs->runs[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

void layout_frames_share(const struct layout_frames *fs, const struct layout_resident *f,
			 uint64_t start, uint64_t end, uint64_t of, uint64_t *ret_anon,
			 uint64_t *ret_huge)
{
	uint64_t all = f->run_bytes, huge_all = f->huge_run_bytes, part = 0, huge = 0;
	size_t i, last = f->first_run + f->nr_runs;

	for (i = find_run(fs, f, start); i < last && fs->runs[i].start < end; i++) {
		struct layout_run huge_run = huge_part(&fs->runs[i]);

		part += overlap(start, end, &fs->runs[i]);
		huge += overlap(start, end, &huge_run);
	}
	/* PFNs are hidden, or there are too many runs: in proportion. */
	if (!f->nr_runs) {
		all = of;
		part = end - start;
	}
	if (!f->nr_runs || !huge_all) {
		huge_all = all;
		huge = part;
	}
	*ret_anon = share(f->anon, part, all);
	*ret_huge = share(f->huge, huge, huge_all);
}

void layout_frames_fini(struct layout_frames *fs)
{
	alloc_free(fs->list);
	alloc_free(fs->runs);
}
