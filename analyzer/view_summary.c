/* SPDX-License-Identifier: MIT */
/*
 * summary: what a trace says on one screen.
 */
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "report.h"
#include "summary.h"

static void *summary_start(struct trace *tr)
{
	(void)tr;
	return alloc_zeroed(sizeof(struct summary));
}

static void keep(char *buf, size_t size, const char *text)
{
	snprintf(buf, size, "%s", text ? text : "");
}

static void note_call(struct summary *s, const struct rec_call *c)
{
	s->by_call[c->call.op]++;
	s->by_origin[c->origin]++;
	s->failed += c->errno_name != NULL;
	s->predicted += c->has_predicted;
	s->predicted_right += c->has_predicted && !c->errno_name &&
			      c->predicted == (uint64_t)c->call.ret;
}

/* The shadow's own figures where it had more to say than the kernel; else from the replay. */
static void note_mm(struct summary *s, const struct trace *tr, const struct rec_mm *mm)
{
	s->shadow = mm->shadow;
	s->kernel = mm->kernel;
	s->has_mm = true;
	summary_fill_shadow(&s->shadow, &tr->replay.mm);
	if (mm->kernel.known[FIGURE_hiwater_rss_bytes] &&
	    mm->kernel.value[FIGURE_hiwater_rss_bytes] > s->peak_rss)
		s->peak_rss = mm->kernel.value[FIGURE_hiwater_rss_bytes];
}

/* What lasts is seen again at each checkpoint. */
static void note_frame_diff(struct summary *s, const struct rec_frame_diff *diff)
{
	uint64_t *now = &s->frame_pages_now[diff->cause];

	*now = diff->pages > UINT64_MAX - *now ? UINT64_MAX : *now + diff->pages;
	if (*now > s->frame_pages[diff->cause])
		s->frame_pages[diff->cause] = *now;
}

static void note_end(struct summary *s, const struct rec_end *end)
{
	static const struct { const char *name; size_t offset; } costs[] = {
		{ "resident_bytes", offsetof(struct summary, cost_resident) },
		{ "trace_bytes", offsetof(struct summary, cost_trace) },
	};
	size_t i;

	keep(s->how, sizeof(s->how), end->how);
	s->status = end->status;
	s->checks = end->checks > s->checks ? end->checks : s->checks;
	s->has_cost = end->cost;
	for (i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
		(void)js_u64(js_get(end->cost, costs[i].name),
			     (uint64_t *)((char *)s + costs[i].offset));
}

static void summary_record(struct trace *tr, void *state, const struct record *rec)
{
	struct summary *s = state;

	if (rec->ev == TRACE_CALL || rec->ev == TRACE_FORK)
		s->ends_with_exec = false;
	switch (rec->ev) {
	case TRACE_CALL:
		note_call(s, &rec->call);
		break;
	case TRACE_CHECKPOINT:
		s->is_new_checkpoint = true;
		memset(s->frame_pages_now, 0, sizeof(s->frame_pages_now));
		break;
	case TRACE_MM:
		note_mm(s, tr, &rec->mm);
		break;
	case TRACE_VERIFY:
		s->checks = rec->verify.checks > s->checks ? rec->verify.checks : s->checks;
		break;
	case TRACE_DIFF:
		s->differences[rec->diff.cause]++;
		break;
	case TRACE_FRAMES:
		if (s->is_new_checkpoint)
			s->resident = s->swapped = 0;
		s->is_new_checkpoint = false;
		s->resident += rec->frames.resident;
		s->swapped += rec->frames.swapped;
		break;
	case TRACE_FRAME_DIFF:
		note_frame_diff(s, &rec->frame_diff);
		break;
	case TRACE_EXEC:
		s->ends_with_exec = !rec->exec.errno_name;
		break;
	case TRACE_LOST:
		s->lost += rec->lost.count;
		break;
	case TRACE_THREAD:
		s->threads +=
			!strcmp(rec->thread.op, "start") || !strcmp(rec->thread.op, "present");
		break;
	case TRACE_END:
		note_end(s, &rec->end);
		break;
	default:
		break;
	}
}

void summary_fill_shadow(struct rec_figures *f, const struct mm *mm)
{
	const struct { enum rec_figure figure; uint64_t value; } own[] = {
		{ FIGURE_start_brk, mm->start_brk },
		{ FIGURE_brk, mm->brk },
		{ FIGURE_map_count, mm->map_count },
		{ FIGURE_map_count_peak, mm->map_count_peak },
		{ FIGURE_total_vm_bytes, mm->total_vm * MM_PAGE_SIZE },
		{ FIGURE_data_vm_bytes, mm->data_vm * MM_PAGE_SIZE },
		{ FIGURE_exec_vm_bytes, mm->exec_vm * MM_PAGE_SIZE },
		{ FIGURE_stack_vm_bytes, mm->stack_vm * MM_PAGE_SIZE },
		{ FIGURE_locked_vm_bytes, mm->locked_vm * MM_PAGE_SIZE },
		{ FIGURE_hiwater_vm_bytes, mm->hiwater_vm * MM_PAGE_SIZE },
		{ FIGURE_find_vma_calls, mm->find_vma_calls },
		{ FIGURE_find_vma_cache_hits, mm->find_vma_cache_hits },
	};
	size_t i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (f->known[own[i].figure])
			continue;
		f->known[own[i].figure] = true;
		f->value[own[i].figure] = own[i].value;
	}
}

/* How it ended, as far as the trace tells. */
static const char *end_how(const struct summary *s)
{
	if (*s->how)
		return s->how;
	return s->ends_with_exec ? "exec" : "killed";
}

/* Figures that depend on the whole trace having been read. */
static void complete(struct trace *tr, struct summary *s)
{
	if (!s->has_mm)
		summary_fill_shadow(&s->shadow, &tr->replay.mm);
	s->end_how = end_how(s);
	s->end_has_status = *s->how && strcmp(s->how, "exec");
}

static void summary_text(struct trace *tr, void *state)
{
	complete(tr, state);
	summary_print(tr, state);
}

static struct json_t *summary_json(struct trace *tr, void *state)
{
	complete(tr, state);
	return summary_build(tr, state);
}

static void summary_free(void *state)
{
	alloc_free(state);
}

const struct view view_summary = {
	.name = "summary",
	.brief = "what a trace says on one screen",
	.help = "",
	.takes = "",
	.flags = VIEW_HEAP,
	.start = summary_start,
	.record = summary_record,
	.text = summary_text,
	.json = summary_json,
	.free = summary_free,
};
