/* SPDX-License-Identifier: MIT */
/*
 * One trace becomes a layout: one pass over the records, then the map as it is at the end.
 *
 * What may be gone by then is noted on the way: which call mapped each piece that is still there,
 * which frames it had, and what no program should ever do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc.h"
#include "frame_name.h"
#include "layout.h"
#include "layout_frames.h"
#include "layout_pieces.h"
#include "layout_role.h"
#include "layout_site.h"
#include "report.h"
#include "summary.h"
#include "table.h"

enum {
	HEAP_SITES_MAX = 5000,		/* symbolised; the greatest */
	HEAP_LIVE_MIN = 16 << 10,	/* bytes live at the end for a site to be told */
};

struct build {
	struct trace trace;
	struct layout_program program;
	struct layout_pieces pieces;
	struct physmaps frames;
	struct table site_of_stack;	/* stack -> uint64_t, index of the site */
	bool was_started;
	uint64_t own_at_start;
	uint64_t page_tables, threads, lost, differences[TRACE_NR_CAUSES];
	bool has_page_tables;
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

/* libc's malloc is one frame: what is inside libc is told by its outermost function. */
static bool is_from_malloc(struct build *b, const struct layout_maker *maker, uint32_t site)
{
	const struct layout_site *s;

	if (!maker || site == LAYOUT_NO_SITE)
		return false;
	s = &b->program.sites[site];
	return frame_is_malloc(s->frames[0]) ||
	       (s->nr_frames > 1 && frame_is_malloc(s->frames[1]) &&
		maker->origin != TRACE_ORIGIN_RAW);
}

static struct layout_kind kind_of(struct build *b, const struct vma *vma,
				  const struct layout_maker *maker)
{
	bool is_malloc = is_from_malloc(b, maker, maker ? site_of(b, maker->stack) : LAYOUT_NO_SITE);

	return layout_kind_of(&b->trace, vma, maker, is_malloc);
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
	uint64_t end;

	if (vma->own || !(vma->vm_flags & (VM_EXEC | VM_WRITE)))
		return;
	kind = kind_of(b, vma, layout_pieces_at(&b->pieces, vma->vm_start, vma->vm_end, &end));
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
	layout_pieces_note(&b->pieces, c);
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

	physmaps_record(&b->frames, tr, rec);
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

/* Part of @vma, or all of it, mapped by one site. */
static void add_region(struct build *b, const struct vma *vma, uint64_t start, uint64_t end,
		       const struct layout_maker *maker)
{
	struct layout_resident resident = layout_frames_sum(&b->frames.now, &b->trace.classes, start,
							    end);
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
	r->resident = exactly(resident.anon);
	r->huge = exactly(resident.huge);
	r->traces = 1;
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
	const struct layout_maker *maker = layout_pieces_at(&b->pieces, at, vma->vm_end, &at), *next;

	while (at < vma->vm_end) {
		next = layout_pieces_at(&b->pieces, at, vma->vm_end, &end);
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
	const struct heap_sum *x = a, *y = b;

	return (x->live_bytes < y->live_bytes) - (x->live_bytes > y->live_bytes);
}

static int by_live_min(const void *a, const void *b)
{
	const struct layout_heap *x = a, *y = b;

	return (x->live_bytes.max < y->live_bytes.max) - (x->live_bytes.max > y->live_bytes.max);
}

/* What a sample leaves to chance would be a finding in one run and none in the next. */
static bool has_whole_heap(const struct build *b)
{
	return !strcmp(b->trace.header.heap, "all");
}

/* Stacks that differ in offsets only are one site. */
static void add_heap(struct build *b)
{
	struct layout_program *p = &b->program;
	struct heap *h = &b->trace.heap;
	size_t i, nr, kept = 0;
	struct table of_site;
	bool is_new;

	if (!has_whole_heap(b))
		return;
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
		struct layout_resident of;

		if (vma->own) {
			own++;
			continue;
		}
		vmas++;
		mapped += vma->vm_end - vma->vm_start;
		of = layout_frames_sum(&b->frames.now, &b->trace.classes, vma->vm_start, vma->vm_end);
		anon += of.anon;
		file += of.file;
		huge += of.huge;
	}
	set_total(b, LAYOUT_vmas, vmas);
	set_total(b, LAYOUT_vmas_peak, replay->mm.map_count_peak > own ?
					       replay->mm.map_count_peak - own : vmas);
	set_total(b, LAYOUT_mapped_bytes, mapped);
	peak = replay->peak_vm * MM_PAGE_SIZE;
	set_total(b, LAYOUT_mapped_peak_bytes, peak > b->own_at_start + mapped ?
						       peak - b->own_at_start : mapped);
	if (b->frames.now.is_known) {
		set_total(b, LAYOUT_resident_anon_bytes, anon);
		set_total(b, LAYOUT_resident_file_bytes, file);
		set_total(b, LAYOUT_huge_bytes, huge);
	}
	if (b->has_page_tables)
		set_total(b, LAYOUT_page_table_bytes, b->page_tables);
	if (has_whole_heap(b)) {
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
	struct options opt = {
		.no_symbols = flags & LAYOUT_NO_SYMBOLS, .at = { MOMENT_END, 0 },
	};
	struct build *b = alloc_zeroed(sizeof(*b));
	int ret, heap_err;

	table_init(&b->site_of_stack, sizeof(uint64_t));
	layout_pieces_init(&b->pieces);
	trace_open_reader(&b->trace, &view, &opt, reader);
	ret = trace_read(&b->trace, b, NULL, take_record);
	if (b->trace.has_header && (!ret || flags & LAYOUT_PARTIAL)) {
		heap_err = trace_run_heap(&b->trace);
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
	layout_pieces_fini(&b->pieces);
	table_fini(&b->site_of_stack);
	physmaps_fini(&b->frames);
	alloc_free(b);
	return ret;
}
