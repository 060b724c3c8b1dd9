/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "explain.h"
#include "out.h"
#include "symbol_place.h"
#include "vma_show.h"

/* What goes on under a label. */
#define INDENT "               "
#define STACK_INDENT INDENT "    "

static void label(FILE *out, const char *name)
{
	fprintf(out, "  %-13s", name);
}

static void print_region(const struct address_region *r, unsigned int levels, FILE *out)
{
	label(out, "region");
	fprintf(out, "with %u levels 0x%" PRIx64 "-0x%" PRIx64 ": %s", levels, r->start, r->last,
		r->name);
	fputs(r->is_moved ? " (KASLR may have moved it)\n" : "\n", out);
}

static void print_indices(const struct explain *ex, const struct explained *e, FILE *out)
{
	struct address_indices x = address_indices(e->addr, e->levels);

	label(out, "page table");
	fprintf(out, "pgd %u, ", x.pgd);
	if (e->levels == 5)
		fprintf(out, "p4d %u, ", x.p4d);
	else
		fputs("p4d folded, ", out);
	fprintf(out, "pud %u, pmd %u, pte %u, offset 0x%x; %u levels%s\n", x.pud, x.pmd, x.pte,
		x.offset, e->levels, ex->levels ? "" : " (the trace does not say)");
}

static void print_address(const struct explain *ex, const struct explained *e, FILE *out)
{
	unsigned int levels;

	fprintf(out, "0x%" PRIx64 "\n", e->addr);
	label(out, "address");
	if (e->half == ADDRESS_NOT_CANONICAL) {
		fprintf(out, "not canonical with %u levels of page tables%s: no access can succeed\n",
			e->levels, ex->levels ? "" : ", nor with 5");
		return;
	}
	fprintf(out, "canonical%s, %s half\n",
		address_half(e->addr, 4) == ADDRESS_NOT_CANONICAL ? " with 5 levels only" : "",
		e->half == ADDRESS_USER ? "user" : "kernel");
	print_indices(ex, e, out);
	for (levels = 4; levels <= 5; levels++) {
		const struct address_region *r = address_region(e->addr, levels);

		if (r && (!ex->levels || ex->levels == levels))
			print_region(r, levels, out);
	}
}

static void print_neighbour(struct trace *tr, const struct vma_desc *d, const char *where,
			    uint64_t distance)
{
	char size[OUT_SIZE_MAX];

	if (!d->vm_end)
		return;
	fprintf(tr->out, INDENT "%s %s: ", out_size(size, distance), where);
	vma_print_line(d, true, tr->out);
}

static void print_hole(struct trace *tr, const struct explained *e)
{
	char size[OUT_SIZE_MAX];

	label(tr->out, "mapping");
	if (e->hole_end <= e->addr) {
		fputs("none: beyond the end of user space\n", tr->out);
		return;
	}
	fprintf(tr->out, "none: a hole of %s, 0x%" PRIx64 "-0x%" PRIx64 "\n",
		out_size(size, e->hole_end - e->hole_start), e->hole_start, e->hole_end);
	print_neighbour(tr, &e->below, "above the end of", e->addr - e->below.vm_end);
	print_neighbour(tr, &e->above, "below the start of", e->above.vm_start - e->addr);
}

static void print_vma(struct trace *tr, const struct explained *e)
{
	const struct vma_desc *d = &e->vma;
	char flags[VMA_FLAGS_MAX];

	label(tr->out, "mapping");
	vma_print_line(d, true, tr->out);
	fprintf(tr->out, INDENT "0x%" PRIx64 " bytes in", e->addr - d->vm_start);
	if (d->inode)
		fprintf(tr->out, ", offset 0x%" PRIx64 " of the file",
			d->offset + (e->addr - d->vm_start));
	fprintf(tr->out, "; flags %s", vma_flags_text(d->vm_flags, flags));
	if (e->flags_unknown)
		fprintf(tr->out, "; not certain: %s", vma_flags_text(e->flags_unknown, flags));
	fputs(e->is_own ? "; vmtrace's own\n" : "\n", tr->out);
}

static void print_maker(struct trace *tr, const char *name, const struct page_event *event)
{
	label(tr->out, name);
	page_event_print(event, tr->out);
	fputc('\n', tr->out);
	if (event->other)
		fprintf(tr->out, INDENT "with its pages, %s 0x%" PRIx64 "\n",
			event->changes & 1u << PAGE_CHANGE_UNMAPPED ? "moved to" : "moved from",
			event->other);
	if (!event->is_diff)
		symbols_print_stack(tr->symbols, event->stack, STACK_INDENT, 0, tr->out);
}

static void print_mapping(struct trace *tr, const struct explained *e)
{
	const struct page_history *h = &e->history;

	if (e->vma.vm_end)
		print_vma(tr, e);
	else
		print_hole(tr, e);
	if (h->now.is_mapped && h->has_mapped) {
		print_maker(tr, "mapped by", &h->mapped);
	} else if (e->vma.vm_end && e->half == ADDRESS_USER) {
		label(tr->out, "mapped by");
		fputs("whoever was there before the trace began\n", tr->out);
	} else if (h->has_unmapped) {
		print_maker(tr, "unmapped by", &h->unmapped);
	}
}

static void print_checkpoint(const struct explain *ex, const struct explained *e, FILE *out)
{
	const struct page_event *since = explain_event_since(ex, e);
	const struct physmap *map = &ex->maps.now;
	char time[OUT_SIZE_MAX];

	label(out, "page");
	fputs("at the checkpoint \"", out);
	out_name(out, map->why);
	fprintf(out, "\" at %s s, after call %" PRIu64, out_time(time, map->t), map->seq);
	if (ex->seq > map->seq)
		fprintf(out, ", %" PRIu64 " calls before the moment", ex->seq - map->seq);
	if (since)
		fprintf(out, "; call %" PRIu64 " has touched it since", since->seq);
	fputs(":\n" INDENT, out);
	if (e->page.diff)
		fprintf(out, "pages between 0x%" PRIx64 " and 0x%" PRIx64
			" that the model can't account for (%s)\n" INDENT, e->page.diff->start, e->page.diff->end,
			record_frame_cause_names[e->page.diff->cause]);
}

static void print_words(const struct page_state *p, FILE *out)
{
	const struct rec_page_class *c = &p->class;
	unsigned int i;

	fputs(page_kind_names[p->kind], out);
	if (p->entry == PAGE_ENTRY_PRESENT)
		fputs(c->pagemap & PM_EXCLUSIVE ? ", mapped only here" : ", not mapped only here",
		      out);
	fputs(c->pagemap & PM_SOFT_DIRTY ? ", soft-dirty" : "", out);
	fputs(c->pagemap & PM_UFFD_WP ? ", write-protected by userfaultfd" : "", out);
	if (p->entry == PAGE_ENTRY_PRESENT && c->has_mapcount)
		fprintf(out, ", map count %" PRIu64, c->mapcount);
	if (p->entry == PAGE_ENTRY_PRESENT && c->has_kpageflags) {
		fputs("; flags", out);
		for (i = 0; i < NR_PAGE_FLAGS; i++) {
			if (!(c->kpageflags & KPF(i)))
				continue;
			fputc(' ', out);
			if (page_flag_names[i])
				fputs(page_flag_names[i], out);
			else
				fprintf(out, "bit%u", i);
		}
	}
	fputc('\n', out);
}

static void print_frame(const struct explained *e, FILE *out)
{
	const struct page_state *p = &e->page;
	uint64_t physical = p->pfn * MM_PAGE_SIZE + e->addr % MM_PAGE_SIZE;
	char size[OUT_SIZE_MAX];

	if (!p->has_pfn) {
		fputs("frame hidden (CAP_SYS_ADMIN shows it)\n", out);
		return;
	}
	fprintf(out, "frame 0x%" PRIx64 ", physical address 0x%" PRIx64, p->pfn, physical);
	if (p->zone) {
		fputs(", zone ", out);
		out_name(out, p->zone->name);
		fprintf(out, ", node %u", p->zone->rec.node);
	}
	fprintf(out, "\n" INDENT "in a run of %" PRIu64 " page%s (%s) in both address spaces, from "
		"0x%" PRIx64 "\n", p->run_pages, p->run_pages == 1 ? "" : "s",
		out_size(size, p->run_pages * MM_PAGE_SIZE), p->run_start);
}

static void print_entry(const struct explained *e, FILE *out)
{
	const struct page_state *p = &e->page;

	switch (p->entry) {
	case PAGE_ENTRY_NONE:
		fputs(e->vma.vm_end ? "no entry: not touched, or given back\n" : "no entry\n", out);
		return;
	case PAGE_ENTRY_UNTOLD:
		fputs("an entry of a kind that the trace does not tell\n", out);
		return;
	case PAGE_ENTRY_GUARD:
		fputs("a guard page: access is a fault (MADV_GUARD_INSTALL)\n", out);
		return;
	case PAGE_ENTRY_SWAPPED:
		fprintf(out, "in swap area %u at offset %" PRIu64 "\n" INDENT, p->class.swap_type,
			p->pfn);
		break;
	default:
		fprintf(out, "present%s%s, ", p->class.has_huge ? ", mapped by an entry of the " : "",
			!p->class.has_huge ? "" : p->class.huge ? "PMD (or above)" : "PTE");
		print_frame(e, out);
		fputs(INDENT, out);
	}
	print_words(p, out);
}

static void print_page(struct trace *tr, const struct explain *ex, const struct explained *e)
{
	if (!ex->maps.now.is_known) {
		label(tr->out, "page");
		fputs("no frames in the trace up to then "
		      "(VMTRACE_FRAMES=final or checkpoint records them)\n", tr->out);
		return;
	}
	print_checkpoint(ex, e, tr->out);
	print_entry(e, tr->out);
}

static void print_block(struct trace *tr, const struct heap_watch *w)
{
	char time[OUT_SIZE_MAX];

	label(tr->out, "heap");
	fprintf(tr->out, "%" PRIu64 " bytes into a %s of %" PRIu64 " bytes at 0x%" PRIx64 "\n",
		w->at - w->addr, w->state == HEAP_WATCH_LIVE ? "live block" : "freed block", w->size,
		w->addr);
	if (w->state == HEAP_WATCH_FREED)
		fprintf(tr->out, INDENT "freed at %s s by thread %" PRId64 "\n",
			out_time(time, w->freed_t), w->freed_tid);
	else if (w->state == HEAP_WATCH_LOST)
		fprintf(tr->out, INDENT "freed before %s s, when its address was given out again\n",
			out_time(time, w->freed_t));
	if (w->nr > 1)
		fprintf(tr->out, INDENT "the last of %" PRIu64 " blocks that were here\n", w->nr);
	fprintf(tr->out, INDENT "allocated at %s s by thread %" PRId64 "\n", out_time(time, w->t),
		w->tid);
	symbols_print_stack(tr->symbols, w->stack, STACK_INDENT, 0, tr->out);
}

static void print_live(struct trace *tr, const struct heap_live *b, uint64_t distance,
		       const char *where)
{
	char time[OUT_SIZE_MAX];

	label(tr->out, "heap");
	fprintf(tr->out, "%" PRIu64 " bytes %s a live block of %" PRIu64 " bytes at 0x%" PRIx64
		", allocated at %s s by thread %" PRId64 "\n", distance, where, b->size, b->addr,
		out_time(time, b->t), b->tid);
	symbols_print_stack(tr->symbols, b->stack, STACK_INDENT, 0, tr->out);
}

static void print_heap(struct trace *tr, const struct explained *e)
{
	const struct heap_watch *w = e->block;

	if (w->state != HEAP_WATCH_NONE)
		print_block(tr, w);
	if (w->state == HEAP_WATCH_LIVE)
		return;
	if (tr->heap.sample_bytes) {
		label(tr->out, "heap");
		fputs("only a sample of the blocks was recorded\n", tr->out);
	}
	if (w->state == HEAP_WATCH_NONE && (e->has_heap_below || e->has_heap_above)) {
		label(tr->out, "heap");
		fputs("in no block that the trace knows\n", tr->out);
	}
	if (e->has_heap_below)
		print_live(tr, &e->heap_below,
			   e->addr - (e->heap_below.addr + e->heap_below.size), "behind the end of");
	if (e->has_heap_above)
		print_live(tr, &e->heap_above, e->heap_above.addr - e->addr, "before");
}

static void print_symbol(struct trace *tr, const struct explained *e)
{
	const struct symbol *sym = e->segment_flags & VM_EXEC ? explain_symbol(tr, e) : NULL;
	struct symbol_place place;
	size_t i;

	symbol_place_init(&place, tr->symbols, e->module, e->addr);
	if (place.section) {
		fputs(", section ", tr->out);
		out_name(tr->out, place.section);
		fprintf(tr->out, " (%s)", place.section_flags);
	}
	fputc('\n', tr->out);
	if (place.name) {
		label(tr->out, "symbol");
		out_name(tr->out, place.name);
		fprintf(tr->out, "+0x%" PRIx64, place.offset);
		if (place.size)
			fprintf(tr->out, " of 0x%" PRIx64 " bytes", place.size);
		fputc('\n', tr->out);
	}
	for (i = 0; sym && i < sym->nr_frames; i++) {
		const struct symbol_frame *f = &sym->frames[i];

		if (!f->file)
			continue;
		fputs(INDENT, tr->out);
		out_name(tr->out, f->function ? f->function : "?");
		fputs("  ", tr->out);
		out_name(tr->out, f->file);
		fprintf(tr->out, ":%d\n", f->line);
	}
	symbol_place_fini(&place);
}

static void print_module(struct trace *tr, const struct explained *e)
{
	const struct module *m;

	if (e->module == STACKS_NO_MODULE)
		return;
	m = &tr->stacks.modules[e->module];
	label(tr->out, "module");
	out_name(tr->out, m->path);
	fprintf(tr->out, "+0x%" PRIx64, e->addr - m->base);
	if (m->build_id) {
		fputs(", build id ", tr->out);
		out_name(tr->out, m->build_id);
	}
	fprintf(tr->out, "\n" INDENT "segment %s", explain_segment_perms(e));
	if (m->has_relro && e->addr >= m->relro.start && e->addr < m->relro.end)
		fputs(", read-only after relocation", tr->out);
	print_symbol(tr, e);
}

static void print_history(struct trace *tr, const struct page_history *h)
{
	size_t i;

	if (!h->total)
		return;
	label(tr->out, "history");
	if (h->total > h->nr)
		fprintf(tr->out, "%" PRIu64 " more before these\n", h->total - h->nr);
	for (i = 0; i < h->nr; i++) {
		const struct page_event *event = page_history_event(h, i);

		if (i || h->total > h->nr)
			fputs(INDENT, tr->out);
		page_event_print(event, tr->out);
		fputs("\n" INDENT "  ", tr->out);
		page_event_print_changes(event, tr->out);
		if (event->end)
			fprintf(tr->out, ": %" PRIx64 "-%" PRIx64, event->start, event->end);
		fputc('\n', tr->out);
		if (tr->opt->stacks && !event->is_diff)
			symbols_print_stack(tr->symbols, event->stack, STACK_INDENT, 0, tr->out);
	}
}

void explain_text(struct trace *tr, const struct explain *ex)
{
	char time[OUT_SIZE_MAX];
	size_t i;

	fprintf(tr->out, "at %s s, after call %" PRIu64 "\n", out_time(time, ex->t), ex->seq);
	for (i = 0; i < ex->nr; i++) {
		const struct explained *e = &ex->list[i];

		fputc('\n', tr->out);
		print_address(ex, e, tr->out);
		if (e->half == ADDRESS_USER || e->vma.vm_end)
			print_mapping(tr, e);
		if (e->half != ADDRESS_USER)
			continue;
		print_module(tr, e);
		print_page(tr, ex, e);
		print_heap(tr, e);
		print_history(tr, &e->history);
	}
	symbols_print_notes(tr->symbols, tr->out);
}
