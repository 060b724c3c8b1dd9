/* SPDX-License-Identifier: MIT */
/*
 * How the caller of a frame is found, by the call frame information (.eh_frame) of its code, where
 * that is simple enough to be written into a word:
 *
 *     cfa  = (rsp or rbp) + a constant       the stack pointer in the caller, once returned to
 *     rip  = word below the cfa
 *     rbp  = word at a constant below the cfa, or unchanged
 *
 * That holds for all but a few functions that compilers emit. A rule is a function of the return
 * address alone: it is found once and kept, in a table that all threads read without a lock.
 */
#ifndef VMTRACE_CFI_H
#define VMTRACE_CFI_H

#include <stdbool.h>
#include <stdint.h>

#define CFI_TABLE_BITS 15

/*
 * A rule, in one word that is loaded and stored as one:
 *
 *     63         32 31      24 23        16 15           0
 *     | ip >> 15   |  flags   | rbp, words | cfa, words  |
 *
 * The low bits of the ip are the place in the table. 0 is no rule: the cfa is above the stack pointer.
 */
enum {
	CFI_OF_BP = 1u << 24,		/* the cfa counts from rbp, not from rsp */
	CFI_BOTTOM = 1u << 25,		/* nothing is above it: the outermost frame */
	CFI_NOT_SIMPLE = 1u << 26,	/* or not known: something else must unwind it */
	CFI_OWN = 1u << 27,		/* vmtrace's code: no frame of the program */
	CFI_MALFORMED = 1u << 28,	/* not simple, and dangerous to look at (cfi_check.h) */
};

#define CFI_CFA_WORDS(rule) ((rule) & 0xffff)
#define CFI_BP_WORDS(rule) ((rule) >> 16 & 0xff)	/* 0: rbp is unchanged */

extern uint64_t cfi_table[1u << CFI_TABLE_BITS];

/* The readable mapping that holds @addr. Return: false if there is none, or it can't be told now. */
typedef bool cfi_mapping_fn(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end);

/* @find_mapping bounds what is read, in cfi_find()'s context. Context: startup. */
void cfi_init(cfi_mapping_fn *find_mapping);

/**
 * cfi_find() - The rule for a return address, from the code's unwind information; kept in the table.
 *
 * Context: hook path, and what the function given needs besides. The loader is asked by
 * _dl_find_object(3), which takes no lock; with a libc that doesn't have it (glibc before 2.35) no rule
 * is simple.
 */
uint64_t cfi_find(uintptr_t ip);

static inline uint64_t cfi_rule(uintptr_t ip)
{
	uint64_t rule = __atomic_load_n(&cfi_table[ip & ((1u << CFI_TABLE_BITS) - 1)], __ATOMIC_RELAXED);

	if (__builtin_expect(rule >> 32 == ip >> CFI_TABLE_BITS && (uint32_t)rule, true))
		return rule;
	return cfi_find(ip);
}

/**
 * cfi_forget() - Code is about to go: forget all rules. cfi_generation() counts these.
 *
 * Context: before code is unmapped. Rules in use meanwhile are those of code that stays: a thread whose
 * stack leads through code that goes has no future.
 */
void cfi_forget(void);
extern uint32_t cfi_forgotten;

static inline uint32_t cfi_generation(void)
{
	return __atomic_load_n(&cfi_forgotten, __ATOMIC_RELAXED);
}

#endif
