/* SPDX-License-Identifier: MIT */
/*
 * What the decoders of lines are made of: tables of members with type and place, and accessors for
 * what repeats. Whatever has no table entry is ignored, as the format allows.
 *
 * Every accessor leaves a message in decode->err when it fails.
 */
#ifndef VMTRACE_ANALYZER_FIELDS_H
#define VMTRACE_ANALYZER_FIELDS_H

#include "json.h"
#include "record.h"

/* What a decoder works on. */
struct decode {
	struct json_t *doc;		/* the line */
	struct record_scratch *scratch;
	struct record_error *err;
};

enum field_type {
	F_U64, F_U32, F_I64, F_HEX, F_STR, F_BOOL, F_OBJECT, F_ARRAY, F_STRINGS, F_NUMBERS,
};

enum { OPTIONAL = 1, NULLABLE = 2 };

/* A member and where it goes; absent ones leave the place as it is. */
struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	unsigned int flags;
};

#define FIELD(type, name, f, kind) { #name, kind, offsetof(type, name), f }

extern const char *const field_type_names[];

/* Note what is wrong. Return: -EINVAL. */
__attribute__((format(printf, 2, 3)))
int bad(struct record_error *err, const char *format, ...);

/* Zeroed memory that lasts as long as the record. */
void *scratch_alloc(struct record_scratch *s, size_t nr, size_t size);

/* Store @v at @p if it is a @type; the caller writes the message. */
int take_value(struct json_t *v, enum field_type type, void *p);

/* Fill a struct from the members of @obj; @where names the object in messages, "" for the line. */
int take_fields(struct decode *d, struct json_t *obj, const char *where, const struct field *fields,
		size_t nr, void *base);

#define TAKE(d, obj, where, fields, base) \
	take_fields(d, obj, where, fields, sizeof(fields) / sizeof((fields)[0]), base)

/* A name whose exact bytes may stand in a sibling member. */
int take_name(struct decode *d, struct json_t *obj, const char *key, const char *key_hex,
	      const char **ret);

/* The exact bytes of a name that is no UTF-8: hex digits, without "0x". NULL if it is malformed. */
const char *take_hex_bytes(struct decode *d, const char *hex);

/* "fe:00" as maps prints a device: two hex numbers. */
bool take_dev(const char *s, uint32_t *ret_major, uint32_t *ret_minor);

/* [start, end]: two hex strings in order; the caller writes the message. */
int take_range(struct json_t *v, struct rec_range *ret);

bool is_page_range(uint64_t start, uint64_t end);

/* Index of @name, or -1. */
int find_name(const char *const *names, size_t nr, const char *name);

/* Bytes or null of each resource; what is absent has no limit. */
int take_limits(struct decode *d, struct json_t *obj, const char *where, struct rec_limits *ret);

/* Decoders in files of their own. */
int decode_header(struct decode *d, struct record *rec);
int decode_call(struct decode *d, struct record *rec);
int decode_mm(struct decode *d, struct record *rec);
int decode_verify(struct decode *d, struct record *rec);
int decode_diff(struct decode *d, struct record *rec);
int decode_topology(struct decode *d, struct record *rec);
int decode_page_class(struct decode *d, struct record *rec);
int decode_frames(struct decode *d, struct record *rec);
int decode_frame_diff(struct decode *d, struct record *rec);
int decode_frames_end(struct decode *d, struct record *rec);

#endif
