/* SPDX-License-Identifier: MIT */
/*
 * Heap operations of one thread on their way to the trace: text, written where it will stay.
 *
 * An operation is written over the end of its line, in place:
 *
 *     …,[85,16,48,3]]}\n\n\n\n          the first four bytes are stored last, in one piece
 *                   ,[90,16]]}\n
 *                           ,[4096]]}\n       at the same time: no 0 in front
 *
 * Until then the line ends where it did, and what follows is a line that does not begin with '{'. The
 * bytes behind it stay newlines, as they were. So the trace is whole after each instruction.
 */
#ifndef VMTRACE_HEAP_STREAM_H
#define VMTRACE_HEAP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "digits.h"

#define HEAP_OP_MAX 160u	/* bytes of one operation, generously */

struct heap_stream {
	char *chunk;
	size_t size, len;	/* len: up to and with the '\n' of the last line */
	volatile size_t limit;	/* from this len on another line begins; 0: none is open */
	volatile bool closed;	/* no further line in this chunk */
	size_t first;		/* len while the open line has no operation yet */
	uint64_t base, last_ns;
	uint64_t nr_ops;
	uint32_t nr_given_up;	/* operations that are lost without asking for room */
};

/*
 * Begin a line at @ns, with addresses relative to @addr; takes the capture lock for a new chunk.
 * Return: false if there is no room: the operation is lost, and counted.
 */
bool heap_stream_begin(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr);

/* An operation being written. */
struct heap_op {
	char *start, *p;
	uint32_t first;		/* its first four bytes */
};

/* Of a number below 10^6, without leading zeros: the first digit in the lowest byte. */
static inline unsigned int heap_op_digits(uint32_t value, uint64_t *ret_text)
{
	uint32_t high = value / 1000, entry = digits_table[value < 1000 ? value : high], zeros = entry >> 24;
	uint64_t text = entry & 0xffffff;

	if (value < 1000) {
		*ret_text = text >> zeros;
		return 3 - zeros / 8;
	}
	*ret_text = (text | (uint64_t)digits_table[value - high * 1000] << 24) >> zeros;
	return 6 - zeros / 8;
}

/*
 * Does an operation at @ns go into the open line? That ends when it is long, or when nothing happened for
 * long. Not if time went back, either.
 */
static inline bool heap_stream_goes_on(const struct heap_stream *s, uint64_t ns)
{
	return __builtin_expect(s->len < s->limit && ns - s->last_ns < 1000000, true);
}

/* Does one at the time of the one before it? A line's first has none before it. */
static inline bool heap_stream_has_room(const struct heap_stream *s)
{
	return __builtin_expect(s->len < s->limit && s->len != s->first, true);
}

/* In the open line. */
static inline void heap_op_begin(struct heap_stream *s, uint64_t ns, struct heap_op *op)
{
	uint64_t text;
	unsigned int nr = heap_op_digits((uint32_t)(ns - s->last_ns), &text);
	/* No comma before the first one: it begins a byte earlier, with the array's bracket. */
	bool is_first = s->len == s->first;

	s->last_ns = ns;
	op->start = s->chunk + s->len - 3 - is_first;
	/* Two characters of it are among the first four bytes: JSON allows a space in front of one. */
	if (__builtin_expect(nr == 1, false)) {
		text = (text & 0xff) << 8 | ' ';
		nr = 2;
	}
	op->first = (is_first ? '[' : ',') | '[' << 8 | (uint32_t)text << 16;
	text >>= 16;
	memcpy(op->start + 4, &text, sizeof(text));
	op->p = op->start + 2 + nr;
}

/*
 * The same for one that has the time of the one before it, and begins with its address instead, a number that
 * heap_op_is_short(). Not as a line's first. @behind: what follows the address.
 */
static inline void heap_op_begin_same(struct heap_stream *s, int64_t far, char behind, struct heap_op *op)
{
	uint64_t minus = (uint64_t)(far >> 63), text;
	uint32_t number = (uint32_t)(((uint64_t)far ^ minus) - minus), high = number / 1000;
	bool is_long = number >= 1000000;
	unsigned int nr = heap_op_digits(is_long ? high : number, &text);

	text = text << (minus & 8) | (minus & '-');
	nr += minus & 1;
	/* Two characters of it are among the first four bytes; there may be only one. Behind: newlines. */
	text |= (0x0a0a0a0a0a0a0a00 | (unsigned char)behind) << 8 * nr;
	op->start = s->chunk + s->len - 3;
	op->first = ',' | '[' << 8 | (uint32_t)text << 16;
	text = text >> 16 | 0x0a0aull << 48;
	memcpy(op->start + 4, &text, sizeof(text));
	op->p = op->start + 2 + nr;
	if (is_long)
		op->p = digits_put_padded(op->p, number - high * 1000);
}

/* The comma, and a sign if there is one. Return: the number without it. */
static inline uint64_t heap_op_sign(struct heap_op *op, int64_t value)
{
	static const uint16_t comma_minus = ',' | '-' << 8;
	uint64_t minus = (uint64_t)(value >> 63);	/* all bits or none, for no branch could foretell it */

	memcpy(op->p, &comma_minus, sizeof(comma_minus));
	op->p += 1 + (minus & 1);
	return ((uint64_t)value ^ minus) - minus;
}

static inline void heap_op_field(struct heap_op *op, int64_t value)
{
	uint64_t number = heap_op_sign(op, value);

	op->p = digits_put(op->p, number);
}

/* Of a number that heap_op_is_short(). */
static inline void heap_op_short_field(struct heap_op *op, int64_t value)
{
	uint32_t number = (uint32_t)heap_op_sign(op, value);

	op->p = digits_put_short(op->p, number);
}

static inline bool heap_op_is_short(int64_t value)
{
	return __builtin_expect((uint64_t)value + DIGITS_SHORT - 1 < 2 * (uint64_t)DIGITS_SHORT - 1, true);
}

static inline void heap_op_end(struct heap_stream *s, struct heap_op *op)
{
	static const char tail[8] = "]]}\n\n\n\n\n";

	memcpy(op->p, tail, sizeof(tail));
	__asm__ volatile("" ::: "memory");
	/* One mov: a kill can't fall into it. */
	*(volatile uint32_t *)(void *)op->start = op->first;
	/* And this one completes it: a jump out of here before leaves the line as it was. */
	*(volatile size_t *)&s->len = (size_t)(op->p + 4 - s->chunk);
	s->nr_ops++;
}

/*
 * The usual operations: in the open line (heap_stream_goes_on()), of short numbers. They call nothing.
 * @far: the address, relative to the line's base.
 */
static inline void heap_stream_put_alloc(struct heap_stream *s, uint64_t ns, int64_t far, uint32_t size,
					 uint32_t stack)
{
	struct heap_op op;

	heap_op_begin(s, ns, &op);
	heap_op_short_field(&op, far);
	heap_op_short_field(&op, size);
	heap_op_short_field(&op, stack);
	heap_op_end(s, &op);
}

static inline void heap_stream_put_free(struct heap_stream *s, uint64_t ns, int64_t far)
{
	struct heap_op op;

	heap_op_begin(s, ns, &op);
	heap_op_short_field(&op, far);
	heap_op_end(s, &op);
}

/* At the time of the one before (heap_stream_has_room()). */
static inline void heap_stream_put_alloc_same(struct heap_stream *s, int64_t far, uint32_t size, uint32_t stack)
{
	struct heap_op op;

	heap_op_begin_same(s, far, ',', &op);
	heap_op_short_field(&op, size);
	heap_op_short_field(&op, stack);
	heap_op_end(s, &op);
}

static inline void heap_stream_put_free_same(struct heap_stream *s, int64_t far)
{
	struct heap_op op;

	heap_op_begin_same(s, far, ']', &op);
	heap_op_end(s, &op);
}

/**
 * heap_stream_alloc() - Append an allocation; stamped after the allocator's work.
 * @addr:  0 if it failed.
 * @align: asked for, 0: none.
 *
 * Context of all: hook path, under the guard; errno may change. What is lost is counted.
 */
void heap_stream_alloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, size_t size,
		       size_t align, uint32_t stack);
/* Stamped before the allocator's work. */
void heap_stream_free(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr);
/* @old was released @took nanoseconds before @ns. */
void heap_stream_realloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, size_t size,
			 uint32_t stack, uint64_t old, uint64_t took);

/* The rest to the sink (stream, compressed file), or leave it where it is. Under the capture lock. */
void heap_stream_flush(struct heap_stream *s);
/**
 * heap_stream_close() - Another thread's stream: make its next operation ask for a new chunk.
 *
 * To be called twice, with a barrier on all processors after each: a line that the thread was just
 * beginning sets the limit once more. Behind the second one no operation that begins goes without
 * the capture lock. Context: under it.
 */
void heap_stream_close(struct heap_stream *s);
/* As heap_stream_flush(), of the caller's own stream: compressed while others may take the lock. */
void heap_stream_flush_apart(struct heap_stream *s);

#endif
