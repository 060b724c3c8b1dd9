/* SPDX-License-Identifier: MIT */
#include "heap_timeline.h"

#include <inttypes.h>

#include "json.h"
#include "out.h"

enum { ROWS_MAX = 32, BAR_MAX = 32 };

static const struct heap_bucket none;

/* Buckets [first, end) as one: what was allocated in them, how it stood at their end. */
static struct heap_bucket join(const struct heap_series *s, size_t first, size_t end)
{
	struct heap_bucket row = s->buckets[end - 1];
	const struct heap_bucket *before = first ? &s->buckets[first - 1] : &none;
	size_t i;

	for (i = first; i < end; i++)
		if (s->buckets[i].max_live_bytes > row.max_live_bytes)
			row.max_live_bytes = s->buckets[i].max_live_bytes;
	row.allocations -= before->allocations;
	row.bytes -= before->bytes;
	return row;
}

static uint64_t greatest(const struct heap_series *s)
{
	uint64_t max = 0;
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (s->buckets[i].max_live_bytes > max)
			max = s->buckets[i].max_live_bytes;
	return max;
}

static void print_row(const struct heap_bucket *row, uint64_t end_t, uint64_t max, FILE *out)
{
	char t[OUT_SIZE_MAX], a[OUT_SIZE_MAX], b[OUT_SIZE_MAX], c[OUT_SIZE_MAX];
	unsigned int n = max ? (unsigned int)((double)row->max_live_bytes / max * BAR_MAX + 0.5) : 0;

	fprintf(out, "%14s %11s %11s %12" PRIu64 " %11s", out_time(t, end_t),
		out_size(a, row->max_live_bytes), out_size(b, row->live_bytes), row->allocations,
		out_size(c, row->bytes));
	fputs(n ? "  " : "", out);
	while (n--)
		fputc('#', out);
	fputc('\n', out);
}

void heap_timeline_print(const struct heap_series *s, FILE *out)
{
	size_t width = (s->nr + ROWS_MAX - 1) / ROWS_MAX, first;
	uint64_t max = greatest(s);

	fprintf(out, "\n%14s %11s %11s %12s %11s\n", "up to s", "most live", "then live",
		"allocations", "bytes");
	for (first = 0; first < s->nr; first += width) {
		size_t end = first + width < s->nr ? first + width : s->nr;
		struct heap_bucket row = join(s, first, end);

		print_row(&row, end * s->width, max, out);
	}
}

struct json_t *heap_timeline_json(const struct heap_series *s)
{
	struct json_t *obj = js_object(), *list = js_array();
	size_t i;

	for (i = 0; i < s->nr; i++) {
		struct heap_bucket row = join(s, i, i + 1);
		struct json_t *one = js_object();

		js_set_u64(one, "t", i * s->width);
		js_set_u64(one, "max_live_bytes", row.max_live_bytes);
		js_set_u64(one, "live_bytes", row.live_bytes);
		js_set_u64(one, "live_blocks", row.live_blocks);
		js_set_u64(one, "allocations", row.allocations);
		js_set_u64(one, "bytes", row.bytes);
		js_append(list, one);
	}
	js_set_u64(obj, "width_ns", s->width);
	js_set(obj, "buckets", list);
	return obj;
}
