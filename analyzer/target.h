/* SPDX-License-Identifier: MIT */
#ifndef VMTRACE_ANALYZER_TARGET_H
#define VMTRACE_ANALYZER_TARGET_H

#include <stddef.h>

/**
 * target_check() - Tell whether a preloaded library can work in a program.
 * @name: program as given to execvp(): a path, or a name to look up in PATH.
 * @ret_why: the reason if it can't, a sentence without a newline.
 * @size: bytes @ret_why has room for.
 *
 * Scripts are followed to their interpreter. A file that can't be read is let through: what it
 * is shows when it runs.
 *
 * Context: launcher, before the program starts.
 * Return: 0 if it can work, -1 with @ret_why written.
 */
int target_check(const char *name, char *ret_why, size_t size);

#endif
