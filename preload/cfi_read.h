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
#define PE_BASE 0x70
#define PE_PCREL 0x10
#define PE_DATAREL 0x30
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

/* Bytes of a pointer. Return: 0 for a form that is not known. */
static inline unsigned int pointer_bytes(uint64_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case 0x00:
	case 0x04:
	case 0x0c:
		return 8;
	case PE_UDATA4:
	case PE_SDATA4:
		return 4;
	}
	return 0;
}

/* What a CIE says in front of its instructions. */
struct cie {
	uint64_t code_align, ra_reg;
	int64_t data_align;
	uint64_t code, lsda, personality;	/* encodings of pointers */
	const unsigned char *personality_at;	/* NULL: there is none */
	bool has_data;		/* augmentation data, in FDEs as well: with a length in front */
	bool is_odd;		/* 'S', a signal frame: its caller was interrupted; 'B', signed addresses */
};

static inline bool take_augmentation(struct cursor *c, const char *letters, struct cie *ret)
{
	struct cursor data;
	uint64_t len;

	if (!*letters)
		return true;
	if (*letters++ != 'z')
		return false;
	ret->has_data = true;
	len = take_uleb(c);
	data = *c;
	skip(c, len);
	data.end = c->p;
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			ret->code = take(&data, 1);
			break;
		case 'L':
			ret->lsda = take(&data, 1);
			break;
		case 'P':
			/* Behind it only known widths may follow. */
			ret->personality = take(&data, 1);
			ret->personality_at = data.p;
			if (!pointer_bytes(ret->personality))
				return false;
			skip(&data, pointer_bytes(ret->personality));
			break;
		case 'S':
		case 'B':
			ret->is_odd = true;
			break;
		default:
			return false;
		}
	}
	return !data.is_short;
}

/* @ret_c: then at its instructions. Return: false if it is none of a known form. */
static inline bool open_cie(struct cursor *ret_c, const unsigned char *cie, const unsigned char *limit,
			    struct cie *ret)
{
	const char *letters;
	uint64_t version;

	*ret = (struct cie){ .lsda = PE_OMIT };
	if (!open_record(ret_c, cie, limit) || take(ret_c, 4))
		return false;
	version = take(ret_c, 1);
	letters = (const char *)ret_c->p;
	while (take(ret_c, 1))
		;
	ret->code_align = take_uleb(ret_c);
	ret->data_align = take_sleb(ret_c);
	ret->ra_reg = version == 1 ? take(ret_c, 1) : take_uleb(ret_c);
	return (version == 1 || version == 3) && !ret_c->is_short &&
	       take_augmentation(ret_c, letters, ret) && !ret_c->is_short;
}

#define CFI_HEADER_BYTES 12	/* in front of .eh_frame_hdr's table: of pairs (function, FDE) */

/* .eh_frame_hdr's table, sorted by functions. Return: NULL if it is not of the usual form. */
static inline const int32_t *cfi_open_table(const struct section *section, uint32_t *ret_nr)
{
	const unsigned char *header = section->header;

	if (section->end - header < CFI_HEADER_BYTES || header[0] != 1 ||
	    (header[1] & PE_FORMAT) != PE_SDATA4 || header[2] != PE_UDATA4 ||
	    header[3] != PE_SDATA4_DATAREL)
		return NULL;
	memcpy(ret_nr, header + 8, sizeof(*ret_nr));
	if (*ret_nr > (size_t)(section->end - header - CFI_HEADER_BYTES) / 8)
		return NULL;
	return (const int32_t *)(const void *)(header + CFI_HEADER_BYTES);
}

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
