/* SPDX-License-Identifier: MIT */
/*
 * The summary for people.
 */
#include <inttypes.h>
#include <string.h>

#include "findings.h"
#include "heap_figures.h"
#include "json.h"
#include "out.h"
#include "summary.h"

static void text_process(const struct trace *tr, const struct summary *s)
{
	const struct rec_header *h = &tr->header;
	char time[OUT_SIZE_MAX];
	size_t i;

	out_colour(tr->out, tr->opt->colour, OUT_BOLD);
	fprintf(tr->out, "process   %" PRId64 " ", h->pid);
	out_name(tr->out, h->exe ? h->exe : "?");
	out_colour(tr->out, tr->opt->colour, OUT_PLAIN);
	fputs("\n          ", tr->out);
	for (i = 0; h->argv && i < js_len(h->argv); i++) {
		fputs(i ? " " : "", tr->out);
		out_name(tr->out, js_str(js_at(h->argv, i)));
	}
	fprintf(tr->out, "\n          parent %" PRId64, h->ppid);
	if (h->has_parent)
		fprintf(tr->out, " (forked at its event %" PRIu64 ")", h->parent_event);
	fprintf(tr->out, ", %s s, ended by %s", out_time(time, tr->t_last), s->end_how);
	if (s->end_has_status)
		fprintf(tr->out, " %" PRId64, s->status);
	fputc('\n', tr->out);
}

static void text_capture(const struct trace *tr, const struct summary *s)
{
	const struct rec_header *h = &tr->header;
	unsigned int i;

	fprintf(tr->out, "capture   tier ");
	out_name(tr->out, h->tier);
	if (h->asked && strcmp(h->asked, h->tier)) {
		fputs(" (asked for ", tr->out);
		out_name(tr->out, h->asked);
		fputc(')', tr->out);
	}
	fprintf(tr->out, ", %" PRIu64 " calls, %" PRIu64 " of them failed, %" PRIu64 " records lost\n",
		tr->nr_records[TRACE_CALL], s->failed, s->lost);
	fputs("          by origin:", tr->out);
	for (i = 0; i < TRACE_NR_ORIGINS; i++)
		if (s->by_origin[i])
			fprintf(tr->out, " %s %" PRIu64, record_origin_names[i], s->by_origin[i]);
	fputs("\n          by call:", tr->out);
	for (i = 0; i < MM_OP_COUNT; i++)
		if (s->by_call[i])
			fprintf(tr->out, " %s %" PRIu64, record_call_names[i], s->by_call[i]);
	fputc('\n', tr->out);
	if (s->predicted)
		fprintf(tr->out, "          addresses foretold: %" PRIu64 " of %" PRIu64 " right\n",
			s->predicted_right, s->predicted);
}

static void text_verify(const struct trace *tr, const struct summary *s)
{
	uint64_t total = 0;
	unsigned int i;

	fputs("verify    mode ", tr->out);
	out_name(tr->out, tr->header.verify_mode);
	fprintf(tr->out, ", %" PRIu64 " comparisons with the kernel, differences:", s->checks);
	for (i = 0; i < TRACE_NR_CAUSES; i++) {
		total += s->differences[i];
		if (s->differences[i])
			fprintf(tr->out, " %s %" PRIu64, record_cause_names[i], s->differences[i]);
	}
	fprintf(tr->out, "%s\n          score %.4f; replay: %" PRIu64 " of %" PRIu64 " checkpoints agree\n",
		total ? "" : " none", verify_score(s->differences, s->checks), tr->replay.nr_checked - tr->replay.nr_diverged,
		tr->replay.nr_checked);
}

static void text_figure(const struct trace *tr, const struct summary *s, const char *label,
			enum rec_figure figure, bool is_size)
{
	const struct rec_figures *pair[] = { &s->shadow, &s->kernel };
	char buf[OUT_SIZE_MAX];
	int i;

	fprintf(tr->out, "          %-20s", label);
	for (i = 0; i < 2; i++) {
		if (!pair[i]->known[figure])
			snprintf(buf, sizeof(buf), "-");
		else if (is_size)
			out_size(buf, pair[i]->value[figure]);
		else
			snprintf(buf, sizeof(buf), "%" PRIu64, pair[i]->value[figure]);
		fprintf(tr->out, " %12s", buf);
	}
	if (s->shadow.known[figure] && s->kernel.known[figure])
		fputs(s->shadow.value[figure] == s->kernel.value[figure] ? "  equal" : "  differs",
		      tr->out);
	fputc('\n', tr->out);
}

/* vmtrace reserves far more than it uses, so that using more never changes the map. */
static uint64_t own_bytes(const struct trace *tr)
{
	const struct vma *vma;
	uint64_t sum = 0;

	for (vma = tr->replay.mm.first; vma; vma = vma->vm_next)
		sum += vma->own ? vma->vm_end - vma->vm_start : 0;
	return sum;
}

static void text_mm(const struct trace *tr, const struct summary *s)
{
	uint64_t count = s->shadow.value[FIGURE_map_count], peak;
	char buf[OUT_SIZE_MAX];

	peak = s->shadow.value[FIGURE_map_count_peak];
	fprintf(tr->out, "mm        %" PRIu64 " mappings, at most %" PRIu64 " of %u allowed\n", count,
		peak, tr->replay.mm.max_map_count);
	fprintf(tr->out, "          %-20s %12s %12s\n", "", "shadow", "kernel");
	text_figure(tr, s, "map_count", FIGURE_map_count, false);
	text_figure(tr, s, "mapped", FIGURE_total_vm_bytes, true);
	if (own_bytes(tr))
		fprintf(tr->out, "          %-20s %12s  reserved, hardly any of it in memory\n",
			"  of it vmtrace's", out_size(buf, own_bytes(tr)));
	text_figure(tr, s, "mapped, peak", FIGURE_hiwater_vm_bytes, true);
	text_figure(tr, s, "data", FIGURE_data_vm_bytes, true);
	text_figure(tr, s, "stack", FIGURE_stack_vm_bytes, true);
	text_figure(tr, s, "locked", FIGURE_locked_vm_bytes, true);
	text_figure(tr, s, "resident", FIGURE_rss_bytes, true);
	text_figure(tr, s, "resident, peak", FIGURE_hiwater_rss_bytes, true);
	text_figure(tr, s, "page tables", FIGURE_pgtables_bytes, true);
	if (s->resident)
		fprintf(tr->out, "          frames: %s resident in %" PRIu64 " pages, PFNs %s\n",
			out_size(buf, s->resident * MM_PAGE_SIZE), s->resident,
			tr->header.pfn_visible ? "visible" : "hidden");
}

static void text_heap(struct trace *tr)
{
	struct heap *h = &tr->heap;
	struct heap_sum all = heap_whole(h);
	char a[HEAP_FIGURE_MAX], b[HEAP_FIGURE_MAX], t[OUT_SIZE_MAX];

	if (!strcmp(tr->header.heap, "off")) {
		fputs("heap      not recorded\n", tr->out);
		return;
	}
	fprintf(tr->out, "heap      %s allocations, %" PRIu64 " frees; peak %s at %s s\n",
		heap_text(a, &all, HEAP_ALLOCATIONS), h->frees, heap_text(b, &all, HEAP_PEAK_BYTES),
		out_time(t, h->peak_t));
	fprintf(tr->out, "          at the end %s live in %s blocks\n",
		heap_text(a, &all, HEAP_LIVE_BYTES), heap_text(b, &all, HEAP_LIVE_BLOCKS));
	if (h->sample_bytes)
		fprintf(tr->out, "          estimated: one block for about %s was recorded\n",
			out_size(t, h->sample_bytes));
}

static void text_findings(struct trace *tr, const struct summary *s)
{
	static const enum out_colour colours[] = { OUT_DIM, OUT_YELLOW, OUT_RED };
	struct findings findings = { 0 };
	size_t i;

	findings_collect(&findings, tr, s);
	fputs(findings.nr ? "findings\n" : "findings  none\n", tr->out);
	for (i = 0; i < findings.nr; i++) {
		const struct finding *f = &findings.list[i];

		out_colour(tr->out, tr->opt->colour, colours[f->severity]);
		fprintf(tr->out, "          %-8s", finding_severity(f));
		out_colour(tr->out, tr->opt->colour, OUT_PLAIN);
		out_name(tr->out, f->text);
		fputc('\n', tr->out);
	}
	findings_fini(&findings);
}

void summary_print(struct trace *tr, const struct summary *s)
{
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	text_process(tr, s);
	text_capture(tr, s);
	text_verify(tr, s);
	text_mm(tr, s);
	text_heap(tr);
	text_findings(tr, s);
	if (s->has_cost)
		fprintf(tr->out, "cost      vmtrace itself: %s resident, %s of trace\n",
			out_size(a, s->cost_resident), out_size(b, s->cost_trace));
}
