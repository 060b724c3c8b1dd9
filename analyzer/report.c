/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <string.h>

static void setup(struct trace *tr, const struct view *view, const struct options *opt, FILE *out)
{
	tr->view = view;
	tr->opt = opt;
	tr->out = out;
	replay_init(&tr->replay);
	stacks_init(&tr->stacks);
	heap_init(&tr->heap);
	tr->symbols = symbols_new(&tr->stacks, !opt->no_symbols);
}

int trace_open(struct trace *tr, const struct view *view, const struct options *opt,
	       const char *path, FILE *out)
{
	*tr = (struct trace){ 0 };
	setup(tr, view, opt, out);
	return reader_open(&tr->reader, path, view->flags & (VIEW_HEAP | VIEW_AGAIN));
}

void trace_open_reader(struct trace *tr, const struct view *view, const struct options *opt,
		       const struct reader *reader)
{
	*tr = (struct trace){ 0 };
	setup(tr, view, opt, NULL);
	tr->reader = *reader;
}

int trace_open_memory(struct trace *tr, const struct view *view, const struct options *opt,
		      const void *data, size_t len, FILE *out)
{
	*tr = (struct trace){ 0 };
	setup(tr, view, opt, out);
	return reader_open_memory(&tr->reader, "memory", data, len);
}

void trace_close(struct trace *tr)
{
	symbols_free(tr->symbols);
	heap_fini(&tr->heap);
	page_classes_fini(&tr->classes);
	stacks_fini(&tr->stacks);
	replay_fini(&tr->replay);
	reader_close(&tr->reader);
}

int trace_rewind(struct trace *tr)
{
	symbols_free(tr->symbols);
	heap_fini(&tr->heap);
	page_classes_fini(&tr->classes);
	stacks_fini(&tr->stacks);
	replay_fini(&tr->replay);
	setup(tr, tr->view, tr->opt, tr->out);
	tr->has_header = false;
	tr->t_last = 0;
	memset(tr->nr_records, 0, sizeof(tr->nr_records));
	return reader_rewind(&tr->reader);
}

static int take_record(struct trace *tr, const struct record *rec)
{
	const char *why = "";

	if (rec->ev == TRACE_NR_EVENTS)
		return 0;
	tr->nr_records[rec->ev]++;
	if (rec->t > tr->t_last)
		tr->t_last = rec->t;
	if (replay_record(&tr->replay, rec, &why))
		return reader_fail(&tr->reader, rec->line, "%s", why);
	if (rec->ev == TRACE_HEADER) {
		tr->header = rec->header;
		tr->has_header = true;
	} else if (rec->ev == TRACE_MODULE) {
		stacks_add_module(&tr->stacks, &rec->module);
	} else if (rec->ev == TRACE_STACK) {
		stacks_add(&tr->stacks, &rec->stack);
	} else if (rec->ev == TRACE_PAGE_CLASS) {
		page_classes_add(&tr->classes, &rec->page_class);
	} else if (rec->ev == TRACE_FRAMES && !page_classes_agree(&tr->classes, &rec->frames)) {
		return reader_fail(&tr->reader, rec->line,
				   "frames: resident and swapped are not what the runs add up to");
	}
	if (tr->view->flags & VIEW_HEAP)
		heap_locate(&tr->heap, rec);
	if (rec->ev == TRACE_CALL && rec->call.seq <= tr->opt->at.value)
		tr->at_t = rec->t;
	return 0;
}

int trace_read(struct trace *tr, void *state,
	       bool (*stop)(struct trace *trace, void *state, const struct record *rec),
	       void (*record)(struct trace *trace, void *state, const struct record *rec))
{
	struct record rec;
	int err;

	reader_show_progress(&tr->reader);
	while ((err = reader_next(&tr->reader, &rec)) > 0) {
		if (stop && stop(tr, state, &rec)) {
			err = 0;
			goto out_progress;
		}
		err = take_record(tr, &rec);
		if (err)
			break;
		if (record && rec.ev != TRACE_NR_EVENTS)
			record(tr, state, &rec);
	}
	replay_finish(&tr->replay);
out_progress:
	progress_end(&tr->reader.progress);
	return err;
}

/* When the moment asked for was; UINT64_MAX: at the end. That of the peak is known later. */
static uint64_t heap_moment(const struct trace *tr)
{
	const struct moment *at = &tr->opt->at;

	if (tr->has_heap_until)
		return tr->heap_until;
	if (at->kind == MOMENT_START)
		return 0;
	if (at->kind == MOMENT_TIME)
		return at->value;
	return at->kind == MOMENT_EVENT && at->value <= tr->reader.seq ? tr->at_t : UINT64_MAX;
}

int trace_run_heap(struct trace *tr)
{
	bool to_peak = tr->opt->at.kind == MOMENT_PEAK;
	struct heap *h = &tr->heap;
	int err;

	tr->heap_t = heap_moment(tr);
	reader_show_heap_progress(&tr->reader, to_peak ? 2 : 1);
	err = to_peak ? heap_run_until_peak(h, &tr->reader) :
			heap_run_until(h, &tr->reader, tr->heap_t);
	progress_end(&tr->reader.progress);
	if (to_peak)
		tr->heap_t = h->peak_t;
	else if (tr->heap_t == UINT64_MAX)
		tr->heap_t = tr->t_last > h->peak_t ? tr->t_last : h->peak_t;
	return err;
}

int trace_run(struct trace *tr, struct json_t **ret_json)
{
	const struct view *view = tr->view;
	void *state = view->start(tr);
	int err = 0;

	*ret_json = NULL;
	if (!*tr->reader.error)
		err = trace_read(tr, state, view->stop, view->record);
	if (tr->has_header && view->flags & VIEW_HEAP) {
		int heap_err = trace_run_heap(tr);

		err = err ? err : heap_err;
	}
	if (*tr->reader.error && !err)
		err = -EINVAL;
	tr->is_damaged = err;
	if (tr->has_header) {
		if (tr->opt->json)
			*ret_json = view->json(tr, state);
		else
			view->text(tr, state);
	}
	view->free(state);
	return err;
}
