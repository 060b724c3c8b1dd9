/* SPDX-License-Identifier: MIT */
/*
 * One call on its way from the system call to the trace; capture.c leads it through.
 *
 *     capture_call ─▶ event_complete ─▶ shadow ─▶ event_resolve ─▶ event_record ─▶ event_touched
 *                     what the arguments                the kernel     a line of       what to
 *                     don't say                         decides        the trace       compare
 *
 * Context of all: hook path, under the capture lock.
 */
#ifndef VMTRACE_EVENT_H
#define VMTRACE_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <vmtrace/trace.h>

#include "verify.h"

#define EVENT_NR_RESOLVED 8	/* questions to the kernel about one event, at most */
#define EVENT_NR_RANGES 128	/* of one process_madvise(); the kernel takes 1024 */

struct event {
	struct mm_call call;
	struct vma_file file;
	char name[MAPS_LINE_MAX];	/* of the file */
	char anon_name[88];		/* PR_SET_VMA's, at most 80 */
	uint64_t ns;			/* when, before the call for a release, else after it */
	uint64_t old_brk;
	enum trace_origin origin;
	int tid;
	uint32_t stack;
	struct mm_range ranges[EVENT_NR_RANGES];	/* process_madvise()'s */
	int nr_resolved;
	uint64_t resolved[EVENT_NR_RESOLVED][2];
	struct mm_effect effect;
};

/* Is the result an address? */
static inline bool event_is_mmap_like(enum mm_op op)
{
	return op == MM_MMAP || op == MM_MREMAP || op == MM_BRK || op == MM_SHMAT;
}

/* What the arguments alone don't say: files, lengths, names, what a request pointed to. */
void event_complete(struct event *e);

/* Ask the kernel about each boundary the shadow could not be sure of. */
void event_resolve(struct event *e);

/* The `call` line. */
void event_record(const struct event *e);

/* What it was about, for the comparison with the kernel. */
void event_touched(const struct event *e, struct verify_touched *ret);

/**
 * event_range() - Where a call is about to work: its range, and mremap()'s target.
 * Return: false for a call that works on no range known beforehand.
 */
bool event_range(enum mm_op op, const uint64_t arg[6], struct verify_range ret[2]);

#endif
