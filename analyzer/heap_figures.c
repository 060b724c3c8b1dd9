/* SPDX-License-Identifier: MIT */
#include "heap_figures.h"

#include <inttypes.h>
#include <math.h>

#include "json.h"
#include "out.h"

static const char *const names[HEAP_NR_FIGURES] = {
	[HEAP_ALLOCATIONS] = "allocations", [HEAP_BYTES] = "bytes",
	[HEAP_LIVE_BLOCKS] = "live_blocks", [HEAP_LIVE_BYTES] = "live_bytes",
	[HEAP_PEAK_BLOCKS] = "peak_blocks", [HEAP_PEAK_BYTES] = "peak_bytes",
};

static uint64_t counted(const struct heap_sum *s, enum heap_figure figure)
{
	switch (figure) {
	case HEAP_ALLOCATIONS:
		return s->allocations;
	case HEAP_BYTES:
		return s->bytes;
	case HEAP_LIVE_BLOCKS:
		return s->live_blocks;
	case HEAP_LIVE_BYTES:
		return s->live_bytes;
	case HEAP_PEAK_BLOCKS:
		return s->peak_blocks;
	default:
		return s->peak_bytes;
	}
}

double heap_value(const struct heap_sum *s, enum heap_figure figure)
{
	return s->estimate ? s->estimate->value[figure] : counted(s, figure);
}

struct heap_sum heap_whole(struct heap *h)
{
	return (struct heap_sum){
		.allocations = h->allocations, .bytes = h->bytes, .frees = h->frees,
		.peak_blocks = h->peak_blocks, .peak_bytes = h->peak_bytes,
		.temporary = h->temporary, .live_blocks = h->live_blocks,
		.live_bytes = h->live_bytes, .failed = h->failed,
		.estimate = h->sample_bytes ? &h->estimate : NULL,
	};
}

void heap_add(struct heap_sum *to, const struct heap_sum *from)
{
	int i;

	to->allocations += from->allocations;
	to->bytes += from->bytes;
	to->frees += from->frees;
	to->freed_bytes += from->freed_bytes;
	to->peak_blocks += from->peak_blocks;
	to->peak_bytes += from->peak_bytes;
	to->temporary += from->temporary;
	to->live_blocks += from->live_blocks;
	to->live_bytes += from->live_bytes;
	to->failed += from->failed;
	for (i = 0; to->estimate && i < HEAP_NR_FIGURES; i++) {
		to->estimate->value[i] += from->estimate->value[i];
		to->estimate->variance[i] += from->estimate->variance[i];
	}
}

/* Rounding may leave a little less than nothing. */
static double positive(double x)
{
	return x > 0 ? x : 0;
}

static double error_of(const struct heap_estimate *e, enum heap_figure figure)
{
	return sqrt(positive(e->variance[figure]));
}

static uint64_t rounded(double x)
{
	return x < 0 ? 0 : x < 0x1p63 ? (uint64_t)(x + 0.5) : UINT64_MAX;
}

const char *heap_text(char *buf, const struct heap_sum *s, enum heap_figure figure)
{
	bool is_size = figure == HEAP_BYTES || figure == HEAP_LIVE_BYTES || figure == HEAP_PEAK_BYTES;
	uint64_t value = rounded(heap_value(s, figure));
	uint64_t error = s->estimate ? rounded(error_of(s->estimate, figure)) : 0;
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	if (is_size) {
		out_size(a, value);
		out_size(b, error);
	} else {
		snprintf(a, sizeof(a), "%" PRIu64, value);
		snprintf(b, sizeof(b), "%" PRIu64, error);
	}
	if (s->estimate)
		snprintf(buf, HEAP_FIGURE_MAX, "%s ± %s", a, b);
	else
		snprintf(buf, HEAP_FIGURE_MAX, "%s", a);
	return buf;
}

const char *heap_text_share(char *buf, double part, double whole)
{
	double percent = whole > 0 ? 100 * positive(part) / whole : 0;

	if (whole > 0)
		snprintf(buf, HEAP_FIGURE_MAX, "%.*f %%", percent > 0 && percent < 9.95 ? 1 : 0,
			 percent);
	else
		snprintf(buf, HEAP_FIGURE_MAX, "-");
	return buf;
}

const char *heap_text_temporary(char *buf, const struct heap_sum *s)
{
	return heap_text_share(buf, s->temporary, s->estimate ? 0 : s->allocations);
}

static void json_figures(struct json_t *obj, const struct heap_sum *s, int first, int end)
{
	int i;

	for (i = first; i < end; i++)
		js_set_u64(obj, names[i], counted(s, i));
}

static void json_estimate(struct json_t *obj, const struct heap_estimate *e, int first, int end)
{
	struct json_t *all = js_object();
	int i;

	for (i = first; e && i < end; i++) {
		struct json_t *one = js_object();

		js_set(one, "value", js_real(positive(e->value[i])));
		js_set(one, "error", js_real(error_of(e, i)));
		js_set(all, names[i], one);
	}
	if (e)
		js_set(obj, "estimate", all);
	else
		js_free(all);
}

void heap_json_sum(struct json_t *obj, const struct heap_sum *s)
{
	json_figures(obj, s, 0, HEAP_NR_FIGURES);
	js_set(obj, "temporary", s->estimate ? js_null() : js_number(s->temporary));
	json_estimate(obj, s->estimate, 0, HEAP_NR_FIGURES);
}

void heap_json_live(struct json_t *obj, const struct heap_sum *s)
{
	json_figures(obj, s, HEAP_LIVE_BLOCKS, HEAP_LIVE_BYTES + 1);
	json_estimate(obj, s->estimate, HEAP_LIVE_BLOCKS, HEAP_LIVE_BYTES + 1);
}
