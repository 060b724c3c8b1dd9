/* SPDX-License-Identifier: MIT */
/*
 * Which leaks are known and not to be told: files in the form that LeakSanitizer reads.
 *
 *   # a comment
 *   leak:PATTERN
 *
 * A pattern is looked for in the names of the functions, modules and source files of a call stack.
 * It may stand anywhere in the name; '*' stands for anything, '^' in front ties it to the name's
 * beginning and '$' behind to its end.
 */
#ifndef VMTRACE_ANALYZER_SUPPRESS_H
#define VMTRACE_ANALYZER_SUPPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace;

struct suppression {
	char *pattern;
	uint64_t stacks, blocks, bytes;		/* what it was used for */
};

/* Zeroed, it is empty. */
struct suppressions {
	struct suppression *list;
	size_t nr, cap;
};

/**
 * suppress_load() - Add those of a file.
 * @err: on failure "FILE:LINE: what".
 *
 * Return: 0 or -EINVAL.
 */
int suppress_load(struct suppressions *s, const char *path, char *err, size_t err_size);

void suppress_fini(struct suppressions *s);

/* The first that matches a frame of the stack @stack, or NULL. */
struct suppression *suppress_find(const struct suppressions *s, struct trace *trace, uint32_t stack);

/* Whether @pattern matches @name, as LeakSanitizer has it: each part where it first stands. */
bool suppress_matches(const char *pattern, const char *name);

#endif
