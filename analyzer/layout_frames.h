/* SPDX-License-Identifier: MIT */
/*
 * The frames of the last checkpoint that has them: what is resident of each vma, and of a part of one.
 */
#ifndef VMTRACE_ANALYZER_LAYOUT_FRAMES_H
#define VMTRACE_ANALYZER_LAYOUT_FRAMES_H

#include "record.h"

/* Pages that are resident side by side, in frames side by side. */
struct layout_run {
	uint64_t start, end, pfn;
};

/* The last checkpoint's frames of one vma; pages. */
struct layout_resident {
	uint64_t start, end, anon, file, huge;
	size_t first_run, nr_runs;	/* all that is resident, or none if that is not known */
	uint64_t run_bytes, huge_run_bytes;
};

struct layout_frames {
	struct layout_resident *list;	/* by address */
	size_t nr, cap;
	struct layout_run *runs;	/* of one vma after the other */
	size_t nr_runs, cap_runs;
	bool is_new;			/* a checkpoint began: its first line replaces what there is */
	bool is_known;			/* there was one with frames */
};

void layout_frames_note(struct layout_frames *frames, const struct rec_frames *rec);
void layout_frames_fini(struct layout_frames *frames);

/* NULL: nothing of @vma is resident. */
const struct layout_resident *layout_frames_find(const struct layout_frames *frames,
						 const struct vma *vma);

/**
 * layout_frames_share() - What of @f lies in [start, end), a part of its vma.
 * @of: size of the vma, bytes.
 *
 * By the runs of frames; where PFNs are hidden, or there are too many runs, in proportion.
 */
void layout_frames_share(const struct layout_frames *frames, const struct layout_resident *f,
			 uint64_t start, uint64_t end, uint64_t of, uint64_t *ret_anon,
			 uint64_t *ret_huge);

#endif
