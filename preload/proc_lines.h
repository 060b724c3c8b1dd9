/* SPDX-License-Identifier: MIT */
/*
 * Lines of a file under /proc or /sys, of any number and length, without allocation.
 *
 * Context: hook path, under the capture lock; one file at a time.
 */
#ifndef VMTRACE_PROC_LINES_H
#define VMTRACE_PROC_LINES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * proc_lines() - Hand each line to @take, without its newline.
 * @take: may write to the line. Of a line that is too long only the beginning is given (4 KiB).
 *
 * Return: 0, -errno of open() or read().
 */
int proc_lines(const char *path, void (*take)(char *line, void *ctx), void *ctx);

/* The next word of @*s, cut off by a NUL; @*s moves on. Return: NULL if there is none. */
char *proc_word(char **s);

/* "KEY  123 kB" -> 123, spaces before the key allowed. Return: false if the line has another key. */
bool proc_number(const char *line, const char *key, uint64_t *ret);

/* The decimal number at @s; 0 if there is none. */
uint64_t proc_digits(const char *s);

#endif
