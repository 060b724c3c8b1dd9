/* SPDX-License-Identifier: MIT */
/*
 * A copy of what can be read only once, or only through a decompressor: a temporary file without a
 * name, in $TMPDIR or /tmp, which is gone when it is closed, whatever happens.
 */
#ifndef VMTRACE_ANALYZER_SPOOL_H
#define VMTRACE_ANALYZER_SPOOL_H

#include <stdint.h>

struct spool {
	int fd;				/* stands at the beginning; the caller's to close */
	char damage[160];		/* why the copy ends early, "" if it is whole */
	char error[300];
};

/**
 * spool_copy() - Copy what can be read from @fd, unpacked.
 * @bytes: how much that is before it is unpacked, for the progress; 0: unknown.
 *
 * Return: 0, or -errno with spool->error set and nothing to close.
 */
int spool_copy(struct spool *spool, int fd, uint64_t bytes);

#endif
