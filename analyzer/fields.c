/* SPDX-License-Identifier: MIT */
#include "fields.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"

/*
 * Scratch memory: blocks in a list, newest first. A reset keeps the newest, so that ordinary lines
 * need no allocation.
 */

struct scratch_block {
	struct scratch_block *next;
	size_t size;
	_Alignas(16) unsigned char bytes[];
};

void *scratch_alloc(struct record_scratch *s, size_t nr, size_t size)
{
	struct scratch_block *block = s->blocks;
	size_t bytes = (nr * size + 15) / 16 * 16;
	void *p;

	if (!block || block->size - s->used < bytes) {
		size_t want = bytes > 65536 ? bytes : 65536;

		block = alloc_zeroed(sizeof(*block) + want);
		block->size = want;
		block->next = s->blocks;
		s->blocks = block;
		s->used = 0;
	}
	p = block->bytes + s->used;
	s->used += bytes;
	memset(p, 0, bytes);
	return p;
}

void record_scratch_reset(struct record_scratch *s)
{
	struct scratch_block *block, *next;

	if (!s->blocks)
		return;
	for (block = s->blocks->next; block; block = next) {
		next = block->next;
		alloc_free(block);
	}
	s->blocks->next = NULL;
	s->used = 0;
}

void record_scratch_fini(struct record_scratch *s)
{
	record_scratch_reset(s);
	alloc_free(s->blocks);
	s->blocks = NULL;
}

int bad(struct record_error *err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	return -EINVAL;
}

const char *const field_type_names[] = {
	[F_U64] = "a number from 0 on", [F_U32] = "a number from 0 to 4294967295",
	[F_I64] = "an integer", [F_HEX] = "a hex string \"0x…\"", [F_STR] = "a string",
	[F_BOOL] = "true or false", [F_OBJECT] = "an object", [F_ARRAY] = "an array",
	[F_STRINGS] = "an array of strings", [F_NUMBERS] = "an object of numbers",
};

static bool is_strings(const struct json_t *v)
{
	size_t i;

	for (i = 0; i < js_len(v); i++)
		if (!js_str(js_at(v, i)))
			return false;
	return js_is_array(v);
}

static bool is_numbers(struct json_t *v)
{
	uint64_t n;
	void *it;

	if (!js_is_object(v))
		return false;
	for (it = js_iter(v); it; it = js_next(v, it))
		if (js_u64(js_value(it), &n))
			return false;
	return true;
}

int take_value(struct json_t *v, enum field_type type, void *p)
{
	uint64_t n;

	switch (type) {
	case F_U64:
		return js_u64(v, p);
	case F_U32:
		if (js_u64(v, &n) || n > UINT32_MAX)
			return -EINVAL;
		*(uint32_t *)p = n;
		return 0;
	case F_I64:
		return js_i64(v, p);
	case F_HEX:
		return js_hex(v, p);
	case F_STR:
		*(const char **)p = js_str(v);
		return js_str(v) ? 0 : -EINVAL;
	case F_BOOL:
		*(bool *)p = js_is_true(v);
		return js_is_bool(v) ? 0 : -EINVAL;
	case F_OBJECT:
		*(struct json_t **)p = v;
		return js_is_object(v) ? 0 : -EINVAL;
	case F_ARRAY:
		*(struct json_t **)p = v;
		return js_is_array(v) ? 0 : -EINVAL;
	case F_STRINGS:
		*(struct json_t **)p = v;
		return is_strings(v) ? 0 : -EINVAL;
	case F_NUMBERS:
		*(struct json_t **)p = v;
		return is_numbers(v) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

int take_fields(struct decode *d, struct json_t *obj, const char *where, const struct field *fields,
		size_t nr, void *base)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		const struct field *f = &fields[i];
		struct json_t *v = js_get(obj, f->name);

		if ((!v && f->flags & OPTIONAL) || (js_is_null(v) && f->flags & NULLABLE))
			continue;
		if (!v)
			return bad(d->err, "%s%s%s is missing", where, *where ? "." : "", f->name);
		if (take_value(v, f->type, (char *)base + f->offset))
			return bad(d->err, "%s%s%s is not %s", where, *where ? "." : "", f->name,
				   field_type_names[f->type]);
	}
	return 0;
}

int find_name(const char *const *names, size_t nr, const char *name)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

bool take_dev(const char *s, uint32_t *ret_major, uint32_t *ret_minor)
{
	uint32_t n[2] = { 0, 0 };
	unsigned int i = 0, digits = 0;

	for (; *s; s++) {
		int digit = *s >= '0' && *s <= '9' ? *s - '0' :
			    *s >= 'a' && *s <= 'f' ? *s - 'a' + 10 : -1;

		if (*s == ':' && digits && !i) {
			i = 1;
			digits = 0;
		} else if (digit >= 0 && digits < 8) {
			n[i] = n[i] << 4 | (unsigned int)digit;
			digits++;
		} else {
			return false;
		}
	}
	if (!i || !digits)
		return false;
	*ret_major = n[0];
	*ret_minor = n[1];
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *take_hex_bytes(struct decode *d, const char *hex)
{
	size_t i, len = strlen(hex);
	char *bytes;

	if (len % 2)
		return NULL;
	bytes = scratch_alloc(d->scratch, len / 2 + 1, 1);
	for (i = 0; i < len; i += 2) {
		int hi = hex_digit(hex[i]), lo = hex_digit(hex[i + 1]);

		if (hi < 0 || lo < 0 || !(hi | lo))
			return NULL;
		bytes[i / 2] = hi << 4 | lo;
	}
	return bytes;
}

int take_name(struct decode *d, struct json_t *obj, const char *key, const char *key_hex,
	      const char **ret)
{
	struct json_t *v = js_get(obj, key), *exact = js_get(obj, key_hex);

	if (v && !js_is_null(v) && !js_str(v))
		return bad(d->err, "%s is not a string", key);
	*ret = js_str(v);
	if (!exact)
		return 0;
	if (!js_str(exact) || !(*ret = take_hex_bytes(d, js_str(exact))))
		return bad(d->err, "%s is not a string of hex bytes", key_hex);
	return 0;
}

bool is_page_range(uint64_t start, uint64_t end)
{
	return start < end && !((start | end) & (MM_PAGE_SIZE - 1));
}

int take_range(struct json_t *v, struct rec_range *ret)
{
	if (js_len(v) < 2 || js_hex(js_at(v, 0), &ret->start) || js_hex(js_at(v, 1), &ret->end) ||
	    ret->start > ret->end)
		return -EINVAL;
	return 0;
}
