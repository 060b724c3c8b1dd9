/* SPDX-License-Identifier: MIT */
/*
 * explain: everything that a trace knows about single addresses.
 *
 * Records are followed up to the moment; there, what the map says is taken down. What comes behind it
 * is read all the same: operations of the heap from before the moment may stand there.
 */
#include "alloc.h"
#include "explain.h"
#include "vma_show.h"

enum { DEFAULT_EVENTS = 20 };

/* How far off a live block may be and still be a neighbour, unless it is in the same vma. */
#define NEAR_BYTES (1ull << 20)

/* The peak is found by a pass of its own. */
static void find_peak(struct trace *tr, struct explain *ex)
{
	uint64_t seq;

	trace_read(tr, NULL, NULL, NULL);
	seq = tr->replay.peak_seq;
	ex->opt.at = (struct moment){ seq ? MOMENT_EVENT : MOMENT_START, seq };
	tr->opt = &ex->opt;
	if (!*tr->reader.error)
		trace_rewind(tr);
}

static void *explain_start(struct trace *tr)
{
	struct explain *ex = alloc_zeroed(sizeof(*ex));
	size_t limit = tr->opt->has_limit ? tr->opt->limit : DEFAULT_EVENTS, i;

	ex->opt = *tr->opt;
	if (ex->opt.at.kind == MOMENT_PEAK)
		find_peak(tr, ex);
	ex->nr = ex->opt.nr_addresses;
	ex->list = alloc_array(ex->nr, sizeof(*ex->list));
	ex->watches = alloc_array(ex->nr, sizeof(*ex->watches));
	for (i = 0; i < ex->nr; i++) {
		ex->list[i].addr = ex->watches[i].at = ex->opt.addresses[i];
		ex->list[i].block = &ex->watches[i];
		ex->list[i].module = STACKS_NO_MODULE;
		page_history_init(&ex->list[i].history, ex->list[i].addr, limit);
	}
	tr->heap.watches = ex->watches;
	tr->heap.nr_watches = ex->nr;
	return ex;
}

/* The recorder asks the kernel how far user space reaches: with 5 levels beyond 2^47. */
static unsigned int machine_levels(const struct trace *tr)
{
	if (!tr->header.mm.task_size)
		return 0;
	return tr->header.mm.task_size > 1ull << 47 ? 5 : 4;
}

static void choose_levels(const struct explain *ex, struct explained *e)
{
	e->levels = ex->levels;
	if (!e->levels)
		e->levels = address_half(e->addr, 4) == ADDRESS_NOT_CANONICAL &&
			    address_half(e->addr, 5) != ADDRESS_NOT_CANONICAL ? 5 : 4;
	e->half = address_half(e->addr, e->levels);
}

static void take_neighbours(struct mm *mm, struct explained *e)
{
	struct vma *below, *above = find_vma_prev(mm, e->addr, &below);

	if (below)
		vma_describe(mm, below, &e->below);
	if (above)
		vma_describe(mm, above, &e->above);
	e->hole_start = below ? below->vm_end : 0;
	e->hole_end = above ? above->vm_start : mm->task_size;
}

static void take_vma(struct trace *tr, struct explained *e)
{
	struct mm *mm = &tr->replay.mm;
	const struct vma *vma = vma_lookup(mm, e->addr);
	struct vma_desc vsyscall = vma_vsyscall(tr->replay.vsyscall_flags);

	if (vma) {
		vma_describe(mm, vma, &e->vma);
		e->is_own = vma->own;
		e->flags_unknown = vma->vm_flags_unknown;
	} else if (tr->replay.has_vsyscall && e->addr >= vsyscall.vm_start &&
		   e->addr < vsyscall.vm_end) {
		e->vma = vsyscall;
	} else if (e->half == ADDRESS_USER) {
		take_neighbours(mm, e);
	}
}

static void freeze(struct trace *tr, struct explain *ex)
{
	const struct moment *at = &ex->opt.at;
	size_t i;

	ex->is_frozen = true;
	ex->seq = tr->replay.seq;
	ex->t = at->kind == MOMENT_TIME && at->value < tr->t_last ? at->value :
		at->kind == MOMENT_START || at->kind == MOMENT_EVENT ? tr->replay.t : tr->t_last;
	ex->levels = machine_levels(tr);
	for (i = 0; i < ex->nr; i++) {
		struct explained *e = &ex->list[i];

		choose_levels(ex, e);
		take_vma(tr, e);
		e->module = stacks_module_at(&tr->stacks, e->addr, &e->segment_flags);
		if (ex->maps.now.is_known)
			page_state_find(&e->page, &ex->maps.now, &tr->classes, e->addr);
	}
}

/* A checkpoint changes no map, but tells of other pages. */
static bool is_later(const struct moment *at, const struct record *rec)
{
	return moment_is_before(at, rec) ||
	       (at->kind == MOMENT_TIME && rec->ev == TRACE_CHECKPOINT && rec->t > at->value);
}

/* Nothing is stopped; but from here on things are different. */
static bool explain_stop(struct trace *tr, void *state, const struct record *rec)
{
	struct explain *ex = state;

	if (!ex->is_frozen && is_later(&ex->opt.at, rec))
		freeze(tr, ex);
	return false;
}

static void explain_record(struct trace *tr, void *state, const struct record *rec)
{
	struct explain *ex = state;
	size_t i;

	if (ex->is_frozen)
		return;
	physmaps_record(&ex->maps, tr, rec);
	for (i = 0; i < ex->nr; i++)
		page_history_record(&ex->list[i].history, &tr->replay, rec);
}

static bool is_near(const struct explained *e, uint64_t addr, uint64_t distance)
{
	return distance <= NEAR_BYTES || (addr >= e->vma.vm_start && addr < e->vma.vm_end);
}

static void note_neighbour(struct explained *e, const struct heap_live *block)
{
	uint64_t end = block->addr + block->size;

	if (end < block->addr)
		return;
	if (block->addr > e->addr) {
		if (is_near(e, block->addr, block->addr - e->addr) &&
		    (!e->has_heap_above || block->addr < e->heap_above.addr)) {
			e->heap_above = *block;
			e->has_heap_above = true;
		}
	} else if (end <= e->addr && block->addr != e->addr &&
		   is_near(e, block->addr, e->addr - end) &&
		   (!e->has_heap_below || end > e->heap_below.addr + e->heap_below.size)) {
		e->heap_below = *block;
		e->has_heap_below = true;
	}
}

/* The rest, when everything was read. */
static void finish(struct trace *tr, struct explain *ex)
{
	struct heap_live block;
	size_t pos = 0, i;

	if (!ex->is_frozen)
		freeze(tr, ex);
	while (heap_next_block(&tr->heap, &pos, &block))
		for (i = 0; i < ex->nr; i++)
			note_neighbour(&ex->list[i], &block);
}

const struct page_event *explain_event_since(const struct explain *ex, const struct explained *e)
{
	const struct page_event *last;

	if (!e->history.nr)
		return NULL;
	last = page_history_event(&e->history, e->history.nr - 1);
	return last->seq > ex->maps.now.seq ? last : NULL;
}

const struct symbol *explain_symbol(struct trace *tr, const struct explained *e)
{
	/* As if it were where the call before a return address is. */
	const struct stack_node node = { .ip = e->addr + 1, .module = e->module };

	return symbols_get(tr->symbols, &node);
}

const char *explain_segment_perms(const struct explained *e)
{
	static const char *const perms[] = {
		"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx",
	};

	return perms[e->segment_flags & (VM_READ | VM_WRITE | VM_EXEC)];
}

static void view_text(struct trace *tr, void *state)
{
	finish(tr, state);
	explain_text(tr, state);
}

static struct json_t *view_json(struct trace *tr, void *state)
{
	finish(tr, state);
	return explain_json(tr, state);
}

static void explain_free(void *state)
{
	struct explain *ex = state;
	size_t i;

	for (i = 0; i < ex->nr; i++)
		page_history_fini(&ex->list[i].history);
	physmaps_fini(&ex->maps);
	alloc_free(ex->list);
	alloc_free(ex->watches);
	alloc_free(ex);
}

const struct view view_explain = {
	.name = "explain",
	.brief = "everything the trace knows about single addresses",
	.help = "  ADDRESS          hexadecimal, with or without 0x; after the trace, one or several\n"
		"  --at start|end|peak|EVENT|TIME  the moment: the first map, the last one (default), the\n"
		"                   greatest mapped size, after a call's number, or a time since\n"
		"                   start with ns, us, ms or s\n"
		"  --stacks         with the call stack of each call of the history\n"
		"  --limit N        show the last N calls of the history (20; 0: all)\n",
	.takes = "als",
	.flags = VIEW_HEAP | VIEW_AGAIN | VIEW_ADDRESSES,
	.start = explain_start,
	.stop = explain_stop,
	.record = explain_record,
	.text = view_text,
	.json = view_json,
	.free = explain_free,
};
