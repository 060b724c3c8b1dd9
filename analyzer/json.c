/* SPDX-License-Identifier: MIT */
/*
 * jansson behind json.h. Out of memory ends the command: there is nothing to fall back to.
 */
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "alloc.h"

struct json_t *js_parse(const char *text, size_t len, char *err, size_t err_size)
{
	json_error_t error;
	json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!v)
		snprintf(err, err_size, "%s (column %d)", error.text, error.column);
	return v;
}

struct json_t *js_load_file(const char *path, FILE *file, char *err, size_t err_size)
{
	json_error_t error;
	json_t *v = json_loadf(file, JSON_REJECT_DUPLICATES, &error);

	if (!v && ferror(file))
		snprintf(err, err_size, "%s: %s", path, strerror(errno));
	else if (!v)
		snprintf(err, err_size, "%s:%d: %s", path, error.line > 0 ? error.line : 1,
			 error.text);
	return v;
}

struct json_t *js_load(const char *path, char *err, size_t err_size)
{
	FILE *file = fopen(path, "re");
	struct json_t *v;

	if (!file) {
		snprintf(err, err_size, "%s: %s", path, strerror(errno));
		return NULL;
	}
	v = js_load_file(path, file, err, err_size);
	fclose(file);
	return v;
}

struct json_t *js_load_text(const char *name, const char *text, size_t len, char *err,
			    size_t err_size)
{
	json_error_t error;
	json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!v)
		snprintf(err, err_size, "%s:%d: %s", name, error.line > 0 ? error.line : 1,
			 error.text);
	return v;
}

void js_free(struct json_t *v)
{
	json_decref(v);
}

struct json_t *js_ref(struct json_t *v)
{
	return json_incref(v);
}

bool js_is_object(const struct json_t *v)
{
	return json_is_object(v);
}

bool js_is_array(const struct json_t *v)
{
	return json_is_array(v);
}

bool js_is_null(const struct json_t *v)
{
	return json_is_null(v);
}

bool js_is_bool(const struct json_t *v)
{
	return json_is_boolean(v);
}

bool js_is_true(const struct json_t *v)
{
	return json_is_true(v);
}

const char *js_str(const struct json_t *v)
{
	return json_string_value(v);
}

int js_i64(const struct json_t *v, int64_t *ret)
{
	if (!json_is_integer(v))
		return -EINVAL;
	*ret = json_integer_value(v);
	return 0;
}

int js_u64(const struct json_t *v, uint64_t *ret)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EINVAL;
	*ret = json_integer_value(v);
	return 0;
}

int js_hex(const struct json_t *v, uint64_t *ret)
{
	const char *s = json_string_value(v);
	uint64_t n = 0;
	size_t i;

	if (!s || s[0] != '0' || s[1] != 'x' || !s[2])
		return -EINVAL;
	for (i = 2; s[i]; i++) {
		int digit = s[i] >= '0' && s[i] <= '9' ? s[i] - '0' :
			    s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10 : -1;

		if (digit < 0 || i >= 18)
			return -EINVAL;
		n = n << 4 | digit;
	}
	*ret = n;
	return 0;
}

struct json_t *js_get(const struct json_t *obj, const char *key)
{
	return json_object_get(obj, key);
}

size_t js_len(const struct json_t *array)
{
	return json_array_size(array);
}

struct json_t *js_at(const struct json_t *array, size_t i)
{
	return json_array_get(array, i);
}

void *js_iter(struct json_t *obj)
{
	return json_object_iter(obj);
}

void *js_next(struct json_t *obj, void *it)
{
	return json_object_iter_next(obj, it);
}

const char *js_key(void *it)
{
	return json_object_iter_key(it);
}

struct json_t *js_value(void *it)
{
	return json_object_iter_value(it);
}

static struct json_t *need(struct json_t *v)
{
	if (!v)
		alloc_failed();
	return v;
}

struct json_t *js_object(void)
{
	return need(json_object());
}

struct json_t *js_array(void)
{
	return need(json_array());
}

/* Length of the UTF-8 sequence at @s that jansson would accept, 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		   s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	size_t i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

struct json_t *js_string(const char *s)
{
	struct json_t *v;
	char *clean, *p;

	if (!s)
		return json_null();
	v = json_string(s);
	if (v)
		return v;
	clean = p = alloc_array(strlen(s) + 1, 3);
	while (*s) {
		size_t n = utf8_len((const unsigned char *)s);

		memcpy(p, n ? s : "\xef\xbf\xbd", n ? n : 3);
		p += n ? n : 3;
		s += n ? n : 1;
	}
	v = json_stringn(clean, p - clean);
	alloc_free(clean);
	return need(v);
}

struct json_t *js_number(uint64_t n)
{
	return need(json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

struct json_t *js_signed(int64_t n)
{
	return need(json_integer(n));
}

struct json_t *js_real(double d)
{
	return need(json_real(d));
}

struct json_t *js_address(uint64_t addr)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	return need(json_string(text));
}

struct json_t *js_null(void)
{
	return json_null();
}

void js_set(struct json_t *obj, const char *key, struct json_t *v)
{
	if (json_object_set_new(obj, key, v))
		alloc_failed();
}

void js_append(struct json_t *array, struct json_t *v)
{
	if (json_array_append_new(array, v))
		alloc_failed();
}

void js_set_str(struct json_t *obj, const char *key, const char *s)
{
	js_set(obj, key, js_string(s));
}

void js_set_u64(struct json_t *obj, const char *key, uint64_t n)
{
	js_set(obj, key, js_number(n));
}

void js_set_hex(struct json_t *obj, const char *key, uint64_t addr)
{
	js_set(obj, key, js_address(addr));
}

void js_set_bool(struct json_t *obj, const char *key, bool b)
{
	js_set(obj, key, json_boolean(b));
}

void js_print(const struct json_t *v, FILE *out, bool compact)
{
	json_dumpf(v, out,
		   compact ? JSON_COMPACT | JSON_ENCODE_ANY : JSON_INDENT(2) | JSON_ENCODE_ANY);
	if (!compact)
		fputc('\n', out);
}
