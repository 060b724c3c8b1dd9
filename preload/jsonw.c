/* SPDX-License-Identifier: MIT */
/* Appends JSON to a buffer; no allocation, no locale, no stdio. */
#include "jsonw.h"

#include <string.h>

#include "no_heap.h"

static const char digits[] = "0123456789abcdef";

void jsonw_init(struct jsonw *w, char *buf, size_t size)
{
	*w = (struct jsonw){ .buf = buf, .size = size };
}

static void put(struct jsonw *w, const char *bytes, size_t len)
{
	if (len > w->size - w->len) {
		w->overflow = true;
		return;
	}
	memcpy(w->buf + w->len, bytes, len);
	w->len += len;
}

static void put_char(struct jsonw *w, char c)
{
	if (w->len == w->size)
		w->overflow = true;
	else
		w->buf[w->len++] = c;
}

static void put_key(struct jsonw *w, const char *key)
{
	if (w->comma)
		put_char(w, ',');
	w->comma = true;
	if (!key)
		return;
	put_char(w, '"');
	put(w, key, strlen(key));
	put(w, "\":", 2);
}

static void open(struct jsonw *w, const char *key, char bracket)
{
	put_key(w, key);
	put_char(w, bracket);
	w->comma = false;
}

static void close(struct jsonw *w, char bracket)
{
	put_char(w, bracket);
	w->comma = true;
}

void jsonw_object(struct jsonw *w, const char *key)
{
	open(w, key, '{');
}

void jsonw_object_end(struct jsonw *w)
{
	close(w, '}');
}

void jsonw_array(struct jsonw *w, const char *key)
{
	open(w, key, '[');
}

void jsonw_array_end(struct jsonw *w)
{
	close(w, ']');
}

size_t jsonw_put_num(char *dst, int64_t value)
{
	uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char tmp[20];
	size_t n = 0, len = 0;

	do {
		tmp[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	if (value < 0)
		dst[len++] = '-';
	while (n)
		dst[len++] = tmp[--n];
	return len;
}

void jsonw_num(struct jsonw *w, const char *key, int64_t value)
{
	char tmp[24];

	put_key(w, key);
	put(w, tmp, jsonw_put_num(tmp, value));
}

void jsonw_hex(struct jsonw *w, const char *key, uint64_t value)
{
	char tmp[20] = "\"0x";
	int shift = 60;
	size_t n = 3;

	while (shift && !(value >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		tmp[n++] = digits[value >> shift & 15];
	tmp[n++] = '"';
	put_key(w, key);
	put(w, tmp, n);
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
	put_key(w, key);
	put(w, value ? "true" : "false", value ? 4 : 5);
}

void jsonw_null(struct jsonw *w, const char *key)
{
	put_key(w, key);
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
	char tmp[6] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };

	if (c == '"' || c == '\\') {
		put_char(w, '\\');
		put_char(w, (char)c);
	} else {
		put(w, tmp, sizeof(tmp));
	}
}

static bool put_text(struct jsonw *w, const unsigned char *s, size_t len)
{
	bool clean = true;
	size_t i = 0, n;

	put_char(w, '"');
	while (i < len) {
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
		put_char(w, digits[(unsigned char)value[i] >> 4]);
		put_char(w, digits[value[i] & 15]);
	}
	put_char(w, '"');
}

void jsonw_strn(struct jsonw *w, const char *key, const char *value, size_t len)
{
	put_key(w, key);
	if (put_text(w, (const unsigned char *)value, len) || !key)
		return;
	put(w, ",\"", 2);
	put(w, key, strlen(key));
	put(w, "_hex\":", 6);
	put_bytes(w, value, len);
}

void jsonw_element(struct jsonw *w, const char *value)
{
	size_t len = strlen(value);

	put_key(w, NULL);
	if (put_text(w, (const unsigned char *)value, len))
		return;
	put_key(w, NULL);
	put_bytes(w, value, len);
}

void jsonw_str(struct jsonw *w, const char *key, const char *value)
{
	jsonw_strn(w, key, value, strlen(value));
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
