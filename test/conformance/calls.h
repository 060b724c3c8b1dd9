/* SPDX-License-Identifier: MIT */
/*
 * Random calls, made by raw system calls and described as a capture would describe them.
 *
 * Every step draws from a generator seeded by (seed, step) alone, so that steps can be left out
 * when a failure is minimised.
 */
#ifndef VMTRACE_TEST_CALLS_H
#define VMTRACE_TEST_CALLS_H

#include "vmtrace/mm.h"

enum step_kind { STEP_CALL, STEP_TOUCH, STEP_FORK };

struct step {
	enum step_kind kind;
	struct mm_call call;		/* STEP_CALL */
	struct vma_file file;
	bool wants_file;		/* the line at call.ret says what is behind it */
	uint64_t start, end;		/* STEP_TOUCH: where stacks may have grown */
};

/** calls_init() - Open files, segments. Return: 0, -errno. */
int calls_init(void);
void calls_fini(void);

/** calls_step() - Make one random step. @forks: STEP_FORK may be asked for. */
void calls_step(uint64_t seed, uint64_t nr, bool forks, struct mm *mm, struct step *ret_step);

const char *calls_op_name(enum mm_op op);

#endif
