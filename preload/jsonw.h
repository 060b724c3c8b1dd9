/* SPDX-License-Identifier: MIT */
/*
 * Writes one JSON object into a fixed buffer: what the recorder needs and no more.
 *
 * Members follow each other with commas put in by themselves; a writer that runs out of room
 * remembers it and jsonw_end() says so, so that a record is written whole or not at all.
 * Context: hook path.
 */
#ifndef VMTRACE_JSONW_H
#define VMTRACE_JSONW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct jsonw {
	char *buf;
	size_t size, len;
	bool comma;		/* something stands before the next member */
	bool overflow;
};

void jsonw_init(struct jsonw *w, char *buf, size_t size);

/* What the inline functions below come to once the compiler has counted the key. */
void jsonw_open_n(struct jsonw *w, const char *key, size_t len, char bracket);
void jsonw_num_n(struct jsonw *w, const char *key, size_t len, int64_t value);
void jsonw_hex_n(struct jsonw *w, const char *key, size_t len, uint64_t value);
void jsonw_str_n(struct jsonw *w, const char *key, size_t key_len, const char *value, size_t len);

/* Containers. @key is NULL inside arrays and for the outermost object. */
static inline void jsonw_object(struct jsonw *w, const char *key)
{
	jsonw_open_n(w, key, key ? strlen(key) : 0, '{');
}
void jsonw_object_end(struct jsonw *w);

static inline void jsonw_array(struct jsonw *w, const char *key)
{
	jsonw_open_n(w, key, key ? strlen(key) : 0, '[');
}
void jsonw_array_end(struct jsonw *w);

/* Members. jsonw_hex() writes "0x…", as the format wants addresses. */
static inline void jsonw_num(struct jsonw *w, const char *key, int64_t value)
{
	jsonw_num_n(w, key, key ? strlen(key) : 0, value);
}

static inline void jsonw_hex(struct jsonw *w, const char *key, uint64_t value)
{
	jsonw_hex_n(w, key, key ? strlen(key) : 0, value);
}
void jsonw_bool(struct jsonw *w, const char *key, bool value);
void jsonw_null(struct jsonw *w, const char *key);

/* Bytes that are not UTF-8 become U+FFFD, and a member key_hex holds the bytes. */
static inline void jsonw_strn(struct jsonw *w, const char *key, const char *value, size_t len)
{
	jsonw_str_n(w, key, key ? strlen(key) : 0, value, len);
}

static inline void jsonw_str(struct jsonw *w, const char *key, const char *value)
{
	jsonw_strn(w, key, value, strlen(value));
}

/* An array's element, followed by one with the bytes in hex if they are not UTF-8. */
void jsonw_element(struct jsonw *w, const char *value);

/* An array's element that is an array of @nr numbers, at most JSONW_NUMS. */
#define JSONW_NUMS 4u
void jsonw_nums(struct jsonw *w, const int64_t *value, unsigned int nr);

/* Start of an event: {"ev":"NAME". End: }\n. Return of the end: bytes, 0 if it did not fit. */
void jsonw_event(struct jsonw *w, const char *name);
size_t jsonw_event_end(struct jsonw *w);

/* Decimal digits of @value at @dst (room for 20), for the heap path. Return: bytes. */
size_t jsonw_put_num(char *dst, int64_t value);

#endif
