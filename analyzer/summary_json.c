/* SPDX-License-Identifier: MIT */
/*
 * The summary for programs. Other programs depend on these members: add, don't rename.
 */
#include "findings.h"
#include "heap_figures.h"
#include "json.h"
#include "summary.h"

static struct json_t *json_process(const struct trace *tr, const struct summary *s)
{
	const struct rec_header *h = &tr->header;
	struct json_t *obj = js_object(), *end = js_object();

	js_set(obj, "pid", js_signed(h->pid));
	js_set(obj, "ppid", js_signed(h->ppid));
	js_set_str(obj, "exe", h->exe);
	js_set(obj, "argv", h->argv ? js_ref(h->argv) : js_null());
	js_set_str(end, "how", s->end_how);
	js_set(end, "status", s->end_has_status ? js_signed(s->status) : js_null());
	js_set(obj, "end", end);
	js_set_str(obj, "reason", h->reason);
	if (h->has_parent) {
		struct json_t *parent = js_object();

		js_set(parent, "pid", js_signed(h->parent_pid));
		js_set_str(parent, "trace", h->parent_trace);
		js_set_u64(parent, "event", h->parent_event);
		js_set(obj, "parent", parent);
	}
	js_set_u64(obj, "duration_ns", tr->t_last);
	js_set_u64(obj, "threads", s->threads);
	return obj;
}

static struct json_t *json_counts(const uint64_t *counts, const char *const *names, size_t nr)
{
	struct json_t *obj = js_object();
	size_t i;

	for (i = 0; i < nr; i++)
		if (counts[i])
			js_set_u64(obj, names[i], counts[i]);
	return obj;
}

static struct json_t *json_capture(const struct trace *tr, const struct summary *s)
{
	const struct rec_header *h = &tr->header;
	struct json_t *obj = js_object();

	js_set_str(obj, "tier", h->tier);
	js_set_str(obj, "asked", h->asked ? h->asked : h->tier);
	js_set(obj, "self_test", h->self_test ? js_ref(h->self_test) : js_null());
	js_set_u64(obj, "events", tr->nr_records[TRACE_CALL]);
	js_set_u64(obj, "failed_calls", s->failed);
	js_set(obj, "by_call", json_counts(s->by_call, record_call_names, MM_OP_COUNT));
	js_set(obj, "by_origin", json_counts(s->by_origin, record_origin_names, TRACE_NR_ORIGINS));
	js_set_u64(obj, "lost", s->lost);
	js_set_u64(obj, "missing_calls", tr->reader.nr_missing);
	js_set_u64(obj, "torn_lines", tr->reader.nr_torn);
	js_set_u64(obj, "unknown_lines", tr->reader.nr_unknown);
	return obj;
}

static struct json_t *json_verify(const struct trace *tr, const struct summary *s)
{
	struct json_t *obj = js_object(), *replay = js_object();

	js_set_str(obj, "mode", tr->header.verify_mode);
	js_set_str(obj, "source", tr->header.verify_source);
	js_set_u64(obj, "checks", s->checks);
	js_set(obj, "differences", json_counts(s->differences, record_cause_names, TRACE_NR_CAUSES));
	js_set_u64(obj, "not_captured", s->differences[TRACE_CAUSE_NOT_CAPTURED]);
	js_set_u64(obj, "unexplained", s->differences[TRACE_CAUSE_UNEXPLAINED]);
	js_set(obj, "score", js_real(verify_score(s->differences, s->checks)));
	js_set_u64(replay, "checks", tr->replay.nr_checked);
	js_set_u64(replay, "diverged", tr->replay.nr_diverged);
	js_set_u64(replay, "unresolved", tr->replay.nr_unresolved);
	js_set(obj, "replay", replay);
	return obj;
}

static struct json_t *json_figures(const struct rec_figures *f)
{
	struct json_t *obj = js_object();
	unsigned int i;

	for (i = 0; i < NR_FIGURES; i++) {
		if (!f->known[i])
			continue;
		if (rec_figure_is_address(i))
			js_set_hex(obj, rec_figure_names[i], f->value[i]);
		else
			js_set_u64(obj, rec_figure_names[i], f->value[i]);
	}
	return obj;
}

static struct json_t *json_mm(const struct trace *tr, const struct summary *s)
{
	struct json_t *obj = json_figures(&s->shadow);

	js_set_u64(obj, "max_map_count", tr->replay.mm.max_map_count);
	js_set_u64(obj, "mmap_predictions", s->predicted);
	js_set_u64(obj, "mmap_predictions_right", s->predicted_right);
	js_set(obj, "kernel", json_figures(&s->kernel));
	return obj;
}

static struct json_t *json_heap(struct trace *tr)
{
	struct heap *h = &tr->heap;
	struct heap_sum all = heap_whole(h);
	struct json_t *obj = js_object();

	js_set_str(obj, "mode", tr->header.heap);
	if (h->sample_bytes)
		js_set_u64(obj, "sample_bytes", h->sample_bytes);
	heap_json_sum(obj, &all);
	js_set_u64(obj, "peak_t", h->peak_t);
	js_set_u64(obj, "frees", h->frees);
	js_set_u64(obj, "reallocations", h->reallocations);
	js_set_u64(obj, "failed", h->failed);
	js_set_u64(obj, "unknown_frees", h->unknown_frees);
	js_set_u64(obj, "double_frees", h->double_frees);
	js_set_u64(obj, "invalid_frees", h->invalid_frees);
	js_set_u64(obj, "overwritten", h->overwritten);
	return obj;
}

static struct json_t *json_frames(const struct trace *tr, const struct summary *s)
{
	struct json_t *obj = js_object();

	js_set_u64(obj, "resident_pages", s->resident);
	js_set_u64(obj, "swapped_pages", s->swapped);
	js_set_str(obj, "pfn", tr->header.pfn_visible ? "visible" : "hidden");
	return obj;
}

static struct json_t *json_cost(const struct summary *s)
{
	struct json_t *obj = js_object();

	js_set_u64(obj, "resident_bytes", s->cost_resident);
	js_set_u64(obj, "trace_bytes", s->cost_trace);
	return obj;
}

struct json_t *summary_build(struct trace *tr, const struct summary *s)
{
	struct json_t *obj = js_object(), *list = js_array();
	struct findings findings = { 0 };
	size_t i;

	findings_collect(&findings, tr, s);
	js_set_str(obj, "trace", tr->reader.path);
	js_set(obj, "process", json_process(tr, s));
	js_set(obj, "capture", json_capture(tr, s));
	js_set(obj, "verify", json_verify(tr, s));
	js_set(obj, "mm", json_mm(tr, s));
	js_set(obj, "heap", json_heap(tr));
	js_set(obj, "frames", json_frames(tr, s));
	if (s->has_cost)
		js_set(obj, "cost", json_cost(s));
	for (i = 0; i < findings.nr; i++)
		js_append(list, finding_json(&findings.list[i]));
	js_set(obj, "findings", list);
	findings_fini(&findings);
	return obj;
}
