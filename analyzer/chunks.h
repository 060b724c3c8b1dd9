/* SPDX-License-Identifier: MIT */
/*
 * The chunks of a trace that was compressed while it was recorded. A kill may leave one of them
 * twice: compressed, as the last that is, and as the raw frame in which it was filled, anywhere.
 *
 * The raw ones are those that a thread was filling, so there are few; at most CHUNKS_RAW_MAX are kept.
 */
#ifndef VMTRACE_ANALYZER_CHUNKS_H
#define VMTRACE_ANALYZER_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>

enum { CHUNKS_BYTES = 65536, CHUNKS_RAW_MAX = 1024 };

struct chunk {
	char *text;
	size_t len;			/* without the newlines that fill it up */
};

/* Zeroed, it is empty. */
struct chunks {
	struct chunk last;		/* compressed one */
	struct chunk *raw;
	size_t nr_raw, cap_raw;
};

/* Whether the file that begins with the @len bytes at @head was written so. */
bool chunks_are_in(const void *head, size_t len);
#define CHUNKS_HEAD_BYTES 26u		/* enough to tell */

/* Whether the next frame, @len <= CHUNKS_BYTES, is no copy; remembers it. */
bool chunks_is_new(struct chunks *chunks, const char *text, size_t len, bool is_raw);

void chunks_fini(struct chunks *chunks);

#endif
