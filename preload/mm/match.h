/* SPDX-License-Identifier: MIT */
/*
 * The merge predicate, field by field, with doubt.
 *
 * The kernel knows whether two vmas may become one. The model knows it, or knows which outcome is
 * likelier: verdicts are ordered so that several conditions, all of which must hold, combine to
 * the smallest.
 */
#ifndef VMTRACE_MM_MATCH_H
#define VMTRACE_MM_MATCH_H

#include "vmtrace/mm.h"

enum verdict { VERDICT_NO, VERDICT_UNLIKELY, VERDICT_LIKELY, VERDICT_YES };

static inline enum verdict verdict_and(enum verdict a, enum verdict b)
{
	return a < b ? a : b;
}

static inline bool verdict_is_taken(enum verdict v)
{
	return v >= VERDICT_LIKELY;
}

static inline bool verdict_is_doubtful(enum verdict v)
{
	return v == VERDICT_UNLIKELY || v == VERDICT_LIKELY;
}

enum verdict match_flags(const struct vma *a, const struct vma *b);
enum verdict match_file(const struct vma *a, const struct vma *b);
enum verdict match_pgoff(const struct vma *below, const struct vma *above);
enum verdict match_policy(const struct vma *a, const struct vma *b);
enum verdict match_uffd(const struct vma *a, const struct vma *b);
enum verdict match_name(const struct vma *a, const struct vma *b);

/**
 * match_anon_vma() - May @target take over @source, as far as their anon_vmas go?
 *
 * Not symmetrical before Linux 6.18: there only @target could bring the anon_vma.
 */
enum verdict match_anon_vma(const struct mm *mm, const struct vma *target,
			    const struct vma *source);

/** match_anon_vma_both() - May the two outer of three vmas become one? */
enum verdict match_anon_vma_both(const struct vma *prev, const struct vma *next);

/** match_all() - May two touching vmas become one, @target taking over the other? */
enum verdict match_all(const struct mm *mm, const struct vma *below, const struct vma *above,
		       const struct vma *target);

/* The part of a policy id that tells apart policies of one mode (see ops_policy.c). */
#define POLICY_SERIAL_MASK ((1ull << 40) - 1)

/** policy_known() - Does @id say everything about its policy? */
static inline bool policy_known(uint64_t id)
{
	return !(id & POLICY_SERIAL_MASK);
}

/** policy_renew() - The id of another policy of the same mode, perhaps an equal one. */
static inline uint64_t policy_renew(struct mm *mm, uint64_t id)
{
	return (id & ~POLICY_SERIAL_MASK) | (++mm->next_policy_id & POLICY_SERIAL_MASK);
}

#endif
