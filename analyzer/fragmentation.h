/* SPDX-License-Identifier: MIT */
/*
 * What a heap holds against what of it is live, at one moment: from the mappings then and the blocks
 * then.
 */
#ifndef VMTRACE_ANALYZER_FRAGMENTATION_H
#define VMTRACE_ANALYZER_FRAGMENTATION_H

#include "heap_areas.h"
#include "heap_pages.h"

struct trace;

/* What areas of one kind, or all, add up to. */
struct held {
	uint64_t areas, bytes, resident, live_blocks, live_bytes;
};

struct fragmentation {
	struct layout_pieces pieces;
	struct physmaps frames;
	struct heap_areas areas;
	struct heap_pages pages;
	struct held of_kind[HEAP_NR_AREAS], all;
	uint64_t outside_blocks, outside_bytes;	/* live in no memory known to be a heap's */
	struct heap_live top;			/* the highest block of the brk heap */
	bool has_top;
	bool has_resident;
};

void fragmentation_init(struct fragmentation *f);
void fragmentation_fini(struct fragmentation *f);

/* A record on the way to the end; replay took it already. */
void fragmentation_note(struct fragmentation *f, struct trace *trace, const struct record *rec);

/**
 * fragmentation_collect() - Fill in the rest, after the heap was run.
 *
 * Reads the trace again if the moment is not the end, and then expects that nothing was noted.
 */
void fragmentation_collect(struct fragmentation *f, struct trace *trace);

/* Where the brk heap ends. */
uint64_t fragmentation_break(const struct fragmentation *f);

/* What is not live of the brk heap above and below its highest block, which there must be. */
uint64_t fragmentation_free_above(const struct fragmentation *f);
uint64_t fragmentation_free_below(const struct fragmentation *f);

#endif
