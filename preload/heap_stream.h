/* SPDX-License-Identifier: MIT */
/*
 * Heap operations of one thread on their way to the trace: text, written where it will stay.
 *
 * An operation is written over the end of its line, in place:
 *
 *     …,[85,16,48,3]]}\n\n\n\n          the first four bytes are stored last, in one piece
 *                   ,[90,16]]}\n
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
	size_t limit;		/* from this len on another line begins; 0: none is open */
	size_t first;		/* len while the open line has no operation yet */
	uint64_t base, last_ns;
	uint64_t nr_ops;
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

static inline bool heap_op_begin(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr,
				 struct heap_op *op)
{
	uint64_t text, dt = ns - s->last_ns;
	unsigned int nr;
	bool is_first;

	/* A line ends when it is long, when nothing happened for long, or when time went back. */
	if (__builtin_expect(s->len >= s->limit || dt >= 1000000, false)) {
		if (!heap_stream_begin(s, tid, ns, addr))
			return false;
		dt = 0;
	}
	s->last_ns = ns;
	/* No comma before the first one: it begins a byte earlier, with the array's bracket. */
	is_first = s->len == s->first;
	op->start = s->chunk + s->len - 3 - is_first;
	nr = heap_op_digits((uint32_t)dt, &text);
	/* Two characters of it are among the first four bytes: JSON allows a space in front of one. */
	if (__builtin_expect(nr == 1, false)) {
		text = (text & 0xff) << 8 | ' ';
		nr = 2;
	}
	op->first = (is_first ? '[' : ',') | '[' << 8 | (uint32_t)text << 16;
	text >>= 16;
	memcpy(op->start + 4, &text, sizeof(text));
	op->p = op->start + 2 + nr;
	return true;
}

static inline void heap_op_field(struct heap_op *op, int64_t value)
{
	static const uint16_t comma_minus = ',' | '-' << 8;

	memcpy(op->p, &comma_minus, sizeof(comma_minus));
	op->p = digits_put(op->p + 1 + (value < 0), value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
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

/**
 * heap_stream_alloc() - Append an allocation; stamped after the allocator's work.
 * @addr:  0 if it failed.
 * @align: asked for, 0: none.
 *
 * Context of all: hook path, under the guard; errno may change.
 */
static inline void heap_stream_alloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr,
				     size_t size, size_t align, uint32_t stack)
{
	struct heap_op op;

	if (!heap_op_begin(s, tid, ns, addr, &op))
		return;
	if (__builtin_expect(addr != 0, true)) {
		heap_op_field(&op, (int64_t)(addr - s->base));
	} else {
		memcpy(op.p, ",null", 5);
		op.p += 5;
	}
	heap_op_field(&op, (int64_t)(size > INT64_MAX ? INT64_MAX : size));
	heap_op_field(&op, stack);
	if (__builtin_expect(align && addr, false))
		heap_op_field(&op, (int64_t)align);
	heap_op_end(s, &op);
}

/* Stamped before the allocator's work. */
static inline void heap_stream_free(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr)
{
	struct heap_op op;

	if (!heap_op_begin(s, tid, ns, addr, &op))
		return;
	heap_op_field(&op, (int64_t)(addr - s->base));
	heap_op_end(s, &op);
}

/* @old was released @took nanoseconds before @ns. */
static inline void heap_stream_realloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr,
				       size_t size, uint32_t stack, uint64_t old, uint64_t took)
{
	struct heap_op op;

	if (!heap_op_begin(s, tid, ns, addr, &op))
		return;
	heap_op_field(&op, (int64_t)(addr - s->base));
	heap_op_field(&op, (int64_t)size);
	heap_op_field(&op, stack);
	heap_op_field(&op, (int64_t)(old - s->base));
	heap_op_field(&op, (int64_t)took);
	heap_op_end(s, &op);
}

/* Give the rest to the sink (stream) or leave it where it is (file). Under the capture lock. */
void heap_stream_flush(struct heap_stream *s);

#endif
