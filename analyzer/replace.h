/* SPDX-License-Identifier: MIT */
/*
 * Writing a file so that it has either its old contents or the new ones, whatever happens meanwhile.
 */
#ifndef VMTRACE_ANALYZER_REPLACE_H
#define VMTRACE_ANALYZER_REPLACE_H

#include <stdbool.h>
#include <stdio.h>

/**
 * replace_file() - Give @path new contents.
 * @print: writes them.
 *
 * A temporary file beside @path is written, synced and renamed; it gets the mode of the file it
 * replaces. What a symbolic link points to is replaced, not the link. Devices and pipes are written to.
 *
 * Return: 0, or -errno with @path as before.
 */
int replace_file(const char *path, void (*print)(FILE *out, const void *arg), const void *arg);

#endif
