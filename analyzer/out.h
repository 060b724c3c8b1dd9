/* SPDX-License-Identifier: MIT */
/*
 * Text for people. Names come from the traced program and may hold anything: what could steer a
 * terminal is shown as \xNN. Colour only where a terminal reads it.
 */
#ifndef VMTRACE_ANALYZER_OUT_H
#define VMTRACE_ANALYZER_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum out_colour { OUT_PLAIN, OUT_BOLD, OUT_RED, OUT_YELLOW, OUT_GREEN, OUT_DIM };

/* Whether @out is a terminal and NO_COLOR is unset. */
bool out_wants_colour(FILE *out);

void out_name(FILE *out, const char *s);
/* The same as a string, to be freed by alloc_free(). */
char *out_spelt(const char *s);
/* The last component of a path; all of it if it ends with a slash. */
const char *out_base_name(const char *path);
void out_colour(FILE *out, bool enabled, enum out_colour colour);

/* "64.0 MiB", "512 B"; @buf has room for OUT_SIZE_MAX. Return: @buf. */
#define OUT_SIZE_MAX 32
const char *out_size(char *buf, uint64_t bytes);

/* "1.234567 s" and so on. */
const char *out_time(char *buf, uint64_t ns);

#endif
