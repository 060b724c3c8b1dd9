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

void heap_ops_fini(struct heap_ops *ops)
{
	alloc_free(ops->list);
	alloc_free(ops->ends);
	*ops = (struct heap_ops){ .list = NULL };
}

static struct heap_op *next_op(struct heap_ops *ops)
{
	ops->list = alloc_grow(ops->list, ops->nr, &ops->cap, sizeof(*ops->list));
	return &ops->list[ops->nr++];
}

/* Give an operation its meaning; @t is the stamp of the one before and becomes this one's. */
static bool make_op(const struct raw_op *raw, uint64_t base, uint64_t *t, struct heap_ops *ops)
{
	/* One or three members: at the same time. */
	bool has_dt = raw->nr != 1 && raw->nr != 3;
	const int64_t *v = raw->v + has_dt;
	size_t n = raw->nr - has_dt;
	struct heap_op op;

	if (!raw->nr || (raw->has_null && n < 3) || (raw->has_null && !has_dt))
		return false;
	if (has_dt && (raw->v[0] < 0 || __builtin_add_overflow(*t, (uint64_t)raw->v[0], t)))
		return false;
	op = (struct heap_op){ .t = *t, .addr = base + (uint64_t)v[0], .kind = HEAP_FREE };
	if (n > 1) {
		if (v[1] < 0 || v[2] < 0 || v[2] > UINT32_MAX || (n > 3 && v[n - 1] < 0))
			return false;
		op.size = v[1];
		op.stack = v[2];
		op.kind = raw->has_null ? HEAP_FAILED : HEAP_ALLOC;
	}
	if (n == 5 && !raw->has_null)
		*next_op(ops) = (struct heap_op){
			.t = (uint64_t)v[4] < *t ? *t - (uint64_t)v[4] : 0,
			.addr = base + (uint64_t)v[3], .kind = HEAP_REALLOC,
		};
	*next_op(ops) = op;
	return true;
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
