/* SPDX-License-Identifier: MIT */
/*
 * The operations of one heap line.
 *
 * Nearly all bytes of a large trace are heap lines, so there are two ways: a scanner for lines in
 * exactly the form the recorder writes, and the JSON parser for everything else, also for whatever
 * is wrong: all messages come from there. Where the scanner accepts a line, both agree.
 */
#ifndef VMTRACE_ANALYZER_HEAPLINE_H
#define VMTRACE_ANALYZER_HEAPLINE_H

#include "record.h"

/* A realloc is two operations: HEAP_REALLOC, by which the old block goes, and HEAP_ALLOC. */
enum { HEAP_FREE, HEAP_ALLOC, HEAP_REALLOC, HEAP_FAILED };

struct heap_op {
	uint64_t t, addr, size;		/* no size where a block goes */
	uint32_t stack;
	uint8_t kind;
};

/* Operations, grown as needed and used again for each line. Zeroed, it is empty. */
struct heap_ops {
	struct heap_op *list;
	size_t nr, cap;
	uint32_t *ends;			/* the scanner's own */
	size_t cap_ends;
};

void heap_ops_fini(struct heap_ops *ops);

/* @t0 of a line in the recorder's form, and its @tid. Return: whether it is one. */
bool heapline_scan_head(const char *text, size_t len, int64_t *ret_tid, uint64_t *ret_t0);

/* Bytes behind a line that heapline_scan() reads, whatever they are. */
enum { HEAPLINE_PAD = 64 };

/**
 * heapline_scan() - The operations of a line in the recorder's form.
 * @text: HEAPLINE_PAD bytes more than @len can be read.
 *
 * Return: whether it is one; if not @ops is undefined.
 */
bool heapline_scan(const char *text, size_t len, struct heap_ops *ops);

/**
 * heapline_parse() - The operations of any heap line.
 *
 * Return: 0, or -EINVAL with @err set.
 */
int heapline_parse(const char *text, size_t len, struct heap_ops *ops, struct record_error *err);

#endif
