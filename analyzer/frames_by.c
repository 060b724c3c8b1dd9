/* SPDX-License-Identifier: MIT */
#include "frames_by.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hash.h"
#include "layout_role.h"
#include "report.h"

#define FRAMES_OWNER_NAME(symbol, name) [FRAMES_OWNER_##symbol] = name,
const char *const frames_owner_names[FRAMES_NR_OWNERS] = { FRAMES_OWNERS(FRAMES_OWNER_NAME) };

/* Pages side by side, of one class and one owner. */
struct frames_part {
	uint64_t start, end;
	int64_t tid;
	size_t name;			/* in frames_by.names */
	uint32_t class, stack;
	enum frames_owner owner;
	bool has_blocks;		/* live blocks on them have their share */
	bool is_heap;			/* what they leave is the allocator's */
};

/* No two have a byte in common. */
struct frames_block {
	uint64_t start, end;
	int64_t tid;
	uint32_t stack;
};

void frames_by_init(struct frames_by *f, enum heap_by by)
{
	*f = (struct frames_by){ .by = by };
	layout_pieces_init(&f->pieces);
	f->pieces.wants_last = true;
	table_init(&f->row_of_key, sizeof(uint64_t));
	table_init(&f->row_of_hash, sizeof(uint64_t));
}

static void forget(struct frames_by *f)
{
	while (f->nr_names)
		alloc_free(f->names[--f->nr_names]);
	f->nr_parts = 0;
	f->end = 0;
}

void frames_by_fini(struct frames_by *f)
{
	size_t i;

	forget(f);
	for (i = 0; i < f->nr_rows; i++)
		alloc_free(f->rows[i].name);
	alloc_free(f->rows);
	alloc_free(f->parts);
	alloc_free(f->names);
	table_fini(&f->row_of_key);
	table_fini(&f->row_of_hash);
	layout_pieces_fini(&f->pieces);
}

static bool is_anonymous(const struct vma *vma)
{
	return vma && !(vma->vm_flags & (VM_MAYSHARE | VM_GROWSDOWN)) && !vma->inode;
}

/* What the call says about whether an allocator has the memory. */
static void judge_maker(struct frames_part *part, const struct vma *vma,
			const struct layout_maker *maker)
{
	struct vma extent = *vma;

	extent.vm_start = part->start;
	extent.vm_end = part->end;
	if (maker->call.op == MM_BRK || layout_is_arena(&extent, maker))
		part->is_heap = true;
	else if (maker->origin == TRACE_ORIGIN_LIBC || maker->call.arg[3] & MAP_STACK)
		part->has_blocks = false;	/* a stack, or one large block */
}

/* Who has the pages from @part->start on; its end becomes where that ends. */
static void find_owner(struct frames_by *f, const struct trace *tr, const struct vma *vma, bool own,
		       struct frames_part *part)
{
	const struct layout_maker *maker = layout_pieces_at(&f->pieces, part->start, part->end,
							    &part->end);

	part->has_blocks = is_anonymous(vma);
	part->is_heap = part->has_blocks && !strcmp(vma_name(&tr->replay.mm, vma), "[heap]");
	part->owner = FRAMES_OWNER_MAPPED;
	if (own) {
		part->owner = FRAMES_OWNER_OWN;
		part->has_blocks = false;
	} else if (!maker) {
		part->owner = FRAMES_OWNER_START;
	} else if (maker->is_unseen) {
		part->owner = FRAMES_OWNER_UNSEEN;
	} else {
		part->stack = maker->stack;
		part->tid = maker->tid;
		if (part->has_blocks)
			judge_maker(part, vma, maker);
	}
}

static void add_part(struct frames_by *f, const struct frames_part *part)
{
	struct frames_part *last = f->nr_parts ? &f->parts[f->nr_parts - 1] : NULL;

	if (last && last->end == part->start && last->class == part->class &&
	    last->name == part->name && last->owner == part->owner && last->stack == part->stack &&
	    last->tid == part->tid && last->has_blocks == part->has_blocks &&
	    last->is_heap == part->is_heap) {
		last->end = part->end;
		return;
	}
	f->parts = alloc_grow(f->parts, f->nr_parts, &f->cap_parts, sizeof(*f->parts));
	f->parts[f->nr_parts++] = *part;
}

static void add_line(struct frames_by *f, struct trace *tr, const struct rec_frames *rec)
{
	const struct vma *vma = vma_lookup(&tr->replay.mm, rec->start);
	bool own = rec->own || (vma && vma->own);
	size_t i;

	f->pfn_visible = rec->pfn_visible;
	/* Lines come in order; a damaged trace's may not. */
	if (rec->start < f->end)
		return;
	f->end = rec->end;
	f->names = alloc_grow(f->names, f->nr_names, &f->cap_names, sizeof(*f->names));
	f->names[f->nr_names++] = alloc_string(vma ? vma_name(&tr->replay.mm, vma) : "");
	for (i = 0; i < rec->nr_runs; i++) {
		const struct rec_run *run = &rec->runs[i];
		uint64_t end = rec_run_end(run);
		struct frames_part part = { .name = f->nr_names - 1, .class = run->class };

		for (part.start = run->va; part.start < end; part.start = part.end) {
			part.end = end;
			find_owner(f, tr, vma, own, &part);
			add_part(f, &part);
		}
	}
}

void frames_by_record(struct frames_by *f, struct trace *tr, const struct record *rec)
{
	layout_pieces_record(&f->pieces, rec);
	if (rec->ev == TRACE_CHECKPOINT) {
		snprintf(f->why, sizeof(f->why), "%s", rec->checkpoint.why);
		f->is_new = true;
	} else if (rec->ev == TRACE_FRAMES) {
		if (f->is_new || !f->is_known) {
			forget(f);
			f->t = tr->heap_until = rec->t;
			f->seq = tr->replay.seq;
			f->is_known = tr->has_heap_until = true;
			f->is_new = f->is_complete = false;
		}
		add_line(f, tr, &rec->frames);
	} else if (rec->ev == TRACE_FRAMES_END && !f->is_new) {
		f->is_complete = true;
		f->last = rec->frames_end;
	}
}

static int by_start(const void *a, const void *b)
{
	const struct frames_block *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

/* The live blocks by address. Those that overlap, as after a free that was lost, are cut. */
static struct frames_block *take_blocks(const struct heap *heap, size_t *ret_nr)
{
	struct frames_block *list = alloc_array(heap->live_blocks + 1, sizeof(*list));
	size_t pos = 0, nr = 0, kept = 0, i;
	struct heap_live block;
	uint64_t end = 0;

	while (nr < heap->live_blocks && heap_next_block(heap, &pos, &block)) {
		uint64_t room = UINT64_MAX - block.addr;

		list[nr++] = (struct frames_block){
			.start = block.addr, .tid = block.tid, .stack = block.stack,
			.end = block.addr + (block.size < room ? block.size : room),
		};
	}
	qsort(list, nr, sizeof(*list), by_start);
	for (i = 0; i < nr; i++) {
		struct frames_block *b = &list[i];

		b->start = b->start > end ? b->start : end;
		if (b->start >= b->end)
			continue;
		end = b->end;
		list[kept++] = *b;
	}
	*ret_nr = kept;
	return list;
}

static size_t add_row(struct frames_by *f, enum frames_owner owner, uint32_t stack, int64_t tid,
		      char *name)
{
	f->rows = alloc_grow(f->rows, f->nr_rows, &f->cap_rows, sizeof(*f->rows));
	f->rows[f->nr_rows] = (struct frames_row){ .owner = owner, .stack = stack, .tid = tid,
						   .name = name };
	return f->nr_rows++;
}

/* The row of that name, which is taken over. */
static size_t named_row(struct frames_by *f, enum frames_owner owner, uint32_t stack, char *name)
{
	bool is_new;
	uint64_t *first = table_put(&f->row_of_hash, hash_line(HASH_START + owner, name),
				    &is_new);
	size_t i;

	for (i = *first; i; i = f->rows[i - 1].next) {
		if (f->rows[i - 1].owner == owner && !strcmp(f->rows[i - 1].name, name)) {
			alloc_free(name);
			return i - 1;
		}
	}
	i = add_row(f, owner, stack, 0, name);
	f->rows[i].next = *first;
	*first = i + 1;
	return i;
}

bool frames_owner_has_stack(enum frames_owner owner)
{
	return owner == FRAMES_OWNER_MAPPED || owner == FRAMES_OWNER_HEAP ||
	       owner == FRAMES_OWNER_FREE;
}

/* @name: of what has no stack. */
static struct frames_row *get_row(struct frames_by *f, struct trace *tr, enum frames_owner owner,
				  uint32_t stack, int64_t tid, size_t name)
{
	uint64_t id = name, *row;
	bool is_new;

	if (owner == FRAMES_OWNER_OWN)
		id = 0;
	else if (frames_owner_has_stack(owner))
		id = f->by == HEAP_BY_THREAD ? (uint64_t)tid : stack;
	row = table_put(&f->row_of_key, (uint64_t)owner << 60 | (id & (UINT64_MAX >> 4)), &is_new);
	if (!is_new)
		return &f->rows[*row];
	if (!frames_owner_has_stack(owner))
		*row = named_row(f, owner, 0, alloc_string(owner == FRAMES_OWNER_OWN ? "" :
							   f->names[name]));
	else if (f->by == HEAP_BY_STACK || f->by == HEAP_BY_THREAD)
		*row = add_row(f, owner, stack, tid, NULL);
	else
		*row = named_row(f, owner, stack, heap_wisher(tr, stack, f->by == HEAP_BY_MODULE));
	f->rows[*row].stacks++;
	return &f->rows[*row];
}

/* What processes that map the page share of [start, end); pages outside RSS have none. */
static double pss_of(struct frames_by *f, const struct rec_page_class *c, uint64_t bytes)
{
	if (!page_is_in_rss(c))
		return 0;
	f->has_pss &= c && c->has_mapcount;
	return c && c->mapcount ? (double)bytes / c->mapcount : bytes;
}

static void add_pages(struct owner_sum *sum, uint64_t *next_page, uint64_t start, uint64_t end)
{
	uint64_t first = start / MM_PAGE_SIZE, last = (end - 1) / MM_PAGE_SIZE;

	first = first > *next_page ? first : *next_page;
	sum->pages += last + 1 - first;
	*next_page = last + 1;
}

/* Everything of @by but the pages, which sums may share. */
static void add_bytes(struct owner_sum *sum, const struct owner_sum *by)
{
	sum->resident += by->resident;
	sum->huge += by->huge;
	sum->swapped += by->swapped;
	sum->pss += by->pss;
}

/* [start, end) of @part is @row's: a block's, or what is left. In the order of addresses. */
static void give(struct frames_by *f, const struct trace *tr, const struct frames_part *part,
		 struct frames_row *row, uint64_t start, uint64_t end)
{
	const struct rec_page_class *c = page_class(&tr->classes, part->class);
	uint64_t bytes = end - start;
	struct owner_sum sum = { 0 };

	if (page_is_swapped(c)) {
		sum.swapped = bytes;
	} else {
		f->has_huge &= c && c->has_huge;
		sum.resident = bytes;
		sum.huge = c && c->huge ? bytes : 0;
		sum.pss = pss_of(f, c, bytes);
	}
	add_bytes(&row->sum, &sum);
	add_bytes(&f->all, &sum);
	add_pages(&row->sum, &row->next_page, start, end);
}

/* What no block has. */
static void give_rest(struct frames_by *f, struct trace *tr, const struct frames_part *part,
		      uint64_t start, uint64_t end)
{
	bool is_free = f->has_blocks && part->is_heap;

	if (start < end)
		give(f, tr, part, get_row(f, tr, is_free ? FRAMES_OWNER_FREE : part->owner,
					  part->stack, part->tid, part->name), start, end);
}

/* Share out @part. @at: a block that no later one lies below. Return: the same for the next part. */
static const struct frames_block *share(struct frames_by *f, struct trace *tr,
					const struct frames_part *part,
					const struct frames_block *at,
					const struct frames_block *last)
{
	uint64_t from = part->start, start, end;

	while (at < last && at->end <= part->start)
		at++;
	for (; part->has_blocks && at < last && at->start < part->end; at++) {
		start = at->start > part->start ? at->start : part->start;
		end = at->end < part->end ? at->end : part->end;
		give_rest(f, tr, part, from, start);
		give(f, tr, part, get_row(f, tr, FRAMES_OWNER_HEAP, at->stack, at->tid, 0), start,
		     end);
		from = end;
		if (at->end > part->end)
			break;
	}
	give_rest(f, tr, part, from, part->end);
	return at;
}

static int by_resident(const void *a, const void *b)
{
	const struct frames_row *x = a, *y = b;

	if (x->sum.resident != y->sum.resident)
		return x->sum.resident < y->sum.resident ? 1 : -1;
	if (x->sum.swapped != y->sum.swapped)
		return x->sum.swapped < y->sum.swapped ? 1 : -1;
	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->name)
		return strcmp(x->name, y->name);
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

void frames_by_collect(struct frames_by *f, struct trace *tr)
{
	struct frames_block *blocks = NULL;
	const struct frames_block *at;
	size_t i, nr = 0;
	uint64_t page = 0;

	f->has_pss = f->has_huge = true;
	f->has_blocks = strcmp(tr->header.heap, "off") && !tr->heap.sample_bytes;
	if (f->has_blocks)
		blocks = take_blocks(&tr->heap, &nr);
	at = blocks;
	for (i = 0; i < f->nr_parts; i++) {
		const struct rec_page_class *c = page_class(&tr->classes, f->parts[i].class);

		if (!page_is_present(c) && !page_is_swapped(c))
			continue;
		at = share(f, tr, &f->parts[i], at, blocks + nr);
		add_pages(&f->all, &page, f->parts[i].start, f->parts[i].end);
	}
	alloc_free(blocks);
	f->is_complete &= f->last.resident == f->all.resident / MM_PAGE_SIZE &&
			  f->last.swapped == f->all.swapped / MM_PAGE_SIZE;
	if (f->nr_rows)
		qsort(f->rows, f->nr_rows, sizeof(*f->rows), by_resident);
}
