/* SPDX-License-Identifier: MIT */
/*
 * A compressed output file, VMTRACE_OUT=….zst: valid zstd at every moment.
 *
 *     | compressed chunks … |  gap  | slot | slot | slot | …          (end of file)
 *                           E       one for each stream's chunk, or none's
 *
 * A slot holds the chunk that a stream is filling, as a raw frame; the gap and slots that are
 * nobody's are skippable frames. A complete chunk is compressed, its frame put at E and only then
 * its slot turned into a skippable one: a kill between those two stores leaves the chunk twice,
 * never not at all. The gap takes in the slots behind it that are nobody's, and passes over those
 * in use: they stay where they are, and a gap in the file remains of them.
 *
 * Context of all unless it says otherwise: under the capture lock.
 */
#ifndef VMTRACE_SINK_ZSTD_H
#define VMTRACE_SINK_ZSTD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZSINK_PAGE 4096u

/* What the file below can do. */
struct zsink_file {
	char *window;		/* its first byte, mapped shared */
	/* Make it longer, by skippable frames of a page each. */
	bool (*extend)(size_t bytes);
	bool (*cut)(uint64_t length);
	/* What is at [start, end) will not be touched again soon. Return: it was let go. */
	bool (*retire)(uint64_t start, uint64_t end);
};

struct zsink_packer;

bool zsink_is_built_in(void);
/*
 * Make a skippable frame of @buf: @len bytes, or a page more if that is too little for one.
 * Return: its length.
 */
size_t zsink_fill_page(char *buf, size_t len);
/* @file: an empty one; NULL: none is compressed (any more). Context: startup, fork child. */
void zsink_begin(const struct zsink_file *file, int pid);
bool zsink_is_on(void);
uint64_t zsink_bytes(void);		/* of compressed chunks */

/* Room of about @want bytes, all newlines, for one stream. NULL: there is none. */
char *zsink_chunk(size_t want, size_t *ret_size);
/* On a full disk: room for a line that says so, after a chunk was completed. */
char *zsink_last_chunk(size_t *ret_size);
/* The longest record that goes into a chunk. */
size_t zsink_record_max(void);
/* A longer one, compressed at once. Return: false if there is no room. */
bool zsink_append(const char *buf, size_t len);

/**
 * zsink_complete() - Compress a chunk, @len bytes of it, and take its slot back.
 * @packer: what holds it compressed already; NULL: do it here.
 * Return: false if there is no room; the chunk stays what it is.
 */
bool zsink_complete(char *chunk, size_t size, size_t len, struct zsink_packer *packer);
/* The chunk remains in the file as it is. What its stream writes later comes behind it. */
void zsink_leave(char *chunk, size_t size);
/* Cut off what no stream needs. */
void zsink_trim(void);

/*
 * To compress without the lock:
 *     lock … p = zsink_packer_take() … unlock … zsink_pack(p) … lock … zsink_complete(p)
 */
struct zsink_packer *zsink_packer_take(void);	/* NULL: none is free */
void zsink_pack(struct zsink_packer *packer, const char *buf, size_t len);	/* any context */
void zsink_packer_give(struct zsink_packer *packer);
/* A stream's record as a frame, valid until the next one. NULL: that was not possible. */
const char *zsink_pack_record(const char *buf, size_t len, size_t *ret_len);

/* The pid of the process whose file begins so, 0: it is none of ours. Context: any. */
int64_t zsink_pid_of(const char *head, size_t len);

#endif
