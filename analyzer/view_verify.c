/* SPDX-License-Identifier: MIT */
/*
 * verify: how far the shadow and the kernel agreed, and every difference there was.
 */
#include <inttypes.h>

#include "alloc.h"
#include "json.h"
#include "out.h"
#include "report.h"
#include "summary.h"

enum { DEFAULT_DETAILS = 1000 };

struct verify {
	uint64_t by_cause[TRACE_NR_CAUSES];
	uint64_t by_frame_cause[TRACE_NR_FRAME_CAUSES];
	uint64_t checks, nr, nr_shown;
	struct json_t *list;		/* with --json: the details */
	bool has_title;
};

static void *verify_start(struct trace *tr)
{
	struct verify *v = alloc_zeroed(sizeof(*v));

	v->list = tr->opt->json ? js_array() : NULL;
	return v;
}

static void print_title(struct trace *tr, struct verify *v)
{
	if (v->has_title)
		return;
	v->has_title = true;
	fputs("mode ", tr->out);
	out_name(tr->out, tr->header.verify_mode);
	if (tr->header.verify_source) {
		fputs(", source ", tr->out);
		out_name(tr->out, tr->header.verify_source);
	}
	fputc('\n', tr->out);
}

static void print_vmas(struct trace *tr, const char *side, const struct vma_desc *desc, size_t nr)
{
	char line[MAPS_LINE_MAX];
	size_t i, n;

	if (!nr)
		fprintf(tr->out, "    %s  nothing mapped\n", side);
	for (i = 0; i < nr; i++) {
		n = maps_format_line(&desc[i], line, sizeof(line) - 1);
		line[n && line[n - 1] == '\n' ? n - 1 : n] = '\0';
		fprintf(tr->out, "    %s  ", side);
		out_name(tr->out, line);
		fputc('\n', tr->out);
	}
}

static void print_diff(struct trace *tr, const struct record *rec)
{
	const struct rec_diff *diff = &rec->diff;
	char time[OUT_SIZE_MAX];
	size_t i;

	fprintf(tr->out, "%s s, after event %" PRIu64 ": %s in %" PRIx64 "-%" PRIx64,
		out_time(time, rec->t), diff->seq, record_cause_names[diff->cause], diff->start,
		diff->end);
	for (i = 0; diff->fields && i < js_len(diff->fields); i++) {
		fputs(i ? ", " : ": ", tr->out);
		out_name(tr->out, js_str(js_at(diff->fields, i)));
	}
	fputc('\n', tr->out);
	print_vmas(tr, "shadow", diff->shadow, diff->nr_shadow);
	print_vmas(tr, "kernel", diff->kernel, diff->nr_kernel);
}

static void print_frame_diff(struct trace *tr, const struct record *rec)
{
	const struct rec_frame_diff *diff = &rec->frame_diff;
	char time[OUT_SIZE_MAX];

	fprintf(tr->out, "%s s, frames: %s in %" PRIx64 "-%" PRIx64 ": %" PRIu64 " pages %s\n",
		out_time(time, rec->t), record_frame_cause_names[diff->cause], diff->start, diff->end,
		diff->pages, record_frame_cause_texts[diff->cause]);
}

static struct json_t *json_vmas(const struct vma_desc *desc, size_t nr)
{
	struct json_t *list = js_array();
	size_t i, n;

	for (i = 0; i < nr; i++) {
		char line[MAPS_LINE_MAX];

		n = maps_format_line(&desc[i], line, sizeof(line) - 1);
		line[n && line[n - 1] == '\n' ? n - 1 : n] = '\0';
		js_append(list, js_string(line));
	}
	return list;
}

static struct json_t *json_diff(const struct record *rec)
{
	const struct rec_diff *diff = &rec->diff;
	struct json_t *obj = js_object();

	js_set_u64(obj, "t", rec->t);
	js_set_u64(obj, "event", diff->seq);
	js_set_str(obj, "cause", record_cause_names[diff->cause]);
	js_set_hex(obj, "start", diff->start);
	js_set_hex(obj, "end", diff->end);
	if (diff->fields)
		js_set(obj, "fields", js_ref(diff->fields));
	js_set(obj, "shadow", json_vmas(diff->shadow, diff->nr_shadow));
	js_set(obj, "kernel", json_vmas(diff->kernel, diff->nr_kernel));
	return obj;
}

static struct json_t *json_frame_diff(const struct record *rec)
{
	const struct rec_frame_diff *diff = &rec->frame_diff;
	struct json_t *obj = js_object();

	js_set_u64(obj, "t", rec->t);
	js_set_str(obj, "frame_cause", record_frame_cause_names[diff->cause]);
	js_set_hex(obj, "start", diff->start);
	js_set_hex(obj, "end", diff->end);
	js_set_u64(obj, "pages", diff->pages);
	return obj;
}

static void show_detail(struct trace *tr, struct verify *v, const struct record *rec)
{
	bool is_frames = rec->ev == TRACE_FRAME_DIFF;

	if (v->list) {
		js_append(v->list, is_frames ? json_frame_diff(rec) : json_diff(rec));
		return;
	}
	print_title(tr, v);
	if (is_frames)
		print_frame_diff(tr, rec);
	else
		print_diff(tr, rec);
}

static void verify_record(struct trace *tr, void *state, const struct record *rec)
{
	uint64_t max = tr->opt->has_limit ? tr->opt->limit : DEFAULT_DETAILS;
	struct verify *v = state;

	if (rec->ev == TRACE_VERIFY && rec->verify.checks > v->checks)
		v->checks = rec->verify.checks;
	if (rec->ev == TRACE_END && rec->end.checks > v->checks)
		v->checks = rec->end.checks;
	if (rec->ev != TRACE_DIFF && rec->ev != TRACE_FRAME_DIFF)
		return;
	v->nr++;
	if (rec->ev == TRACE_DIFF)
		v->by_cause[rec->diff.cause]++;
	else
		v->by_frame_cause[rec->frame_diff.cause]++;
	if (max && v->nr_shown >= max)
		return;
	v->nr_shown++;
	show_detail(tr, v, rec);
}

double verify_score(const uint64_t *differences, uint64_t checks)
{
	uint64_t defects = differences[TRACE_CAUSE_UNEXPLAINED] +
			   differences[TRACE_CAUSE_NOT_CAPTURED];

	if (!checks)
		return defects ? 0 : 1;
	return defects >= checks ? 0 : 1 - (double)defects / checks;
}

static void verify_text(struct trace *tr, void *state)
{
	struct verify *v = state;
	unsigned int i;

	print_title(tr, v);
	if (v->nr_shown < v->nr)
		fprintf(tr->out, "%" PRIu64 " more differences (--limit 0 shows all)\n",
			v->nr - v->nr_shown);
	fprintf(tr->out, "%" PRIu64 " comparisons, %" PRIu64 " differences\n", v->checks, v->nr);
	for (i = 0; i < TRACE_NR_CAUSES; i++)
		if (v->by_cause[i])
			fprintf(tr->out, "  %-14s %" PRIu64 "\n", record_cause_names[i],
				v->by_cause[i]);
	for (i = 0; i < TRACE_NR_FRAME_CAUSES; i++)
		if (v->by_frame_cause[i])
			fprintf(tr->out, "  %-14s %" PRIu64 " of frames\n", record_frame_cause_names[i],
				v->by_frame_cause[i]);
	fprintf(tr->out, "replay: %" PRIu64 " of %" PRIu64 " checks agree", tr->replay.nr_checked -
		tr->replay.nr_diverged, tr->replay.nr_checked);
	if (tr->replay.nr_diverged)
		fprintf(tr->out, ", the first wrong one at event %" PRIu64, tr->replay.diverged_seq);
	fprintf(tr->out, "\nscore %.4f\n", verify_score(v->by_cause, v->checks));
}

static struct json_t *verify_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *causes = js_object(), *replay = js_object();
	struct json_t *frames = js_object();
	struct verify *v = state;
	unsigned int i;

	for (i = 0; i < TRACE_NR_CAUSES; i++)
		if (v->by_cause[i])
			js_set_u64(causes, record_cause_names[i], v->by_cause[i]);
	for (i = 0; i < TRACE_NR_FRAME_CAUSES; i++)
		if (v->by_frame_cause[i])
			js_set_u64(frames, record_frame_cause_names[i], v->by_frame_cause[i]);
	js_set_str(obj, "mode", tr->header.verify_mode);
	js_set_str(obj, "source", tr->header.verify_source);
	js_set_u64(obj, "checks", v->checks);
	js_set(obj, "differences", causes);
	js_set(obj, "frame_differences", frames);
	js_set(obj, "score", js_real(verify_score(v->by_cause, v->checks)));
	js_set_u64(replay, "checks", tr->replay.nr_checked);
	js_set_u64(replay, "diverged", tr->replay.nr_diverged);
	if (tr->replay.nr_diverged)
		js_set_u64(replay, "first_event", tr->replay.diverged_seq);
	js_set(obj, "replay", replay);
	js_set_u64(obj, "left_out", v->nr - v->nr_shown);
	js_set(obj, "details", js_ref(v->list));
	return obj;
}

static void verify_free(void *state)
{
	struct verify *v = state;

	js_free(v->list);
	alloc_free(v);
}

const struct view view_verify = {
	.name = "verify",
	.brief = "how far shadow and kernel agreed, and every difference",
	.help = "  --limit N        details of N differences (1000; 0: all)\n",
	.takes = "l",
	.start = verify_start,
	.record = verify_record,
	.text = verify_text,
	.json = verify_json,
	.free = verify_free,
};
