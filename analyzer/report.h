/* SPDX-License-Identifier: MIT */
/*
 * One trace on its way through a view: reader, replay, stacks and heap, run together.
 *
 *   reader ─▶ record ─┬▶ replay (shadow mm)
 *                     ├▶ stacks, modules          all before the view sees the record
 *                     ├▶ heap lines located ─▶ merged by time after the last record
 *                     └▶ view->record()  …  view->text() or view->json() at the end
 */
#ifndef VMTRACE_ANALYZER_REPORT_H
#define VMTRACE_ANALYZER_REPORT_H

#include <stdio.h>

#include "heap.h"
#include "heap_groups.h"
#include "page_class.h"
#include "reader.h"
#include "replay.h"
#include "stacks.h"
#include "suppress.h"
#include "symbols.h"

struct json_t;

/* What the command line may ask for; a view says which of these it takes. */
struct options {
	bool json, partial, no_symbols, colour;
	bool terminal;			/* output goes to one: names are escaped even in maps */
	bool own, why, stacks;
	struct moment at;
	int call;			/* enum mm_op, -1: all */
	uint64_t limit;			/* 0: all */
	bool has_limit;
	enum heap_by heap_by;
	bool has_by;
	enum heap_sort heap_sort;
	bool has_heap_sort, timeline;
	struct suppressions suppressions;
	bool fail;			/* what was found is a failure */
	uint64_t *addresses;		/* of VIEW_ADDRESSES */
	size_t nr_addresses;
};

struct view;

struct trace {
	const struct view *view;
	const struct options *opt;
	FILE *out;
	struct reader reader;
	struct replay replay;
	struct stacks stacks;
	struct page_classes classes;
	struct symbols *symbols;
	struct heap heap;

	bool has_header;
	struct rec_header header;	/* points into the reader's first line */
	uint64_t t_last;		/* greatest stamp seen */
	uint64_t nr_records[TRACE_NR_EVENTS];
	uint64_t at_t;			/* when the last call up to opt->at was made */
	uint64_t heap_t;		/* the moment that heap stands at */
	uint64_t heap_until;		/* the moment at which a view wants it, if it has one of its own */
	bool has_heap_until;
	bool is_damaged;		/* reading ended with an error */
	bool is_refused;		/* a view that was asked to fail found a reason */
};

enum {
	VIEW_HEAP = 1,			/* wants trace->heap */
	VIEW_AGAIN = 2,			/* reads the trace more than once */
	VIEW_STREAM = 4,		/* prints while it reads, also with --json */
	VIEW_ADDRESSES = 8,		/* is about addresses, which stand behind its one trace */
};

/**
 * struct view - One way to look at a trace.
 * @takes:  the options it has beside the general ones, letters of main.c's table.
 * @with_by: the view that takes its place with --by, or NULL; @brief and @help are about both.
 * @takes_by: what that can be, bits by enum heap_by; 0: anything.
 * @start:  state for one trace; may run the trace on its own (VIEW_AGAIN).
 * @stop:   whether the trace ends for this view before @rec.
 * @record: called for each record after replay, stacks and heap took it.
 * @text, @json: the result; @json's is printed by the caller. A streaming view prints in @record
 *          and closes in @text or, then returning NULL, @json.
 * @free:   releases the state.
 */
struct view {
	const char *name, *brief, *help, *takes;
	unsigned int flags, takes_by;
	const struct view *with_by;
	void *(*start)(struct trace *trace);
	bool (*stop)(struct trace *trace, void *state, const struct record *rec);
	void (*record)(struct trace *trace, void *state, const struct record *rec);
	void (*text)(struct trace *trace, void *state);
	struct json_t *(*json)(struct trace *trace, void *state);
	void (*free)(void *state);
};

extern const struct view view_summary, view_maps, view_events, view_mm, view_heap, view_leaks,
	view_fragmentation, view_frames, view_verify, view_explain;

/**
 * trace_open() - Get ready to read @path for @view.
 * Return: 0 or -errno with trace->reader.error set; trace_close() is right in both cases.
 */
int trace_open(struct trace *trace, const struct view *view, const struct options *opt,
	       const char *path, FILE *out);

/* The same over a reader that stands before the first line; it is moved into the trace. */
void trace_open_reader(struct trace *trace, const struct view *view, const struct options *opt,
		       const struct reader *reader);

/* The same over bytes in memory. */
int trace_open_memory(struct trace *trace, const struct view *view, const struct options *opt,
		      const void *data, size_t len, FILE *out);

/**
 * trace_run() - Read the trace and show it.
 * @ret_json: with opt->json the result, for the caller; NULL from a streaming view.
 *
 * Return: 0, or -errno with trace->reader.error set. What came before the error has been shown,
 * unless there was no header.
 */
int trace_run(struct trace *trace, struct json_t **ret_json);

/**
 * trace_read() - One pass over the records, from where the reader stands.
 * @stop, @record: as in struct view; may be NULL.
 */
int trace_read(struct trace *trace, void *state,
	       bool (*stop)(struct trace *trace, void *state, const struct record *rec),
	       void (*record)(struct trace *trace, void *state, const struct record *rec));

/**
 * trace_run_heap() - After the records, the heap lines up to opt->at.
 *
 * Return: 0, or -errno with trace->reader.error set.
 */
int trace_run_heap(struct trace *trace);

/* Forget what was read and stand before the first line again. */
int trace_rewind(struct trace *trace);

void trace_close(struct trace *trace);

#endif
