/* SPDX-License-Identifier: MIT */
/*
 * How far long work has come: one line on standard error where that is a terminal, from the first
 * second on, wiped when the work is done.
 */
#ifndef VMTRACE_ANALYZER_PROGRESS_H
#define VMTRACE_ANALYZER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;		/* "reading" */
	uint64_t total;			/* bytes; 0: unknown */
	uint64_t next_ns;		/* when to show it again */
	bool is_enabled, is_shown;
};

/* Work on @total bytes begins; @what is a static string. */
void progress_begin(struct progress *progress, const char *what, uint64_t total);

/* @done bytes are done. Cheap enough for each buffer, not for each byte. */
void progress_at(struct progress *progress, uint64_t done);

void progress_end(struct progress *progress);

#endif
