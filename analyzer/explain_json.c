/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "explain.h"
#include "json.h"
#include "symbol_place.h"
#include "vma_show.h"

static void json_address(struct json_t *obj, const struct explained *e)
{
	struct address_indices x = address_indices(e->addr, e->levels);
	struct json_t *canonical = js_object(), *indices = js_object();

	js_set_hex(obj, "address", e->addr);
	js_set_bool(canonical, "4", address_half(e->addr, 4) != ADDRESS_NOT_CANONICAL);
	js_set_bool(canonical, "5", address_half(e->addr, 5) != ADDRESS_NOT_CANONICAL);
	js_set(obj, "canonical", canonical);
	js_set_u64(obj, "levels", e->levels);
	js_set(obj, "half", e->half == ADDRESS_NOT_CANONICAL ? js_null() :
	       js_string(e->half == ADDRESS_USER ? "user" : "kernel"));
	js_set_u64(indices, "pgd", x.pgd);
	js_set(indices, "p4d", e->levels == 5 ? js_number(x.p4d) : js_null());
	js_set_u64(indices, "pud", x.pud);
	js_set_u64(indices, "pmd", x.pmd);
	js_set_u64(indices, "pte", x.pte);
	js_set_u64(indices, "offset", x.offset);
	js_set(obj, "indices", e->half == ADDRESS_NOT_CANONICAL ? js_null() : js_ref(indices));
	js_free(indices);
}

/* With either depth, as far as it is one of the machine's. */
static struct json_t *json_regions(const struct explain *ex, const struct explained *e)
{
	struct json_t *list = js_array();
	unsigned int levels;

	for (levels = 4; levels <= 5; levels++) {
		const struct address_region *r = address_region(e->addr, levels);
		struct json_t *obj;

		if (!r || (ex->levels && ex->levels != levels))
			continue;
		obj = js_object();
		js_set_u64(obj, "levels", levels);
		js_set_hex(obj, "start", r->start);
		js_set_hex(obj, "last", r->last);
		js_set_str(obj, "name", r->name);
		js_set_bool(obj, "randomized", r->is_moved);
		js_append(list, obj);
	}
	return list;
}

static struct json_t *json_vma(const struct explained *e)
{
	const struct vma_desc *d = &e->vma;
	struct json_t *obj;
	char flags[VMA_FLAGS_MAX];

	if (!d->vm_end)
		return js_null();
	obj = vma_json_line(d);
	if (d->inode)
		js_set_u64(obj, "file_offset", d->offset + (e->addr - d->vm_start));
	js_set_str(obj, "flags", vma_flags_text(d->vm_flags, flags));
	if (e->flags_unknown)
		js_set_str(obj, "flags_unknown", vma_flags_text(e->flags_unknown, flags));
	if (e->is_own)
		js_set_bool(obj, "own", true);
	return obj;
}

static struct json_t *json_neighbour(const struct vma_desc *d, uint64_t distance)
{
	struct json_t *obj;

	if (!d->vm_end)
		return js_null();
	obj = vma_json_line(d);
	js_set_u64(obj, "distance", distance);
	return obj;
}

static struct json_t *json_hole(const struct explained *e)
{
	struct json_t *obj;

	if (e->vma.vm_end || e->half != ADDRESS_USER)
		return js_null();
	obj = js_object();
	js_set_hex(obj, "start", e->hole_start);
	js_set_hex(obj, "end", e->hole_end);
	js_set(obj, "below", json_neighbour(&e->below, e->addr - e->below.vm_end));
	js_set(obj, "above", json_neighbour(&e->above, e->above.vm_start - e->addr));
	return obj;
}

static struct json_t *json_history(struct trace *tr, const struct page_history *h)
{
	struct json_t *obj = js_object(), *list = js_array();
	size_t i;

	js_set_u64(obj, "events", h->total);
	js_set_u64(obj, "left_out", h->total - h->nr);
	for (i = 0; i < h->nr; i++)
		js_append(list, page_event_json(page_history_event(h, i),
						tr->opt->stacks ? tr->symbols : NULL));
	js_set(obj, "list", list);
	return obj;
}

static void json_flags(struct json_t *obj, uint64_t kpageflags)
{
	struct json_t *flags = js_array();
	char number[16];
	unsigned int i;

	for (i = 0; i < NR_PAGE_FLAGS; i++) {
		if (!(kpageflags & KPF(i)))
			continue;
		snprintf(number, sizeof(number), "bit%u", i);
		js_append(flags, js_string(page_flag_names[i] ? page_flag_names[i] : number));
	}
	js_set(obj, "flags", flags);
}

static void json_frame(struct json_t *obj, const struct explained *e)
{
	const struct page_state *p = &e->page;
	struct json_t *run = js_object();

	js_set_u64(obj, "pfn", p->pfn);
	js_set_hex(obj, "physical", p->pfn * MM_PAGE_SIZE + e->addr % MM_PAGE_SIZE);
	js_set(obj, "zone", p->zone ? js_string(p->zone->name) : js_null());
	js_set(obj, "node", p->zone ? js_number(p->zone->rec.node) : js_null());
	js_set_hex(run, "start", p->run_start);
	js_set_u64(run, "pages", p->run_pages);
	js_set(obj, "run", run);
}

static void json_class(struct json_t *obj, const struct page_state *p)
{
	const struct rec_page_class *c = &p->class;

	js_set_str(obj, "kind", page_kind_names[p->kind]);
	js_set_bool(obj, "soft_dirty", c->pagemap & PM_SOFT_DIRTY);
	js_set_bool(obj, "uffd_wp", c->pagemap & PM_UFFD_WP);
	if (p->entry == PAGE_ENTRY_SWAPPED) {
		struct json_t *swap = js_object();

		js_set_u64(swap, "type", c->swap_type);
		js_set_u64(swap, "offset", p->pfn);
		js_set(obj, "swap", swap);
	}
	if (p->entry != PAGE_ENTRY_PRESENT)
		return;
	js_set(obj, "mapped_by", c->has_huge ? js_string(c->huge ? "pmd" : "pte") : js_null());
	js_set_bool(obj, "exclusive", c->pagemap & PM_EXCLUSIVE);
	js_set_bool(obj, "file", c->pagemap & PM_FILE);
	js_set(obj, "mapcount", c->has_mapcount ? js_number(c->mapcount) : js_null());
	if (c->has_kpageflags)
		json_flags(obj, c->kpageflags);
	else
		js_set(obj, "flags", js_null());
}

static struct json_t *json_page(const struct explain *ex, const struct explained *e)
{
	const struct physmap *map = &ex->maps.now;
	const struct page_event *since;
	struct json_t *obj, *cp;

	if (!map->is_known || e->half != ADDRESS_USER)
		return js_null();
	obj = js_object();
	cp = js_object();
	js_set_str(cp, "why", map->why);
	js_set_u64(cp, "t", map->t);
	js_set_u64(cp, "event", map->seq);
	js_set(obj, "checkpoint", cp);
	since = explain_event_since(ex, e);
	js_set(obj, "event_since", since ? js_number(since->seq) : js_null());
	js_set_str(obj, "pfns", map->pfn_visible ? "visible" : "hidden");
	js_set_str(obj, "entry", page_entry_names[e->page.entry]);
	if (e->page.diff)
		js_set_str(obj, "unaccounted", record_frame_cause_names[e->page.diff->cause]);
	if (e->page.entry == PAGE_ENTRY_NONE || e->page.entry == PAGE_ENTRY_UNTOLD)
		return obj;
	json_class(obj, &e->page);
	if (e->page.has_pfn)
		json_frame(obj, e);
	return obj;
}

static struct json_t *json_live(struct trace *tr, const struct heap_live *b, uint64_t distance)
{
	struct json_t *obj = js_object();

	js_set_hex(obj, "addr", b->addr);
	js_set_u64(obj, "size", b->size);
	js_set_u64(obj, "distance", distance);
	js_set_u64(obj, "allocated_t", b->t);
	js_set(obj, "allocated_tid", js_signed(b->tid));
	js_set(obj, "stack", symbols_json_stack(tr->symbols, b->stack));
	return obj;
}

static struct json_t *json_block(struct trace *tr, const struct heap_watch *w)
{
	struct json_t *obj;

	if (w->state == HEAP_WATCH_NONE)
		return js_null();
	obj = js_object();
	js_set_hex(obj, "addr", w->addr);
	js_set_u64(obj, "size", w->size);
	js_set_u64(obj, "offset", w->at - w->addr);
	js_set_str(obj, "state", w->state == HEAP_WATCH_LIVE ? "live" :
		   w->state == HEAP_WATCH_FREED ? "freed" : "reused");
	js_set_u64(obj, "allocated_t", w->t);
	js_set(obj, "allocated_tid", js_signed(w->tid));
	if (w->state == HEAP_WATCH_FREED) {
		js_set_u64(obj, "freed_t", w->freed_t);
		js_set(obj, "freed_tid", js_signed(w->freed_tid));
	}
	js_set_u64(obj, "blocks", w->nr);
	js_set(obj, "stack", symbols_json_stack(tr->symbols, w->stack));
	return obj;
}

static struct json_t *json_heap(struct trace *tr, const struct explained *e)
{
	const struct heap_live *below = &e->heap_below, *above = &e->heap_above;
	struct json_t *obj;

	if (!tr->header.heap || !strcmp(tr->header.heap, "off") || e->half != ADDRESS_USER)
		return js_null();
	obj = js_object();
	js_set_str(obj, "mode", tr->header.heap);
	js_set(obj, "block", json_block(tr, e->block));
	js_set(obj, "below", !e->has_heap_below ? js_null() :
	       json_live(tr, below, e->addr - (below->addr + below->size)));
	js_set(obj, "above", !e->has_heap_above ? js_null() :
	       json_live(tr, above, above->addr - e->addr));
	return obj;
}

static void json_place(struct json_t *obj, const struct symbol_place *place)
{
	struct json_t *symbol = js_object();

	if (place->section) {
		js_set_str(obj, "section", place->section);
		js_set_str(obj, "section_flags", place->section_flags);
	}
	if (place->note)
		js_set_str(obj, "note", place->note);
	if (place->name) {
		js_set_str(symbol, "name", place->name);
		js_set_u64(symbol, "offset", place->offset);
		js_set_u64(symbol, "size", place->size);
		js_set(obj, "symbol", js_ref(symbol));
	}
	js_free(symbol);
}

/* Innermost first, with what the compiler inlined. */
static struct json_t *json_frames(struct trace *tr, const struct explained *e)
{
	const struct symbol *sym = explain_symbol(tr, e);
	struct json_t *list = js_array();
	size_t i;

	for (i = 0; i < sym->nr_frames; i++) {
		const struct symbol_frame *f = &sym->frames[i];
		struct json_t *obj = js_object();

		if (f->function)
			js_set_str(obj, "function", f->function);
		if (f->file) {
			js_set_str(obj, "file", f->file);
			js_set_u64(obj, "line", f->line > 0 ? f->line : 0);
		}
		js_append(list, obj);
	}
	return list;
}

static struct json_t *json_module(struct trace *tr, const struct explained *e)
{
	const struct module *m;
	struct symbol_place place;
	struct json_t *obj;

	if (e->module == STACKS_NO_MODULE)
		return js_null();
	obj = js_object();
	m = &tr->stacks.modules[e->module];
	js_set_str(obj, "path", m->path);
	if (m->build_id)
		js_set_str(obj, "build_id", m->build_id);
	js_set_hex(obj, "offset", e->addr - m->base);
	js_set_str(obj, "segment", explain_segment_perms(e));
	js_set_bool(obj, "relro",
		    m->has_relro && e->addr >= m->relro.start && e->addr < m->relro.end);
	symbol_place_init(&place, tr->symbols, e->module, e->addr);
	json_place(obj, &place);
	symbol_place_fini(&place);
	if (e->segment_flags & VM_EXEC)
		js_set(obj, "frames", json_frames(tr, e));
	return obj;
}

static struct json_t *json_event(struct trace *tr, const struct page_event *event, bool is_known)
{
	return is_known ? page_event_json(event, tr->symbols) : js_null();
}

struct json_t *explain_json(struct trace *tr, const struct explain *ex)
{
	struct json_t *obj = js_object(), *list = js_array();
	size_t i;

	js_set_u64(obj, "event", ex->seq);
	js_set_u64(obj, "t", ex->t);
	js_set(obj, "levels", ex->levels ? js_number(ex->levels) : js_null());
	for (i = 0; i < ex->nr; i++) {
		const struct explained *e = &ex->list[i];
		const struct page_history *h = &e->history;
		struct json_t *one = js_object();

		json_address(one, e);
		js_set(one, "regions", json_regions(ex, e));
		js_set(one, "vma", json_vma(e));
		js_set(one, "hole", json_hole(e));
		js_set(one, "mapped_by", json_event(tr, &h->mapped,
						    h->has_mapped && h->now.is_mapped));
		js_set(one, "unmapped_by", json_event(tr, &h->unmapped,
						      h->has_unmapped && !h->now.is_mapped));
		js_set(one, "page", json_page(ex, e));
		js_set(one, "heap", json_heap(tr, e));
		js_set(one, "module", json_module(tr, e));
		js_set(one, "history", json_history(tr, h));
		js_append(list, one);
	}
	js_set(obj, "addresses", list);
	return obj;
}
