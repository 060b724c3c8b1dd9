/* SPDX-License-Identifier: MIT */
/* Reading unwind information by bytes, never beyond where it may be read. */
#ifndef VMTRACE_CFI_READ_H
#define VMTRACE_CFI_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Encodings of pointers: a format, and what it is relative to. */
#define PE_FORMAT 0x0f
#define PE_UDATA4 0x03
#define PE_SDATA4 0x0b
#define PE_PCREL 0x10
#define PE_INDIRECT 0x80
#define PE_SDATA4_PCREL 0x1b
#define PE_SDATA4_DATAREL 0x3b
#define PE_OMIT 0xff

/* What may be read of an object's unwind information. */
struct section {
	const unsigned char *header, *start, *end;
};

/* Bytes to be read, never beyond @end; after that all reads give 0 and the end is remembered. */
struct cursor {
	const unsigned char *p, *end;
	bool is_short;
};

static inline uint64_t take(struct cursor *c, unsigned int bytes)
{
	uint64_t value = 0;

	if ((size_t)(c->end - c->p) < bytes) {
		c->is_short = true;
		c->p = c->end;
		return 0;
	}
	memcpy(&value, c->p, bytes);
	c->p += bytes;
	return value;
}

/* LEB128. @ret_sign: the bits above, if it is signed and negative. */
static inline uint64_t take_leb(struct cursor *c, uint64_t *ret_sign)
{
	uint64_t value = 0, byte;
	unsigned int shift = 0;

	do {
		byte = take(c, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	*ret_sign = byte & 0x40 && shift < 64 ? ~0ull << shift : 0;
	return value;
}

static inline uint64_t take_uleb(struct cursor *c)
{
	uint64_t sign;

	return take_leb(c, &sign);
}

static inline int64_t take_sleb(struct cursor *c)
{
	uint64_t sign, value = take_leb(c, &sign);

	return (int64_t)(value | sign);
}

static inline void skip(struct cursor *c, uint64_t bytes)
{
	if (bytes > (size_t)(c->end - c->p)) {
		c->is_short = true;
		bytes = (size_t)(c->end - c->p);
	}
	c->p += bytes;
}

/* A record's contents, behind its length. Return: false if it is no ordinary one. */
static inline bool open_record(struct cursor *ret, const unsigned char *record, const unsigned char *limit)
{
	struct cursor c = { record, limit, false };
	uint64_t length = take(&c, 4);

	if (c.is_short || !length || length >= 0xfffffff0 || length > (size_t)(limit - c.p))
		return false;
	*ret = (struct cursor){ c.p, c.p + length, false };
	return true;
}

#define CFI_HEADER_BYTES 12	/* in front of .eh_frame_hdr's table: of pairs (function, FDE) */

/* Return: how many of the functions begin at or before @wanted. */
static inline uint32_t cfi_search(const int32_t *table, uint32_t nr, int64_t wanted)
{
	uint32_t low = 0, high = nr, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (table[2 * mid] <= wanted)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

#endif
