/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a file, whether it is plain or compressed by zstd or gzip, which its first bytes tell.
 *
 * What was compressed may be of any size; memory is bounded by UNPACK_WINDOW_LOG. Frames and members
 * one behind the other are one stream, and zstd's skippable frames are passed over.
 */
#ifndef VMTRACE_ANALYZER_UNPACK_H
#define VMTRACE_ANALYZER_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { UNPACK_WINDOW_LOG = 27 };	/* 128 MiB: what zstd needs at its highest levels */

struct unpack;

/* Whether a file that begins with the @len bytes at @head is one to unpack. */
bool unpack_is_packed(const void *head, size_t len);

/* Read from @fd, which stays the caller's, from where it stands. */
struct unpack *unpack_new(int fd);
void unpack_free(struct unpack *unpack);

/**
 * unpack_read() - The next bytes.
 *
 * Return: their number, 0 at the end, -EBADMSG if the compressed data is damaged from here on, of
 * which unpack_damage() tells, or -errno of read(2).
 */
ssize_t unpack_read(struct unpack *unpack, void *buf, size_t len);

/* What is wrong with the compressed data; valid until unpack_free(). */
const char *unpack_damage(const struct unpack *unpack);

/* Bytes taken from the file so far. */
uint64_t unpack_nr_read(const struct unpack *unpack);

#endif
