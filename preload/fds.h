/* SPDX-License-Identifier: MIT */
/*
 * vmtrace's own descriptors: high-numbered, close-on-exec, and protected from the program.
 *
 * A program may count on its first free descriptor being 3, and may close everything it does not
 * know. The hooks of close(), dup2() and close_range() ask here before they touch a descriptor.
 */
#ifndef VMTRACE_FDS_H
#define VMTRACE_FDS_H

#include <stdbool.h>

#define FDS_MAX 8

/* Open or adopt a descriptor; it moves to a high number. Return: it, or -errno. */
int fds_open(const char *path, int flags, int mode);
int fds_adopt(int fd);
void fds_close(int fd);
/* The number is somebody else's by now: forget it, don't close it. */
void fds_forget(int fd);
bool fds_is_own(int fd);

/* Give up the number @fd, which the program wants: the descriptor moves elsewhere. */
void fds_vacate(int fd);
/* After a move the owner asks for the present number of what it got as @fd. */
int fds_now(int fd);

/* close_range() that leaves our own open. Return: 0, -errno. */
int fds_close_range(unsigned int first, unsigned int last, unsigned int flags);

#endif
