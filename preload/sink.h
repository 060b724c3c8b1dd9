/* SPDX-License-Identifier: MIT */
/*
 * Where records go: a file of our own, mapped shared, or a stream somebody gave us.
 *
 *     file:  [chunk: main][chunk: thread 7][chunk: main][chunk: thread 9]…
 *            each chunk begins as newlines, written with pwrite(): the blocks exist before the
 *            mapping is touched, so that a full disk is an error code here and never a SIGBUS
 *
 * The window over the file is one vma from start to end of the process; using more of the file
 * changes the map only where the window had to be cut short: then it grows at its end. What was
 * stored in it is in the page cache and survives SIGKILL. A file for whose window there is no room
 * is written to as a stream.
 */
#ifndef VMTRACE_SINK_H
#define VMTRACE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SINK_CHUNK 65536u

/**
 * sink_open() - Create the output as the configuration says.
 * @child: in the child of a fork; never reuses the parent's file.
 *
 * Context: startup, fork child. Says what went wrong on stderr.
 * Return: 0, -errno.
 */
int sink_open(bool child);
/* Give up before the first record was kept: one line on stderr; the file goes. */
void sink_abandon(int err);
/* The threads that were at it are not in the child. */
void sink_fork_child(void);
/* Put harmless memory in the window's place: what is still stored there is nobody's. */
void sink_detach(void);
bool sink_is_file(void);		/* with a window over it; else it is a stream */
const char *sink_path(void);		/* "" if it is no file of ours */
uint64_t sink_start(void);		/* window, [start, end); 0, 0 for a stream */
uint64_t sink_end(void);
uint64_t sink_bytes(void);		/* written so far */

/* Let go of the window's unused end, but for some room. Return: its bytes, for the caller to unmap. */
uint64_t sink_shrink(uint64_t *ret_start);

/* File: room of at least @want bytes, all newlines. NULL: full, sink_why() tells. */
char *sink_chunk(size_t want, size_t *ret_size);
/* File: make the next @bytes of chunks now; later it may not be possible. Under the lock. */
void sink_reserve(size_t bytes);
/**
 * sink_ahead() - What a chunk that will be filled soon needs of the kernel, and the next ones will.
 * sink_ahead_begin() - Announce that, under the lock. Return: false if it must not be done.
 * sink_settle() - Wait for those that are in between, under the lock: until that is dropped, nobody else
 * changes the file then. Return: false if somebody does not come to an end.
 *
 * Not under the lock, or threads that fill chunks equally fast would wait for each other each time.
 * Context: signals blocked, for no handler may leave it for good, nor come to wait for it.
 */
bool sink_ahead_begin(void);
void sink_ahead(char *chunk, size_t size);
bool sink_settle(void);
/* File: this chunk is complete; its pages need not stay resident. */
void sink_retire(const char *chunk, size_t size);
/* File: cut off what lies behind what is used, @used bytes of the chunk if that is the last one. */
void sink_trim(const char *chunk, size_t size, size_t used);
/* Stream: whole records. Return: false if they are lost. */
bool sink_stream(const char *buf, size_t len);

int sink_error(void);			/* -errno of the last record lost, 0: none was */
const char *sink_why(void);		/* its name: "ENOSPC", "EPIPE", … */

#endif
