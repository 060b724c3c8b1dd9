/* SPDX-License-Identifier: MIT */
#include "findings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "heap_findings_show.h"
#include "json.h"

enum {
	MAX_OF_A_KIND = 20,		/* mappings named one by one */
	NEAR_LIMIT_PERCENT = 80,
};

static const char *const severities[] = { "info", "warning", "error" };

const char *finding_severity(const struct finding *f)
{
	return severities[f->severity];
}

__attribute__((format(printf, 4, 5)))
static struct finding *add(struct findings *fs, enum finding_level severity, const char *kind,
			   const char *format, ...)
{
	struct finding *f;
	va_list ap;

	fs->list = alloc_grow(fs->list, fs->nr, &fs->cap, sizeof(*fs->list));
	f = &fs->list[fs->nr++];
	*f = (struct finding){ .severity = severity, .kind = kind };
	va_start(ap, format);
	if (vasprintf(&f->text, format, ap) < 0)
		alloc_failed();
	va_end(ap);
	return f;
}

static bool is_deleted(const char *name)
{
	size_t n = strlen(name);

	return n > 10 && !strcmp(name + n - 10, " (deleted)") && strncmp(name, "/memfd:", 7) &&
	       strncmp(name, "/SYSV", 5) && strncmp(name, "/dev/zero", 9) &&
	       strncmp(name, "/[aio]", 6) && strncmp(name, "/secretmem", 10);
}

/* Kind and severity of what is wrong with a mapping; NULL: nothing. */
static const char *judge(const struct vma_desc *desc, enum finding_level *severity,
			 const char **what)
{
	*severity = FINDING_WARNING;
	if (desc->vm_flags & VM_EXEC && !strcmp(desc->name, "[stack]")) {
		*what = "the stack is executable";
		return "exec_stack";
	}
	if (desc->vm_flags & VM_EXEC && !strcmp(desc->name, "[heap]")) {
		*what = "the heap is executable";
		return "exec_heap";
	}
	if (desc->vm_flags & VM_EXEC && desc->vm_flags & VM_WRITE) {
		*what = "writable and executable";
		return "wx_mapping";
	}
	if (is_deleted(desc->name)) {
		*severity = FINDING_INFO;
		*what = "a deleted file is mapped";
		return "deleted_file";
	}
	return NULL;
}

static void check_mappings(struct findings *fs, struct mm *mm)
{
	struct vma *vma;
	size_t nr = 0;

	for (vma = mm->first; vma; vma = vma->vm_next) {
		enum finding_level severity;
		struct vma_desc desc;
		const char *kind, *what;
		struct finding *f;

		vma_describe(mm, vma, &desc);
		if (!desc.name)
			desc.name = "";
		kind = vma->own ? NULL : judge(&desc, &severity, &what);
		if (!kind || nr++ >= MAX_OF_A_KIND)
			continue;
		f = add(fs, severity, kind, "%s: %" PRIx64 "-%" PRIx64 " %s", what, desc.vm_start,
			desc.vm_end, *desc.name ? desc.name : "(anonymous)");
		f->has_range = true;
		f->start = desc.vm_start;
		f->end = desc.vm_end;
	}
	if (nr > MAX_OF_A_KIND)
		add(fs, FINDING_WARNING, "more_mappings", "%zu more mappings like these",
		    nr - MAX_OF_A_KIND);
}

static void check_map_count(struct findings *fs, const struct trace *tr, const struct summary *s)
{
	uint64_t peak = s->shadow.value[FIGURE_map_count_peak];
	uint32_t max = tr->replay.mm.max_map_count;

	if (max && peak >= (uint64_t)max * NEAR_LIMIT_PERCENT / 100)
		add(fs, FINDING_WARNING, "map_count",
		    "%" PRIu64 " mappings at the peak, the limit is %u", peak, max)->count = peak;
}

static void check_differences(struct findings *fs, const struct summary *s)
{
	uint64_t n = s->differences[TRACE_CAUSE_UNEXPLAINED];

	if (n)
		add(fs, FINDING_ERROR, "unexplained",
		    "%" PRIu64 " unexplained differences between shadow and kernel", n)->count = n;
	n = s->differences[TRACE_CAUSE_NOT_CAPTURED];
	if (n)
		add(fs, FINDING_WARNING, "not_captured",
		    "%" PRIu64 " changes of the map were not captured", n)->count = n;
}

static void check_frames(struct findings *fs, const struct summary *s)
{
	static const char *const kinds[] = {
		[TRACE_FRAME_CAUSE_OUTSIDE] = "frames_outside",
		[TRACE_FRAME_CAUSE_ANON_SHARED] = "frames_anon_shared",
	};
	int i;

	for (i = 0; i < TRACE_NR_FRAME_CAUSES; i++)
		if (s->frame_pages[i])
			add(fs, FINDING_WARNING, kinds[i], "%" PRIu64 " pages %s", s->frame_pages[i],
			    record_frame_cause_texts[i])->count = s->frame_pages[i];
}

static void check_capture(struct findings *fs, const struct trace *tr, const struct summary *s)
{
	const struct rec_header *h = &tr->header;
	void *it;

	if (h->asked && strcmp(h->asked, h->tier))
		add(fs, FINDING_WARNING, "tier", "capture tier %s was asked for, %s was reached",
		    h->asked, h->tier);
	for (it = h->self_test ? js_iter(h->self_test) : NULL; it; it = js_next(h->self_test, it))
		if (js_is_bool(js_value(it)) && !js_is_true(js_value(it)))
			add(fs, FINDING_WARNING, "self_test",
			    "a trial %s at start was not captured", js_key(it));
	if (s->lost)
		add(fs, FINDING_ERROR, "lost", "%" PRIu64 " records were lost", s->lost)->count =
			s->lost;
	if (tr->replay.nr_diverged)
		add(fs, FINDING_ERROR, "replay",
		    "the replay disagrees with the recorder at %" PRIu64 " of %" PRIu64
		    " checks, first at event %" PRIu64,
		    tr->replay.nr_diverged, tr->replay.nr_checked, tr->replay.diverged_seq)->count =
			tr->replay.nr_diverged;
	if (tr->reader.nr_missing)
		add(fs, FINDING_WARNING, "missing_calls",
		    "%" PRIu64 " calls are missing from the trace", tr->reader.nr_missing)
			->count = tr->reader.nr_missing;
	if (tr->reader.nr_torn)
		add(fs, FINDING_INFO, "torn",
		    "%" PRIu64 " records were cut off when the process died", tr->reader.nr_torn)
			->count = tr->reader.nr_torn;
	if (*tr->reader.error)
		add(fs, FINDING_ERROR, "damaged", "the trace is damaged: %s", tr->reader.error);
}

static void check_frees(struct findings *fs, const struct heap *h)
{
	uint64_t nr = h->double_frees + h->invalid_frees;
	size_t i;

	for (i = 0; i < h->nr_findings && i < MAX_OF_A_KIND; i++) {
		char *text = heap_finding_text(&h->findings[i]);

		add(fs, FINDING_ERROR, heap_finding_word(&h->findings[i]), "%s", text)->free =
			&h->findings[i];
		alloc_free(text);
	}
	if (nr > i)
		add(fs, FINDING_ERROR, "more_frees", "%" PRIu64 " more double or invalid frees",
		    nr - i)->count = nr - i;
}

static void check_heap(struct findings *fs, const struct trace *tr)
{
	check_frees(fs, &tr->heap);
	if (tr->heap.overwritten)
		add(fs, FINDING_WARNING, "heap_overwritten",
		    "%" PRIu64 " blocks were handed out again without a free in between",
		    tr->heap.overwritten)->count = tr->heap.overwritten;
}

static void check_end(struct findings *fs, const struct summary *s)
{
	if (!strcmp(s->end_how, "killed"))
		add(fs, FINDING_INFO, "no_end",
		    "the trace has no end: the process runs, was killed or crashed");
}

void findings_collect(struct findings *fs, struct trace *tr, const struct summary *s)
{
	check_capture(fs, tr, s);
	check_differences(fs, s);
	check_frames(fs, s);
	check_mappings(fs, &tr->replay.mm);
	check_map_count(fs, tr, s);
	check_heap(fs, tr);
	check_end(fs, s);
}

void findings_fini(struct findings *fs)
{
	size_t i;

	for (i = 0; i < fs->nr; i++)
		free(fs->list[i].text);
	alloc_free(fs->list);
}

struct json_t *finding_json(const struct finding *f)
{
	struct json_t *obj = js_object();

	js_set_str(obj, "severity", finding_severity(f));
	js_set_str(obj, "kind", f->kind);
	js_set_str(obj, "text", f->text);
	if (f->has_range) {
		js_set_hex(obj, "start", f->start);
		js_set_hex(obj, "end", f->end);
	}
	if (f->count)
		js_set_u64(obj, "count", f->count);
	if (f->free) {
		js_set_u64(obj, "t", f->free->t);
		js_set(obj, "tid", js_signed(f->free->tid));
		js_set_hex(obj, "addr", f->free->addr);
	}
	return obj;
}
