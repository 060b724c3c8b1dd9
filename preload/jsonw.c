/* SPDX-License-Identifier: MIT */
/* Appends JSON to a buffer; no allocation, no locale, no stdio. */
#include "jsonw.h"

#include <string.h>

#include "digits.h"

#include "no_heap.h"

static const char hex_digits[] = "0123456789abcdef";

void jsonw_init(struct jsonw *w, char *buf, size_t size)
{
	*w = (struct jsonw){ .buf = buf, .size = size };
}

/* Room for @len more bytes, or NULL. */
static char *reserve(struct jsonw *w, size_t len)
{
	char *dst = w->buf + w->len;

	if (len > w->size - w->len) {
		w->overflow = true;
		return NULL;
	}
	w->len += len;
	return dst;
}

/* Most pieces are a few bytes: two moves that may overlap are cheaper than a call of memcpy(). */
static void copy(char *dst, const char *src, size_t len)
{
	uint64_t head, tail;
	uint32_t first, last;

	if (len > 16) {
		memcpy(dst, src, len);
	} else if (len >= 8) {
		memcpy(&head, src, 8);
		memcpy(&tail, src + len - 8, 8);
		memcpy(dst, &head, 8);
		memcpy(dst + len - 8, &tail, 8);
	} else if (len >= 4) {
		memcpy(&first, src, 4);
		memcpy(&last, src + len - 4, 4);
		memcpy(dst, &first, 4);
		memcpy(dst + len - 4, &last, 4);
	} else if (len) {
		dst[0] = src[0];
		dst[len / 2] = src[len / 2];
		dst[len - 1] = src[len - 1];
	}
}

static void put(struct jsonw *w, const char *bytes, size_t len)
{
	char *dst = reserve(w, len);

	if (dst)
		copy(dst, bytes, len);
}

static void put_char(struct jsonw *w, char c)
{
	char *dst = reserve(w, 1);

	if (dst)
		*dst = c;
}

/* The comma if one is due, the key if there is one, and room for @value bytes behind. */
static char *put_key(struct jsonw *w, const char *key, size_t len, size_t value)
{
	char *dst = reserve(w, w->comma + (key ? len + 3 : 0) + value);

	if (!dst)
		return NULL;
	if (w->comma)
		*dst++ = ',';
	w->comma = true;
	if (!key)
		return dst;
	*dst++ = '"';
	copy(dst, key, len);
	dst += len;
	*dst++ = '"';
	*dst++ = ':';
	return dst;
}

static void close(struct jsonw *w, char bracket)
{
	put_char(w, bracket);
	w->comma = true;
}

void jsonw_open_n(struct jsonw *w, const char *key, size_t len, char bracket)
{
	char *dst = put_key(w, key, len, 1);

	if (dst)
		*dst = bracket;
	w->comma = false;
}

void jsonw_object_end(struct jsonw *w)
{
	close(w, '}');
}

void jsonw_array_end(struct jsonw *w)
{
	close(w, ']');
}

#define NUM_ROOM (1 + DIGITS_ROOM)

/* At @dst, room for NUM_ROOM bytes. */
static size_t put_num(char *dst, int64_t value)
{
	uint64_t minus = (uint64_t)(value >> 63);

	*dst = '-';
	return (size_t)(digits_put(dst + (minus & 1), ((uint64_t)value ^ minus) - minus) - dst);
}

size_t jsonw_put_num(char *dst, int64_t value)
{
	char tmp[NUM_ROOM];
	size_t len = put_num(tmp, value);

	memcpy(dst, tmp, len);
	return len;
}

void jsonw_num_n(struct jsonw *w, const char *key, size_t len, int64_t value)
{
	char tmp[NUM_ROOM], *dst;
	size_t n = put_num(tmp, value);

	dst = put_key(w, key, len, n);
	if (dst)
		copy(dst, tmp, n);
}

void jsonw_nums(struct jsonw *w, const int64_t *value, unsigned int nr)
{
	const size_t room = JSONW_NUMS * NUM_ROOM + 2;
	char *dst = put_key(w, NULL, 0, room), *end = dst;
	unsigned int i;

	if (!dst)
		return;
	for (i = 0; i < nr; i++) {
		*end++ = i ? ',' : '[';
		end += put_num(end, value[i]);
	}
	*end++ = ']';
	w->len -= room - (size_t)(end - dst);
}

void jsonw_hex_n(struct jsonw *w, const char *key, size_t len, uint64_t value)
{
	int shift = (63 - __builtin_clzll(value | 1)) & ~3;
	char *dst = put_key(w, key, len, (size_t)shift / 4 + 5);

	if (!dst)
		return;
	*dst++ = '"';
	*dst++ = '0';
	*dst++ = 'x';
	for (; shift >= 0; shift -= 4)
		*dst++ = hex_digits[value >> shift & 15];
	*dst = '"';
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
	put_key(w, key, key ? strlen(key) : 0, 0);
	put(w, value ? "true" : "false", value ? 4 : 5);
}

void jsonw_null(struct jsonw *w, const char *key)
{
	put_key(w, key, key ? strlen(key) : 0, 0);
	put(w, "null", 4);
}

/* Length of the well-formed UTF-8 sequence at @s (RFC 3629), 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
		   s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	size_t i;

	if (!n || n > left)
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void put_escaped(struct jsonw *w, unsigned char c)
{
	char tmp[6] = { '\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15] };

	if (c == '"' || c == '\\') {
		put_char(w, '\\');
		put_char(w, (char)c);
	} else {
		put(w, tmp, sizeof(tmp));
	}
}

/* Bytes of @s that stand for themselves. */
static size_t plain(const unsigned char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

static bool put_text(struct jsonw *w, const unsigned char *s, size_t len)
{
	bool clean = true;
	size_t i = 0, n;

	put_char(w, '"');
	while (i < len) {
		n = plain(s + i, len - i);
		if (!n)
			n = utf8_length(s + i, len - i);
		if (!n) {
			put(w, "\xef\xbf\xbd", 3);
			clean = false;
			n = 1;
		} else if (s[i] < 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == 0x7f) {
			put_escaped(w, s[i]);
		} else {
			put(w, (const char *)s + i, n);
		}
		i += n;
	}
	put_char(w, '"');
	return clean;
}

static void put_bytes(struct jsonw *w, const char *value, size_t len)
{
	size_t i;

	put_char(w, '"');
	for (i = 0; i < len; i++) {
		put_char(w, hex_digits[(unsigned char)value[i] >> 4]);
		put_char(w, hex_digits[value[i] & 15]);
	}
	put_char(w, '"');
}

void jsonw_str_n(struct jsonw *w, const char *key, size_t key_len, const char *value, size_t len)
{
	put_key(w, key, key_len, 0);
	if (put_text(w, (const unsigned char *)value, len) || !key)
		return;
	put(w, ",\"", 2);
	put(w, key, key_len);
	put(w, "_hex\":", 6);
	put_bytes(w, value, len);
}

void jsonw_element(struct jsonw *w, const char *value)
{
	size_t len = strlen(value);

	put_key(w, NULL, 0, 0);
	if (put_text(w, (const unsigned char *)value, len))
		return;
	put_key(w, NULL, 0, 0);
	put_bytes(w, value, len);
}

void jsonw_event(struct jsonw *w, const char *name)
{
	w->len = 0;
	w->comma = false;
	w->overflow = false;
	jsonw_object(w, NULL);
	jsonw_str(w, "ev", name);
}

size_t jsonw_event_end(struct jsonw *w)
{
	jsonw_object_end(w);
	put_char(w, '\n');
	return w->overflow ? 0 : w->len;
}
