/* SPDX-License-Identifier: MIT */
/*
 * The shadow against the live kernel, in one process:
 *
 *   step ──▶ system call ──▶ mm_apply() ──▶ uncertain? ask the kernel, mm_resolve()
 *                                  │
 *                                  ▼
 *              the model's lines == /proc/self/maps, and mm_check(), after every step
 *
 * A run happens in a child, whose map nothing else changes: all memory is static, there is no
 * heap and no stdio.
 */
#ifndef VMTRACE_TEST_SHADOW_H
#define VMTRACE_TEST_SHADOW_H

#include "generator.h"

#define STEPS_MAX 2000000u
#define ERRNO_MAX 134

/* How a run ended. */
enum { RUN_SAME, RUN_DIFFERENT, RUN_KILLED, RUN_SKIPPED = 77 };

struct options {
	uint64_t seed, nr_seeds, ops;
	bool no_query, no_minimise, trace, unprivileged;
};

struct results {
	uint64_t calls[MM_OP_COUNT], failed[MM_OP_COUNT], by_errno[ERRNO_MAX];
	uint64_t steps, touches, forks, grown, limits, uncertain, guess_wrong, replaced;
	uint64_t predicted, predicted_right;
	uint64_t seeds, differences;
	uint64_t failed_step;		/* first step that differed, +1 */
};

extern struct options opt;
extern struct results *results;		/* shared with the children */
extern unsigned char *skip;		/* steps to leave out, one byte each; shared */
extern bool quiet;
extern uint32_t rules;			/* of this kernel, as probed; and where its user space ends */
extern uint64_t task_size;

/** say() - A line of progress, without the heap. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/** shadow_run() - One seed, in a child. Return: RUN_*. */
int shadow_run(void);

/** print_results() - @who ran it. */
void print_results(const char *who);

#endif
