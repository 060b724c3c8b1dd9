/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a trace: every view, as text and as JSON, must end without a fault, whatever the
 * trace says. No other file is opened (no symbols), nothing is printed.
 *
 * After every replay the model's invariants are checked: a hostile trace may describe an impossible
 * process, but not break the shadow mm.
 *
 * Built for libFuzzer by clang with the option `fuzzing`; otherwise with a main that takes files and
 * folders, so that the seeds and what was once found run as an ordinary test.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "frames_by.h"
#include "layout.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct view *const views[] = {
	&view_summary, &view_maps, &view_events, &view_mm, &view_heap, &view_leaks,
	&view_fragmentation, &view_frames, &view_frames_by, &view_verify, &view_explain,
};

/* What traces in test/data have at these, and edges. */
static uint64_t addresses[] = {
	0, 0x400100, 0x20010, 0x555555558010, 0x7f0000000200, 0x7ffff7fc0000, 1ull << 47,
	0xffffffffff600000, UINT64_MAX,
};

enum { NR_ADDRESSES = sizeof(addresses) / sizeof(addresses[0]) };

static const struct options variants[] = {
	{ .no_symbols = true, .at = { MOMENT_END, 0 }, .call = -1, .stacks = true,
	  .addresses = addresses, .nr_addresses = NR_ADDRESSES },
	{ .no_symbols = true, .at = { MOMENT_PEAK, 0 }, .call = -1, .json = true, .why = true,
	  .own = true, .stacks = true, .heap_by = HEAP_BY_FUNCTION, .timeline = true,
	  .addresses = addresses, .nr_addresses = NR_ADDRESSES },
	{ .no_symbols = true, .at = { MOMENT_EVENT, 2 }, .call = MM_MMAP, .why = true,
	  .colour = true, .terminal = true, .limit = 1, .has_limit = true,
	  .heap_by = HEAP_BY_THREAD, .timeline = true, .fail = true,
	  .addresses = addresses, .nr_addresses = NR_ADDRESSES },
};

static void run(const struct view *view, const struct options *opt, const uint8_t *data,
		size_t size, FILE *out)
{
	struct json_t *json = NULL;
	struct trace trace;
	const char *broken;

	if (!trace_open_memory(&trace, view, opt, data, size, out))
		(void)trace_run(&trace, &json);
	if (json)
		js_print(json, out, false);
	js_free(json);
	broken = trace.replay.has_mm ? mm_check(&trace.replay.mm) : NULL;
	if (broken) {
		fprintf(stderr, "the model is broken: %s\n", broken);
		abort();
	}
	trace_close(&trace);
}

/* What the trace's layout is printed as can be read again. */
static void run_layout(const uint8_t *data, size_t size)
{
	struct layout layout, again;
	char err[1024], *text = NULL;
	size_t len;
	FILE *out;

	layout_init(&layout);
	layout_init(&again);
	if (!layout_add_memory(&layout, "memory", data, size, LAYOUT_NO_SYMBOLS | LAYOUT_PARTIAL,
			       err, sizeof(err))) {
		out = open_memstream(&text, &len);
		if (!out)
			abort();
		layout_print(&layout, out);
		fclose(out);
		if (layout_add_memory(&again, "printed", text, len, LAYOUT_NO_TRACE, err,
				      sizeof(err))) {
			fprintf(stderr, "the layout is refused: %s\n", err);
			abort();
		}
		free(text);
	}
	layout_fini(&again);
	layout_fini(&layout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *out;
	size_t v, i = size % (sizeof(variants) / sizeof(variants[0]));

	if (!out)
		out = fopen("/dev/null", "w");
	if (!out)
		return 0;
	for (v = 0; v < sizeof(views) / sizeof(views[0]); v++)
		run(views[v], &variants[i], data, size, out);
	run_layout(data, size);
	return 0;
}
