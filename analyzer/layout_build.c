/* SPDX-License-Identifier: MIT */
/*
 * One trace becomes a layout: one pass over the records, then the map as it is at the end.
 *
 * What may be gone by then is noted on the way: which call mapped each piece that is still there,
 * and what no program should ever do. Pieces are kept in an mm of their own, in which nothing merges:
 * two callers' anonymous memory is often one vma, and who is to blame for it must still be told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc.h"
#include "json.h"
#include "layout.h"
#include "layout_role.h"
#include "layout_site.h"
#include "report.h"
#include "summary.h"
#include "table.h"

enum {
	MAKERS_MIN = 1 << 16,		/* before the first sweep */
	HEAP_SITES_MAX = 5000,		/* symbolised; the greatest */
	HUGE_BYTES = 2 << 20,		/* of a huge page */
	HEAP_LIVE_MIN = 16 << 10,	/* bytes live at the end for a site to be told */
};

/* Pages that are resident side by side, in frames side by side. */
struct run {
	uint64_t start, end, pfn;
};

/* The last checkpoint's frames of one vma; pages. */
struct resident {
	uint64_t start, end, anon, file, huge;
	size_t first_run, nr_runs;	/* all that is resident, or none if that is not known */
	uint64_t run_bytes, huge_run_bytes;
};

struct build {
	struct trace trace;
	struct layout_program program;
	struct pool pool;
	struct mm pieces;		/* what calls mapped; vma->event is the call */
	struct table makers;		/* seq -> struct layout_maker */
	size_t sweep_at;
	struct table site_of_stack;	/* stack -> uint64_t, index of the site */
	struct resident *frames;	/* by address */
	size_t nr_frames, cap_frames;
	struct run *runs;		/* of one vma after the other */
	size_t nr_runs, cap_runs;
	bool is_new_checkpoint, was_started;
	uint64_t own_at_start;
	uint64_t page_tables, threads, lost, differences[TRACE_NR_CAUSES];
	bool has_page_tables, has_frames;
};

static struct span exactly(uint64_t value)
{
	return (struct span){ value, value };
}

static uint32_t site_of(struct build *b, uint32_t stack)
{
	uint64_t *site;
	bool is_new;

	if (!stack)
		return LAYOUT_NO_SITE;
	site = table_put(&b->site_of_stack, stack, &is_new);
	if (is_new)
		*site = layout_site_of(&b->program, &b->trace, stack);
	return (uint32_t)*site;
}

static const struct layout_maker *maker_of(const struct build *b, const struct vma *piece)
{
	return piece ? table_find(&b->makers, piece->event) : NULL;
}

/* libc's malloc is one frame: what is inside libc is told by its outermost function. */
static bool is_from_malloc(struct build *b, const struct layout_maker *maker, uint32_t site)
{
	const struct layout_site *s;

	if (!maker || site == LAYOUT_NO_SITE)
		return false;
	s = &b->program.sites[site];
	return layout_frame_is_malloc(s->frames[0]) ||
	       (s->nr_frames > 1 && layout_frame_is_malloc(s->frames[1]) &&
		maker->origin != TRACE_ORIGIN_RAW);
}

static struct layout_kind kind_of(struct build *b, const struct vma *vma,
				  const struct layout_maker *maker)
{
	bool is_malloc = is_from_malloc(b, maker, maker ? site_of(b, maker->stack) : LAYOUT_NO_SITE);

	return layout_kind_of(&b->trace, vma, maker, is_malloc);
}

/* Keep the makers of live pieces only, so that memory does not grow with the number of calls. */
static void sweep(struct build *b)
{
	struct table kept;
	struct vma *vma;
	bool is_new;

	table_init(&kept, sizeof(struct layout_maker));
	for (vma = b->pieces.first; vma; vma = vma->vm_next) {
		const struct layout_maker *maker = maker_of(b, vma);

		if (maker)
			*(struct layout_maker *)table_put(&kept, vma->event, &is_new) = *maker;
	}
	table_fini(&b->makers);
	b->makers = kept;
	b->sweep_at = 2 * kept.nr > MAKERS_MIN ? 2 * kept.nr : MAKERS_MIN;
}

static void note_maker(struct build *b, const struct rec_call *c)
{
	struct layout_maker *maker;
	bool is_new;

	if (b->makers.nr >= b->sweep_at)
		sweep(b);
	maker = table_put(&b->makers, c->seq, &is_new);
	*maker = (struct layout_maker){
		.seq = c->seq, .call = c->call, .origin = c->origin, .stack = c->stack,
		.is_known = true,
	};
	maker->call.file = NULL;
	maker->call.name = NULL;
}

static void put_piece(struct build *b, uint64_t start, uint64_t bytes, uint64_t seq)
{
	struct vma_desc desc = { .vm_start = start, .vm_flags = VM_READ };

	desc.vm_end = start + ((bytes + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1));
	if (desc.vm_end <= start || start % MM_PAGE_SIZE)
		return;
	if (mm_replace(&b->pieces, start, desc.vm_end, &desc, 1, seq) == -ENOMEM)
		alloc_failed();
}

static void drop_piece(struct build *b, uint64_t start, uint64_t bytes)
{
	uint64_t end = start + ((bytes + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1));

	if (end > start && mm_replace(&b->pieces, start, end, NULL, 0, 0) == -ENOMEM)
		alloc_failed();
}

/* What is moved or resized stays its maker's. */
static void move_piece(struct build *b, const struct rec_call *c)
{
	const uint64_t *arg = c->call.arg;
	const struct vma *piece = vma_lookup(&b->pieces, arg[0]);
	uint64_t seq = piece ? piece->event : c->seq;

	if (!piece)
		note_maker(b, c);
	if (!(arg[3] & MREMAP_DONTUNMAP))
		drop_piece(b, arg[0], arg[1]);
	put_piece(b, (uint64_t)c->call.ret, arg[2], seq);
}

static void note_pieces(struct build *b, const struct rec_call *c)
{
	const struct mm_call *call = &c->call;
	const struct vma *piece;

	switch (call->op) {
	case MM_MMAP:
	case MM_SHMAT:
		note_maker(b, c);
		put_piece(b, (uint64_t)call->ret, call->op == MM_MMAP ? call->arg[1] : call->len,
			  c->seq);
		break;
	case MM_MREMAP:
		move_piece(b, c);
		break;
	case MM_MUNMAP:
		drop_piece(b, call->arg[0], call->arg[1]);
		break;
	case MM_SHMDT:
		piece = vma_lookup(&b->pieces, call->arg[0]);
		if (piece)
			drop_piece(b, piece->vm_start, piece->vm_end - piece->vm_start);
		break;
	default:
		break;
	}
}

static void add_fact(struct build *b, enum layout_fact_kind fact, const struct layout_kind *kind,
		     uint32_t site)
{
	struct layout_fact *f;
	size_t i;

	for (i = 0; i < b->program.nr_facts; i++) {
		f = &b->program.facts[i];
		if (f->kind == fact && f->role == kind->role && f->section == kind->section &&
		    f->site == site && !strcmp(f->name, kind->name))
			return;
	}
	f = layout_fact_new(&b->program);
	*f = (struct layout_fact){ .kind = fact, .role = kind->role, .section = kind->section,
				   .name = alloc_string(kind->name), .site = site, .traces = 1 };
}

/* What is wrong with the permissions @vma has now; @site made them so. */
static void judge_perms(struct build *b, const struct vma *vma, uint32_t site)
{
	struct layout_kind kind;

	if (vma->own || !(vma->vm_flags & (VM_EXEC | VM_WRITE)))
		return;
	kind = kind_of(b, vma, maker_of(b, vma_lookup(&b->pieces, vma->vm_start)));
	if (kind.section == LAYOUT_TEXT && vma->vm_flags & VM_WRITE)
		add_fact(b, LAYOUT_FACT_WRITABLE_TEXT, &kind, site);
	else if (!(vma->vm_flags & VM_EXEC))
		;
	else if (kind.role == LAYOUT_STACK || kind.role == LAYOUT_THREAD_STACK)
		add_fact(b, LAYOUT_FACT_EXEC_STACK, &kind, site);
	else if (kind.role == LAYOUT_HEAP)
		add_fact(b, LAYOUT_FACT_EXEC_HEAP, &kind, site);
	else if (vma->vm_flags & VM_WRITE)
		add_fact(b, LAYOUT_FACT_WX, &kind, site);
	alloc_free(kind.name);
}

static uint64_t own_bytes(const struct mm *mm)
{
	const struct vma *vma;
	uint64_t sum = 0;

	for (vma = mm->first; vma; vma = vma->vm_next)
		sum += vma->own ? vma->vm_end - vma->vm_start : 0;
	return sum;
}

/* The first map is complete. */
static void start(struct build *b)
{
	const struct vma *vma;

	if (b->was_started)
		return;
	b->was_started = true;
	b->own_at_start = own_bytes(&b->trace.replay.mm);
	for (vma = b->trace.replay.mm.first; vma; vma = vma->vm_next)
		if (!vma->event)
			judge_perms(b, vma, LAYOUT_NO_SITE);
}

/* The replay took the call already. */
static void note_call(struct build *b, const struct rec_call *c)
{
	const struct mm_call *call = &c->call;
	bool is_mmap = call->op == MM_MMAP, is_mprotect;
	uint64_t addr, end, prot;
	const struct vma *vma;

	if (c->errno_name || c->origin == TRACE_ORIGIN_SELF)
		return;
	note_pieces(b, c);
	is_mprotect = call->op == MM_MPROTECT || call->op == MM_PKEY_MPROTECT;
	if (!is_mmap && !is_mprotect)
		return;
	prot = call->arg[2];
	if (!(prot & PROT_EXEC) && !(is_mprotect && prot & PROT_WRITE))
		return;
	addr = is_mmap ? (uint64_t)call->ret : call->arg[0];
	end = addr + call->arg[1];
	for (vma = find_vma(&b->trace.replay.mm, addr); vma && vma->vm_start < end;
	     vma = vma->vm_next)
		judge_perms(b, vma, site_of(b, c->stack));
}

static uint64_t pages_with(struct json_t *flags, const char *name)
{
	uint64_t n = 0;

	(void)js_u64(flags ? js_get(flags, name) : NULL, &n);
	return n;
}

/* Of @run what may be huge pages: aligned to them in both address spaces. */
static struct run huge_part(const struct run *run)
{
	uint64_t start = (run->start + HUGE_BYTES - 1) & ~(uint64_t)(HUGE_BYTES - 1);
	uint64_t end = run->end & ~(uint64_t)(HUGE_BYTES - 1);

	if (start >= end || (run->pfn - run->start / MM_PAGE_SIZE) % (HUGE_BYTES / MM_PAGE_SIZE))
		end = start;
	return (struct run){ start, end, 0 };
}

/* Unless they are all that is resident of the vma, in order, there are none. */
static void note_runs(struct build *b, const struct rec_frames *f, struct resident *to)
{
	uint64_t at = f->start;
	size_t i;

	for (i = 0; f->pfn_visible && !f->runs_cut && i < f->nr_runs; i++) {
		const struct rec_run *from = &f->runs[i];
		struct run *run, huge;

		if (from->va < at || from->va >= f->end || from->va % MM_PAGE_SIZE ||
		    from->pages > (f->end - from->va) / MM_PAGE_SIZE)
			break;
		b->runs = alloc_grow(b->runs, b->nr_runs, &b->cap_runs, sizeof(*b->runs));
		run = &b->runs[b->nr_runs++];
		at = from->va + from->pages * MM_PAGE_SIZE;
		*run = (struct run){ from->va, at, from->pfn };
		huge = huge_part(run);
		to->run_bytes += run->end - run->start;
		to->huge_run_bytes += huge.end - huge.start;
	}
	if (i == f->nr_runs && to->run_bytes / MM_PAGE_SIZE == f->resident)
		to->nr_runs = b->nr_runs - to->first_run;
	else
		b->nr_runs = to->first_run;
}

static void note_frames(struct build *b, const struct rec_frames *f)
{
	uint64_t pages = (f->end - f->start) / MM_PAGE_SIZE;
	uint64_t resident = f->resident < pages ? f->resident : pages;
	uint64_t anon = resident > f->file ? resident - f->file : 0;
	uint64_t huge = add_capped(pages_with(f->flags, "thp"), pages_with(f->flags, "huge"));

	if (b->is_new_checkpoint)
		b->nr_frames = b->nr_runs = 0;
	b->is_new_checkpoint = false;
	b->has_frames = true;
	b->frames = alloc_grow(b->frames, b->nr_frames, &b->cap_frames, sizeof(*b->frames));
	b->frames[b->nr_frames++] = (struct resident){
		.start = f->start, .end = f->end, .anon = anon, .file = resident - anon,
		.huge = huge < anon ? huge : anon, .first_run = b->nr_runs,
	};
	note_runs(b, f, &b->frames[b->nr_frames - 1]);
}

static void note_thread(struct build *b, uint32_t stack)
{
	uint32_t site = site_of(b, stack);
	size_t i;

	for (i = 0; i < b->program.nr_threads && b->program.threads[i].site != site; i++)
		;
	if (i == b->program.nr_threads) {
		layout_threads_new(&b->program)->site = site;
		b->program.threads[i].traces = 1;
	}
	b->program.threads[i].count = exactly(b->program.threads[i].count.max + 1);
}

static void note_record(struct trace *tr, void *state, const struct record *rec)
{
	struct build *b = state;

	(void)tr;
	switch (rec->ev) {
	case TRACE_CALL:
		start(b);
		note_call(b, &rec->call);
		break;
	case TRACE_THREAD:
		b->threads += !strcmp(rec->thread.op, "start") ||
			      !strcmp(rec->thread.op, "present");
		if (!strcmp(rec->thread.op, "create"))
			note_thread(b, rec->thread.stack);
		break;
	case TRACE_CHECKPOINT:
		b->is_new_checkpoint = true;
		break;
	case TRACE_FRAMES:
		note_frames(b, &rec->frames);
		break;
	case TRACE_MM:
		b->has_page_tables = rec->mm.kernel.known[FIGURE_pgtables_bytes];
		b->page_tables = rec->mm.kernel.value[FIGURE_pgtables_bytes];
		break;
	case TRACE_DIFF:
		b->differences[rec->diff.cause]++;
		break;
	case TRACE_LOST:
		b->lost += rec->lost.count;
		break;
	default:
		break;
	}
}

static const struct resident *find_frames(const struct build *b, const struct vma *vma)
{
	size_t lo = 0, hi = b->nr_frames;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->frames[mid].start < vma->vm_start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < b->nr_frames && b->frames[lo].start == vma->vm_start ? &b->frames[lo] : NULL;
}

static bool is_adjacent_guard(const struct vma *vma)
{
	const struct vma *below = vma->vm_prev;

	return vma->vm_flags & VM_MAYBE_GUARD ||
	       (below && below->vm_end == vma->vm_start &&
		!(below->vm_flags & (VM_READ | VM_WRITE | VM_EXEC)));
}

/* A thread's stack is one vma unless the program changed part of it. */
static bool is_lowest_of_stack(const struct vma *vma)
{
	const struct vma *below = vma->vm_prev;

	return !below || below->vm_end != vma->vm_start || below->event != vma->event ||
	       !(below->vm_flags & (VM_READ | VM_WRITE | VM_EXEC));
}

static void judge_vma(struct build *b, const struct vma *vma, const struct layout_kind *kind,
		      uint32_t site)
{
	const struct module *m = kind->module;

	if (layout_is_deleted(vma_name(&b->trace.replay.mm, vma)))
		add_fact(b, LAYOUT_FACT_DELETED, kind, site);
	if (kind->role == LAYOUT_THREAD_STACK && is_lowest_of_stack(vma) && !is_adjacent_guard(vma))
		add_fact(b, LAYOUT_FACT_NO_GUARD, kind, site);
	/* Told once a module, by the vma that begins its writable part. */
	if (m && kind->section == LAYOUT_DATA &&
	    (!m->has_relro || (vma->vm_start <= m->relro.start && m->relro.start < vma->vm_end &&
			       (m->relro.end & ~(MM_PAGE_SIZE - 1)) > vma->vm_start)))
		add_fact(b, LAYOUT_FACT_NO_RELRO, kind, LAYOUT_NO_SITE);
}

/* Bytes of @pages for a part of what they are spread over. */
static uint64_t share(uint64_t pages, uint64_t part, uint64_t all)
{
	return all ? (uint64_t)((unsigned __int128)pages * part / all) * MM_PAGE_SIZE : 0;
}

static uint64_t overlap(uint64_t start, uint64_t end, const struct run *run)
{
	uint64_t from = start > run->start ? start : run->start;
	uint64_t to = end < run->end ? end : run->end;

	return to > from ? to - from : 0;
}

/* The first of @f's runs that ends above @addr. */
static size_t find_run(const struct build *b, const struct resident *f, uint64_t addr)
{
	size_t lo = f->first_run, hi = f->first_run + f->nr_runs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->runs[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* What of the frames of @vma lies in [start, end), a part of it. */
static void share_frames(const struct build *b, const struct vma *vma, const struct resident *f,
			 uint64_t start, uint64_t end, struct layout_region *r)
{
	uint64_t all = f->run_bytes, huge_all = f->huge_run_bytes, part = 0, huge = 0;
	size_t i, last = f->first_run + f->nr_runs;

	for (i = find_run(b, f, start); i < last && b->runs[i].start < end; i++) {
		struct run huge_run = huge_part(&b->runs[i]);

		part += overlap(start, end, &b->runs[i]);
		huge += overlap(start, end, &huge_run);
	}
	/* PFNs are hidden, or there are too many runs: in proportion. */
	if (!f->nr_runs) {
		all = vma->vm_end - vma->vm_start;
		part = end - start;
	}
	if (!f->nr_runs || !huge_all) {
		huge_all = all;
		huge = part;
	}
	r->resident = exactly(share(f->anon, part, all));
	r->huge = exactly(share(f->huge, huge, huge_all));
}

/* Part of @vma, or all of it, mapped by one site. */
static void add_region(struct build *b, const struct vma *vma, uint64_t start, uint64_t end,
		       const struct layout_maker *maker)
{
	const struct resident *frames = find_frames(b, vma);
	uint32_t site = maker ? site_of(b, maker->stack) : LAYOUT_NO_SITE;
	struct layout_kind kind = kind_of(b, vma, maker);
	struct layout_region *r;

	if (start == vma->vm_start)
		judge_vma(b, vma, &kind, site);
	r = layout_region_new(&b->program);
	r->role = kind.role;
	r->section = kind.section;
	r->name = kind.name;
	memcpy(r->perms, (char[]){ vma->vm_flags & VM_READ ? 'r' : '-',
				   vma->vm_flags & VM_WRITE ? 'w' : '-',
				   vma->vm_flags & VM_EXEC ? 'x' : '-',
				   vma->vm_flags & VM_MAYSHARE ? 's' : 'p', '\0' }, 5);
	r->flags = layout_flags(vma->vm_flags & ~vma->vm_flags_unknown);
	r->origin = maker ? record_origin_names[maker->origin] : "";
	r->offset = vma->inode ? vma->vm_pgoff * MM_PAGE_SIZE + (start - vma->vm_start) : 0;
	r->site = site;
	r->is_merged = start != vma->vm_start;
	r->bytes = exactly(end - start);
	if (frames)
		share_frames(b, vma, frames, start, end, r);
	r->traces = 1;
}

/* The piece at @addr, and where it or the hole between pieces ends. */
static const struct layout_maker *maker_at(struct build *b, uint64_t addr, uint64_t limit,
					   uint64_t *ret_end)
{
	const struct vma *piece = find_vma(&b->pieces, addr);
	const struct layout_maker *maker = NULL;

	*ret_end = limit;
	if (piece && piece->vm_start <= addr) {
		maker = maker_of(b, piece);
		*ret_end = piece->vm_end;
	} else if (piece) {
		*ret_end = piece->vm_start;
	}
	*ret_end = *ret_end < limit ? *ret_end : limit;
	return maker;
}

static bool is_same_maker(struct build *b, const struct layout_maker *x,
			  const struct layout_maker *y)
{
	if (!x || !y)
		return x == y;
	return x == y || (x->origin == y->origin && site_of(b, x->stack) == site_of(b, y->stack));
}

/* A region for each site that mapped some of it. */
static void add_vma(struct build *b, const struct vma *vma)
{
	uint64_t start = vma->vm_start, at = start, end;
	const struct layout_maker *maker = maker_at(b, at, vma->vm_end, &at), *next;

	while (at < vma->vm_end) {
		next = maker_at(b, at, vma->vm_end, &end);
		if (!is_same_maker(b, maker, next)) {
			add_region(b, vma, start, at, maker);
			start = at;
			maker = next;
		}
		at = end;
	}
	add_region(b, vma, start, vma->vm_end, maker);
}

static int by_live(const void *a, const void *b)
{
	const struct heap_site *x = a, *y = b;

	return (x->live_bytes < y->live_bytes) - (x->live_bytes > y->live_bytes);
}

static int by_live_min(const void *a, const void *b)
{
	const struct layout_heap *x = a, *y = b;

	return (x->live_bytes.max < y->live_bytes.max) - (x->live_bytes.max > y->live_bytes.max);
}

/* Stacks that differ in offsets only are one site. */
static void add_heap(struct build *b)
{
	struct layout_program *p = &b->program;
	struct heap *h = &b->trace.heap;
	size_t i, nr, kept = 0;
	struct table of_site;
	bool is_new;

	table_init(&of_site, sizeof(uint64_t));
	if (h->nr_sites)
		qsort(h->sites, h->nr_sites, sizeof(*h->sites), by_live);
	nr = h->nr_sites < HEAP_SITES_MAX ? h->nr_sites : HEAP_SITES_MAX;
	for (i = 0; i < nr && h->sites[i].live_bytes; i++) {
		uint32_t site = site_of(b, h->sites[i].stack);
		uint64_t *index = table_put(&of_site, site, &is_new);
		struct layout_heap *to;

		if (is_new) {
			*index = p->nr_heap;
			to = layout_heap_new(p);
			*to = (struct layout_heap){ .site = site, .traces = 1 };
		}
		to = &p->heap[*index];
		to->live_bytes = exactly(to->live_bytes.max + h->sites[i].live_bytes);
		to->live_blocks = exactly(to->live_blocks.max + h->sites[i].live_blocks);
	}
	table_fini(&of_site);
	for (i = 0; i < p->nr_heap; i++)
		if (p->heap[i].live_bytes.max >= HEAP_LIVE_MIN)
			p->heap[kept++] = p->heap[i];
	p->nr_heap = kept;
	if (kept)
		qsort(p->heap, kept, sizeof(*p->heap), by_live_min);
}

static void set_total(struct build *b, enum layout_total total, uint64_t value)
{
	b->program.has_total[total] = true;
	b->program.total[total] = exactly(value);
}

static void add_totals(struct build *b)
{
	const struct replay *replay = &b->trace.replay;
	uint64_t vmas = 0, own = 0, mapped = 0, anon = 0, file = 0, huge = 0, peak;
	const struct vma *vma;

	for (vma = replay->mm.first; vma; vma = vma->vm_next) {
		const struct resident *frames = find_frames(b, vma);

		if (vma->own) {
			own++;
			continue;
		}
		vmas++;
		mapped += vma->vm_end - vma->vm_start;
		if (frames) {
			anon = add_capped(anon, frames->anon);
			file = add_capped(file, frames->file);
			huge = add_capped(huge, frames->huge);
		}
	}
	set_total(b, LAYOUT_vmas, vmas);
	set_total(b, LAYOUT_vmas_peak, replay->mm.map_count_peak > own ?
					       replay->mm.map_count_peak - own : vmas);
	set_total(b, LAYOUT_mapped_bytes, mapped);
	peak = replay->peak_vm * MM_PAGE_SIZE;
	set_total(b, LAYOUT_mapped_peak_bytes, peak > b->own_at_start + mapped ?
						       peak - b->own_at_start : mapped);
	if (b->has_frames) {
		set_total(b, LAYOUT_resident_anon_bytes, anon * MM_PAGE_SIZE);
		set_total(b, LAYOUT_resident_file_bytes, file * MM_PAGE_SIZE);
		set_total(b, LAYOUT_huge_bytes, huge * MM_PAGE_SIZE);
	}
	if (b->has_page_tables)
		set_total(b, LAYOUT_page_table_bytes, b->page_tables);
	if (strcmp(b->trace.header.heap, "off")) {
		set_total(b, LAYOUT_heap_peak_bytes, b->trace.heap.peak_bytes);
		set_total(b, LAYOUT_heap_thread_peaks_bytes, b->trace.heap.thread_peaks_bytes);
		set_total(b, LAYOUT_heap_live_bytes, b->trace.heap.live_bytes);
		set_total(b, LAYOUT_heap_live_blocks, b->trace.heap.live_blocks);
	}
	set_total(b, LAYOUT_threads, b->threads);
	set_total(b, LAYOUT_max_map_count, replay->mm.max_map_count);
	/* Without a comparison there is nothing to tell. */
	if (!b->trace.header.verify_mode || strcmp(b->trace.header.verify_mode, "off")) {
		set_total(b, LAYOUT_unexplained, b->differences[TRACE_CAUSE_UNEXPLAINED]);
		set_total(b, LAYOUT_not_captured, b->differences[TRACE_CAUSE_NOT_CAPTURED]);
	}
	if (!b->trace.is_damaged)
		set_total(b, LAYOUT_lost, b->lost);
}

static void name_program(struct build *b)
{
	const struct rec_header *h = &b->trace.header;
	const char *exe = h->exe ? h->exe : "?", *slash = strrchr(exe, '/');
	char name[300];

	snprintf(name, sizeof(name), "%.255s%s", slash && slash[1] ? slash + 1 : exe,
		 h->has_parent ? " (forked)" : "");
	layout_program_init(&b->program, name);
}

/* The map at the end; symbols have all modules to look into by then. */
static void finish(struct build *b)
{
	const struct vma *vma;

	start(b);
	b->program.machine = alloc_string(b->trace.header.machine ? b->trace.header.machine : "");
	b->program.tier = alloc_string(b->trace.header.tier);
	b->program.page_size = MM_PAGE_SIZE;
	b->program.traces = 1;
	for (vma = b->trace.replay.mm.first; vma; vma = vma->vm_next)
		if (!vma->own)
			add_vma(b, vma);
	add_heap(b);
	add_totals(b);
}

static void take_record(struct trace *tr, void *state, const struct record *rec)
{
	struct build *b = state;

	if (rec->ev == TRACE_HEADER)
		name_program(b);
	note_record(tr, state, rec);
}

int layout_add_trace(struct layout *layout, struct reader *reader, unsigned int flags, char *err,
		     size_t err_size)
{
	static const struct view view = { .name = "layout", .flags = VIEW_HEAP | VIEW_AGAIN };
	struct options opt = { .no_symbols = flags & LAYOUT_NO_SYMBOLS };
	struct build *b = alloc_zeroed(sizeof(*b));
	int ret, heap_err;

	table_init(&b->makers, sizeof(struct layout_maker));
	table_init(&b->site_of_stack, sizeof(uint64_t));
	b->sweep_at = MAKERS_MIN;
	pool_init(&b->pool);
	mm_init(&b->pieces, &b->pool.mem);
	trace_open_reader(&b->trace, &view, &opt, reader);
	ret = trace_read(&b->trace, b, NULL, take_record);
	if (b->trace.has_header && (!ret || flags & LAYOUT_PARTIAL)) {
		heap_err = heap_run(&b->trace.heap, &b->trace.reader);
		ret = ret ? ret : heap_err;
	}
	b->trace.is_damaged = ret;
	snprintf(err, err_size, "%s", b->trace.reader.error);
	if (ret && !(b->trace.has_header && flags & LAYOUT_PARTIAL)) {
		ret = -EINVAL;
	} else {
		finish(b);
		ret = layout_take(layout, &b->program, b->trace.reader.path, err, err_size);
	}
	layout_program_fini(&b->program);
	trace_close(&b->trace);
	pool_fini(&b->pool);
	table_fini(&b->makers);
	table_fini(&b->site_of_stack);
	alloc_free(b->frames);
	alloc_free(b->runs);
	alloc_free(b);
	return ret;
}
