/* SPDX-License-Identifier: MIT */
/*
 * Proves the shadow against the kernel: same vmas, or a `diff` event that says where and why, and
 * takes the kernel's truth over.
 * Context of all: under the capture lock.
 */
#ifndef VMTRACE_VERIFY_H
#define VMTRACE_VERIFY_H

#include <stdint.h>
#include <vmtrace/mm.h>

struct verify_range {
	uint64_t start, end;	/* empty: start == end */
};

/* What a call can have done to pages in its range, of what maps shows. */
enum verify_effect { VERIFY_NOTHING, VERIFY_PERMS, VERIFY_MAPPING };

/**
 * struct verify_touched - What the event just recorded was about.
 * @effect: what it can be held responsible for; any other difference is somebody else's.
 * @range: where its arguments and result say that it changed pages.
 * @check: hull of that and of all vmas that the shadow changed.
 */
struct verify_touched {
	enum verify_effect effect;
	struct verify_range range[2], check;
};

/* Make @range the hull of both. */
void verify_join(struct verify_range *range, const struct verify_range *other);

/* The neighbourhood of one event. */
void verify_event(struct mm *mm, const struct verify_touched *touched, uint64_t seq);

/**
 * verify_growth() - Before a call on [start, end): have stacks there grown?
 * @seq: of the last event.
 *
 * Page faults move the start of a VM_GROWSDOWN vma, which nobody sees; afterwards what the call did
 * to the new part could hardly be told from what it should not have done. Free where nothing may grow.
 */
void verify_growth(struct mm *mm, uint64_t start, uint64_t end, uint64_t seq);

/* Everything, names included, and a `verify` event. Return: differences found. */
unsigned int verify_all(struct mm *mm, const char *why, uint64_t seq);

/* After lost records: tell the whole map, so that what follows can be understood again. */
void verify_catch_up(struct mm *mm, uint64_t seq);

uint64_t verify_nr_checks(void);
unsigned int verify_nr_vmas(void);	/* the kernel's, in the last verify_all() */
void verify_reset(void);

/* Was the part of the map that @desc describes made by vmtrace? */
bool verify_is_own(uint64_t start, uint64_t end);

/* [start,end,perms,offset,dev,inode,name] */
struct jsonw;
void verify_put_vma(struct jsonw *w, const struct vma_desc *desc);
void verify_put_perms(struct jsonw *w, const char *key, uint64_t vm_flags);
void verify_put_dev(struct jsonw *w, const char *key, uint32_t major, uint32_t minor);

#endif
