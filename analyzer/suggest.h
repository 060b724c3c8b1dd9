/* SPDX-License-Identifier: MIT */
/*
 * "Did you mean …": the known word closest to what was typed.
 */
#ifndef VMTRACE_ANALYZER_SUGGEST_H
#define VMTRACE_ANALYZER_SUGGEST_H

#include <stddef.h>

struct suggestion {
	const char *word;		/* NULL: nothing is close enough */
	size_t distance;
};

/* Two changes of a letter at most are still a slip. */
#define SUGGESTION_NONE ((struct suggestion){ NULL, 3 })

/* Keep @word in @best if it is closer to @typed than what is there. */
void suggest(struct suggestion *best, const char *typed, const char *word);

#endif
