/* SPDX-License-Identifier: MIT */
/*
 * Rebuilds the address space from the trace, with the same shadow mm that the recorder used.
 *
 * The lines are applied exactly as TRACE.md says: vma by mm_insert(), call by mm_apply() and
 * mm_resolve(), diff by mm_replace(). Where the trace says how things stood afterwards (map_count,
 * the hash of a verify line) the replay compares; a mismatch is counted and reported, because then
 * one of the two sides has a defect.
 */
#ifndef VMTRACE_ANALYZER_REPLAY_H
#define VMTRACE_ANALYZER_REPLAY_H

#include "alloc.h"
#include "record.h"

struct replay {
	struct pool pool;
	struct mm mm;
	bool has_mm;			/* the header was seen */
	bool has_calls;
	uint64_t vsyscall_flags;
	bool has_vsyscall;

	struct mm_effect effect;	/* of the last call */
	uint64_t seq, t;		/* of the last call */
	uint64_t peak_vm;		/* pages: greatest total_vm */
	uint64_t peak_seq, peak_t;	/* call that first reached it, 0: start */

	uint64_t nr_checked;		/* comparisons with map_count and hash */
	uint64_t nr_diverged;		/* of them wrong */
	uint64_t diverged_seq;		/* call at which the first one was wrong */
	uint64_t nr_unresolved;		/* mm_resolve() that could not be reached */

	bool hash_pending;
	uint64_t hash;
};

void replay_init(struct replay *replay);
void replay_fini(struct replay *replay);

/**
 * replay_record() - Apply one record.
 * @ret_why: on failure a static string.
 *
 * Return: 0, or -EINVAL if the trace contradicts itself (a vma overlaps another), -ENOMEM.
 */
int replay_record(struct replay *replay, const struct record *rec, const char **ret_why);

/* No more records: checks what was waiting for the next one. */
void replay_finish(struct replay *replay);

/* A moment of the trace. */
enum moment_kind { MOMENT_START, MOMENT_END, MOMENT_PEAK, MOMENT_EVENT, MOMENT_TIME };

struct moment {
	enum moment_kind kind;
	uint64_t value;			/* MOMENT_EVENT: seq; MOMENT_TIME: ns */
};

/* "start", "end", "peak", "17" (a call's seq), "1.5s", "20ms", "7us", "100ns". 0 or -EINVAL. */
int moment_parse(const char *text, struct moment *ret);

/* Whether @rec lies behind @moment, so that the replay has to stop before it. Not for the peak. */
bool moment_is_before(const struct moment *moment, const struct record *rec);

#endif
