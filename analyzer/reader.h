/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace line by line: bounded memory whatever its size, and no trust in its content. It may
 * be compressed; positions count its plain bytes.
 *
 * What the format allows is passed over: blank lines, the zeros of a preallocated tail, the rest of
 * a record that was being written when the process was killed (counted as torn). Everything else
 * that is no record stops the reading with one message that names the line.
 *
 * Heap lines, nearly all of a large trace, are only located; their operations are read by
 * reader_heap_line() in the order in which the caller wants them.
 */
#ifndef VMTRACE_ANALYZER_READER_H
#define VMTRACE_ANALYZER_READER_H

#include "heapline.h"
#include "progress.h"
#include "record.h"

#define READER_LINE_MAX (64u << 20)	/* bytes */

struct reader {
	const char *path;		/* for messages; "-" is standard input */
	int fd;
	bool is_open, is_seekable;
	struct unpack *unpack;		/* what is read as it comes: a pipe, compressed; else NULL */
	char damage[160];		/* why the temporary file ends early, "" if it does not */
	struct progress progress;

	char *buf;			/* window over the file */
	size_t cap, start, end;		/* capacity, first unread byte, end of data */
	uint64_t offset;		/* of buf[start] in the file */
	bool at_eof;

	uint64_t line;			/* number of the line that was read last */
	uint64_t nr_lines, nr_torn, nr_unknown;
	uint64_t nr_missing;		/* calls, by the gaps in their numbers */
	uint64_t seq;			/* of the last call */
	uint32_t nr_stacks;		/* nodes defined so far */
	uint64_t heap_bytes;		/* of the heap lines located */
	uint64_t heap_bytes_read;	/* by reader_heap_line() */

	struct json_t *doc;		/* of the record handed out */
	bool has_header;
	struct json_t *header_doc, *old_header_doc;	/* of this pass and of the one before */
	struct record_scratch scratch, header_scratch;
	char *heap_buf;
	size_t heap_cap;

	char error[400];		/* "FILE:LINE: what", "" if none */
	uint64_t error_line;
};

/**
 * reader_open() - Start reading @path.
 * @seekable: the caller will come back to earlier lines: what comes through a pipe or compressed is
 *            copied to a temporary file.
 *
 * Return: 0, or -errno with reader->error set. reader_close() is right in both cases.
 */
int reader_open(struct reader *reader, const char *path, bool seekable);

/* The same over bytes in memory, for tests; @data is not copied to a file that can be seen. */
int reader_open_memory(struct reader *reader, const char *path, const void *data, size_t len);

/**
 * reader_next() - The next record.
 *
 * Return: 1, 0 at the end, -EINVAL if the line is no record, -errno if it can't be read; the last
 * two with reader->error set.
 */
int reader_next(struct reader *reader, struct record *rec);

/* Start again at the first line. Only for readers opened seekable. */
int reader_rewind(struct reader *reader);

/* Show how far the reading has come from here on, up to progress_end(). */
void reader_show_progress(struct reader *reader);

/* The same for the heap lines, which will be read @times times. */
void reader_show_heap_progress(struct reader *reader, unsigned int times);

/**
 * reader_heap_line() - Read one heap line again, with its operations.
 * @line:   its number, for messages.
 * @offset, @length: where it stands, from struct rec_heap.
 *
 * Return: 0, or -errno with reader->error set.
 */
int reader_heap_line(struct reader *reader, uint64_t line, uint64_t offset, size_t length,
		     struct heap_ops *ops);

/* Note an error found in line @line by someone else. Return: -EINVAL. */
__attribute__((format(printf, 3, 4)))
int reader_fail(struct reader *reader, uint64_t line, const char *format, ...);

void reader_close(struct reader *reader);

#endif
