/* SPDX-License-Identifier: MIT */
/*
 * What became of pages between two checkpoints, page by page of their addresses.
 *
 * The zero page counts as none. Where PFNs are hidden, or the pages at an address are of another kind,
 * nothing can have moved: the latter are gone, and others were faulted in.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_CHURN_H
#define VMTRACE_ANALYZER_FRAMES_CHURN_H

#include "page_class.h"
#include "physmap.h"

/* X(symbol, "name", "text") */
#define CHURNS(X) \
	X(FAULTED_IN, "faulted_in", "faulted in") \
	X(GONE, "gone", "gone") \
	X(MOVED, "moved", "moved") \
	X(SWAPPED_OUT, "swapped_out", "swap out") \
	X(SWAPPED_IN, "swapped_in", "swap in") \
	X(SWAP_FREED, "swap_freed", "swap freed")
#define CHURN_ID(symbol, name, text) CHURN_##symbol,
enum churn { CHURNS(CHURN_ID) NR_CHURNS };
extern const char *const churn_names[NR_CHURNS], *const churn_texts[NR_CHURNS];

/* @vma: as it is now; where there is none that has pages, as it was. */
struct churn_vma {
	const struct phys_vma *vma;
	uint64_t pages[NR_CHURNS];
};

struct frames_churn {
	uint64_t pages[NR_CHURNS];
	struct churn_vma *vmas;		/* those with any, by address */
	size_t nr_vmas, cap_vmas;
};

/* Both maps must outlive @churn. */
void frames_churn_init(struct frames_churn *churn, const struct physmap *before,
		       const struct physmap *now, const struct page_classes *classes);
void frames_churn_fini(struct frames_churn *churn);

#endif
