/* SPDX-License-Identifier: MIT */
/*
 * The pages behind the map at one checkpoint, as its mm, topology, frames and frames_end lines tell them.
 *
 *     vmas:  | start end … |    as they were at the checkpoint, with names and flags of the replay
 *     runs:  | va pfn pages class | … by va, over all vmas
 */
#ifndef VMTRACE_ANALYZER_PHYSMAP_H
#define VMTRACE_ANALYZER_PHYSMAP_H

#include "page_class.h"

struct trace;

struct phys_vma {
	uint64_t start, end, vm_flags;
	bool own;			/* vmtrace's */
	char *name;
	size_t first_run, nr_runs;	/* in physmap.runs */
};

struct phys_zone {
	struct rec_zone rec;		/* its name: below */
	char *name;
};

struct phys_node {
	uint32_t node;
	char *cpus;			/* or NULL */
	uint64_t total_bytes, free_bytes;
};

struct phys_slab {
	char *name;
	uint64_t object_bytes;
};

struct physmap {
	bool is_known;			/* there was a checkpoint with frames */
	bool pfn_visible;
	char why[16];			/* the checkpoint's */
	uint64_t t, seq;		/* seq: of the last call before it */
	struct rec_figures kernel;	/* by its mm line; none known without one */

	struct phys_vma *vmas;		/* by start */
	size_t nr_vmas, cap_vmas;
	struct rec_run *runs;
	size_t nr_runs, cap_runs;

	struct phys_zone *zones;
	struct phys_node *nodes;
	struct phys_slab *slabs;
	size_t nr_zones, nr_nodes, nr_slabs;
	struct json_t *unreadable;	/* object of strings, or NULL */

	struct rec_frame_diff *diffs;
	size_t nr_diffs, cap_diffs;
	uint64_t nr_left_out;		/* lines out of order: the trace is damaged */
	bool has_end;
	struct rec_frames_end end;
};

/* The last checkpoint with frames, and the one before that. Zeroed at first. */
struct physmaps {
	struct physmap now, before;
	char why[16];			/* of the checkpoint that is being read */
	uint64_t t;
	struct rec_figures kernel;
	bool is_new;			/* it began: its first line about pages begins a new map */
};

/* To be called for each record, in a view's record function. */
void physmaps_record(struct physmaps *maps, struct trace *trace, const struct record *rec);
void physmaps_fini(struct physmaps *maps);

/* The vma that holds @addr and has pages of interest, or NULL. */
const struct phys_vma *physmap_vma(const struct physmap *map, uint64_t addr);

/* Index of the first run that ends above @addr; nr_runs if there is none. */
size_t physmap_first_run(const struct physmap *map, uint64_t addr);

/* The run that holds the page at @addr, or NULL. */
const struct rec_run *physmap_run(const struct physmap *map, uint64_t addr);

/* The frame (slot, in swap) of page @i of @run. */
static inline uint64_t physmap_pfn(const struct rec_run *run, const struct rec_page_class *c, uint64_t i)
{
	return page_is_zero(c) ? run->pfn : run->pfn + i;
}

/* The zone that spans @pfn, or NULL. */
const struct phys_zone *physmap_zone(const struct physmap *map, uint64_t pfn);

#endif
