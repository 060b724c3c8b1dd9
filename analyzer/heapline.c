/* SPDX-License-Identifier: MIT */
#include "heapline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "json.h"

/* The members of one operation as they stand in the line. */
struct raw_op {
	int64_t v[6];
	size_t nr;
	bool has_null;			/* the second one: an allocation that failed */
};

static struct heap_op *next_op(struct heap_ops *ops)
{
	ops->list = alloc_grow(ops->list, ops->nr, &ops->cap, sizeof(*ops->list));
	return &ops->list[ops->nr++];
}

/* Give an operation its meaning; @t is the stamp of the one before and becomes this one's. */
static inline bool make_op(const struct raw_op *raw, uint64_t base, uint64_t *t,
			   struct heap_ops *ops)
{
	const int64_t *v = raw->v;
	size_t n = raw->nr;
	struct heap_op op;

	if (n < 2 || n == 3 || v[0] < 0 || __builtin_add_overflow(*t, (uint64_t)v[0], t))
		return false;
	op = (struct heap_op){ .t = *t, .addr = base + (uint64_t)v[1], .kind = HEAP_FREE };
	if (n > 2) {
		if (v[2] < 0 || v[3] < 0 || v[3] > UINT32_MAX || (n > 4 && v[n - 1] < 0))
			return false;
		op.size = v[2];
		op.stack = v[3];
		op.kind = raw->has_null ? HEAP_FAILED : HEAP_ALLOC;
	} else if (raw->has_null) {
		return false;
	}
	if (n == 6 && !raw->has_null)
		*next_op(ops) = (struct heap_op){
			.t = (uint64_t)v[5] < *t ? *t - (uint64_t)v[5] : 0,
			.addr = base + (uint64_t)v[4], .kind = HEAP_REALLOC,
		};
	*next_op(ops) = op;
	return true;
}

/* The scanner: a cursor that becomes NULL at the first byte it does not expect. */

static inline const char *scan_word(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);

	return p && (size_t)(end - p) >= n && !memcmp(p, word, n) ? p + n : NULL;
}

/* A JSON integer in the range of int64_t, without the least one. */
static inline const char *scan_integer(const char *p, const char *end, int64_t *ret)
{
	bool is_negative = p < end && *p == '-';
	uint64_t n = 0;
	const char *digits;

	p += is_negative;
	digits = p;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (n > INT64_MAX / 10 - 1)
			return NULL;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (p == digits || (*digits == '0' && p - digits > 1))
		return NULL;
	*ret = is_negative ? -(int64_t)n : (int64_t)n;
	return p;
}

static const char *scan_hex(const char *p, const char *end, uint64_t *ret)
{
	const char *digits = p;
	uint64_t n = 0;

	for (; p < end && p - digits < 16; p++) {
		if (*p >= '0' && *p <= '9')
			n = n << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			n = n << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	*ret = n;
	return p == digits ? NULL : p;
}

static inline const char *scan_op(const char *p, const char *end, struct raw_op *raw)
{
	raw->nr = 0;
	raw->has_null = false;
	for (;;) {
		if (raw->nr == 1 && end - p > 4 && *p == 'n') {
			if (memcmp(p, "null", 4))
				return NULL;
			raw->has_null = true;
			raw->v[raw->nr++] = 0;
			p += 4;
		} else {
			p = scan_integer(p, end, &raw->v[raw->nr++]);
		}
		if (!p || p == end)
			return NULL;
		if (*p == ']')
			return p + 1;
		if (*p++ != ',' || raw->nr == 6)
			return NULL;
	}
}

static const char *scan_head(const char *p, const char *end, int64_t *tid, uint64_t *t0)
{
	int64_t t = -1;

	p = scan_word(p, end, "{\"ev\":\"heap\",\"tid\":");
	p = p ? scan_integer(p, end, tid) : NULL;
	p = scan_word(p, end, ",\"t0\":");
	p = p ? scan_integer(p, end, &t) : NULL;
	*t0 = t;
	return t < 0 ? NULL : scan_word(p, end, ",\"base\":\"0x");
}

bool heapline_scan_head(const char *text, size_t len, int64_t *tid, uint64_t *t0)
{
	return scan_head(text, text + len, tid, t0);
}

bool heapline_scan(const char *text, size_t len, struct heap_ops *ops)
{
	const char *end = text + len, *p;
	uint64_t t, base;
	struct raw_op raw;
	int64_t tid;

	ops->nr = 0;
	p = scan_head(text, end, &tid, &t);
	p = p ? scan_hex(p, end, &base) : NULL;
	p = scan_word(p, end, "\",\"ops\":[");
	if (!p || p == end)
		return false;
	while (*p == '[') {
		p = scan_op(p + 1, end, &raw);
		if (!p || p == end || !make_op(&raw, base, &t, ops))
			return false;
		if (*p != ',')
			break;
		if (++p == end || *p != '[')
			return false;
	}
	return scan_word(p, end, "]}") == end;
}

static bool parse_op(const struct json_t *v, struct raw_op *raw)
{
	size_t i;

	raw->nr = js_len(v);
	raw->has_null = js_is_null(js_at(v, 1));
	if (raw->nr > 6)
		return false;
	for (i = 0; i < raw->nr; i++) {
		raw->v[i] = 0;
		if (!(i == 1 && raw->has_null) && js_i64(js_at(v, i), &raw->v[i]))
			return false;
	}
	return true;
}

static int parse_ops(const struct json_t *doc, struct heap_ops *ops, struct record_error *err)
{
	struct json_t *list = js_get(doc, "ops");
	uint64_t t = 0, base = 0;
	const char *what = NULL;
	struct raw_op raw;
	size_t i;

	if (js_u64(js_get(doc, "t0"), &t))
		what = "t0 is not a number from 0 on";
	else if (js_hex(js_get(doc, "base"), &base))
		what = "base is not a hex string \"0x…\"";
	else if (!js_is_array(list))
		what = "ops is not an array";
	if (what) {
		snprintf(err->text, sizeof(err->text), "heap: %s", what);
		return -EINVAL;
	}
	for (i = 0; i < js_len(list); i++) {
		if (parse_op(js_at(list, i), &raw) && make_op(&raw, base, &t, ops))
			continue;
		snprintf(err->text, sizeof(err->text), "heap: ops[%zu] is not a heap operation", i);
		return -EINVAL;
	}
	return 0;
}

int heapline_parse(const char *text, size_t len, struct heap_ops *ops, struct record_error *err)
{
	struct json_t *doc = js_parse(text, len, err->text, sizeof(err->text));
	int result;

	ops->nr = 0;
	if (!doc)
		return -EINVAL;
	result = parse_ops(doc, ops, err);
	js_free(doc);
	return result;
}
