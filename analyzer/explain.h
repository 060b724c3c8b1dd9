/* SPDX-License-Identifier: MIT */
/*
 * What the view explain has collected, shared by its text and its JSON.
 */
#ifndef VMTRACE_ANALYZER_EXPLAIN_H
#define VMTRACE_ANALYZER_EXPLAIN_H

#include "address.h"
#include "heap.h"
#include "page_history.h"
#include "page_state.h"
#include "report.h"

/**
 * struct explained - One address, as things stood at the moment.
 * @levels: of the page tables that it is shown with; the machine's if they are known.
 * @vma:    what holds it; vm_end 0: nothing.
 * @below, @above: if nothing does, the nearest ones; vm_end 0: there is none.
 * @hole_start, @hole_end: and the hole between them.
 * @module: index in the trace's stacks, or STACKS_NO_MODULE; with the flags of its segment there.
 * @heap_below, @heap_above: nearest live blocks, if there are any near by.
 */
struct explained {
	uint64_t addr;
	unsigned int levels;
	enum address_half half;
	struct page_history history;
	struct vma_desc vma, below, above;
	bool is_own;
	uint64_t flags_unknown;
	uint64_t hole_start, hole_end;
	uint32_t module;
	uint64_t segment_flags;
	struct page_state page;
	const struct heap_watch *block;
	struct heap_live heap_below, heap_above;
	bool has_heap_below, has_heap_above;
};

struct explain {
	struct options opt;		/* the trace's, with the peak made a call */
	bool is_frozen;			/* the moment has come: the rest is for the heap */
	uint64_t seq, t;		/* the moment: the last call, and when it was */
	unsigned int levels;		/* of the machine's page tables; 0: not known */
	struct physmaps maps;
	struct explained *list;
	struct heap_watch *watches;	/* one for each */
	size_t nr;
};

/* The last call of the history behind the checkpoint that the page's state is of, or NULL. */
const struct page_event *explain_event_since(const struct explain *ex, const struct explained *e);

/* The function and line of an address of a module. */
const struct symbol *explain_symbol(struct trace *trace, const struct explained *e);
const char *explain_segment_perms(const struct explained *e);

void explain_text(struct trace *trace, const struct explain *ex);
struct json_t *explain_json(struct trace *trace, const struct explain *ex);

#endif
