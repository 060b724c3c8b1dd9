/* SPDX-License-Identifier: MIT */
/*
 * Frames of a zstd file, and the only place that knows libzstd.
 *
 *     raw:         | magic, flags, content size … block header | bytes as they are … |
 *     skippable:   | magic, size | payload that a decompressor passes over …         |
 *     compressed:  one frame of libzstd's
 *
 * A frame that is in the file changes its kind by one store of 8 bytes, its last: a kill leaves the
 * one or the other. In between nothing is allocated: libzstd works in memory it is given.
 */
#ifndef VMTRACE_ZFRAMES_H
#define VMTRACE_ZFRAMES_H

#include <stddef.h>
#include <stdint.h>

#define ZFRAMES_RAW_HEAD 16u	/* bytes in front of a raw frame's content */
#define ZFRAMES_RAW_MAX 65536u	/* bytes of a raw frame, with its head */
#define ZFRAMES_SKIP_HEAD 8u	/* bytes in front of a skippable frame's payload */
#define ZFRAMES_EMPTY 9u	/* bytes of a frame without content */

/* Bytes [at, at + bytes) become one skippable frame, by one store. */
void zframes_put_skip(char *at, size_t bytes);
/* A skippable frame of @bytes becomes a raw one, whose content stands there already. */
void zframes_put_raw(char *at, size_t bytes);
/* A frame of @bytes in the place of a skippable frame's beginning, its first 8 bytes last. */
void zframes_publish(char *at, const char *frame, size_t bytes);
/* A frame without content. */
void zframes_put_empty(char *at);

/* Memory that one compressor needs. */
size_t zframes_state_bytes(void);
/* Prepare it, aligned to 16 bytes. Return: the compressor, NULL if libzstd does not take it. */
void *zframes_init(void *memory, size_t bytes);
/* Room for the frame of @bytes. */
size_t zframes_bound(size_t bytes);
/* Return: bytes of the frame, 0: libzstd failed. */
size_t zframes_compress(void *state, char *dst, size_t room, const char *src, size_t len);

#endif
