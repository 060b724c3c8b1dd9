/* SPDX-License-Identifier: MIT */
/*
 * maps: /proc/PID/maps as the kernel would have printed it at some moment of the trace.
 *
 * The peak is found by a pass of its own. With --why another pass collects the calls that made the
 * vmas found at that moment: only those, so that memory does not grow with the number of calls.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "alloc.h"
#include "decode.h"
#include "json.h"
#include "out.h"
#include "report.h"
#include "vma_show.h"

struct maker {
	uint64_t seq, t;
	uint32_t stack;
	enum mm_op op;
	enum trace_origin origin;
	bool is_known;
};

struct maps {
	struct moment at;
	struct maker *makers;		/* by seq */
	size_t nr_makers, cap_makers;
};

static void *maps_start(struct trace *tr)
{
	struct maps *maps = alloc_zeroed(sizeof(*maps));

	maps->at = tr->opt->at;
	if (maps->at.kind == MOMENT_PEAK) {
		uint64_t seq;

		trace_read(tr, NULL, NULL, NULL);
		seq = tr->replay.peak_seq;
		maps->at = (struct moment){ seq ? MOMENT_EVENT : MOMENT_START, seq };
		if (!*tr->reader.error)
			trace_rewind(tr);
	}
	return maps;
}

static bool maps_stop(struct trace *tr, void *state, const struct record *rec)
{
	struct maps *maps = state;

	(void)tr;
	return moment_is_before(&maps->at, rec);
}

static int compare_makers(const void *a, const void *b)
{
	const struct maker *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

static struct maker *find_maker(const struct maps *maps, uint64_t seq)
{
	struct maker key = { .seq = seq };

	return maps->nr_makers ? bsearch(&key, maps->makers, maps->nr_makers, sizeof(key),
					 compare_makers) : NULL;
}

/* The pass for --why: remember the calls wanted. */
static void note_maker(struct trace *tr, void *state, const struct record *rec)
{
	struct maker *maker;

	(void)tr;
	if (rec->ev != TRACE_CALL)
		return;
	maker = find_maker(state, rec->call.seq);
	if (!maker)
		return;
	maker->t = rec->t;
	maker->stack = rec->call.stack;
	maker->op = rec->call.call.op;
	maker->origin = rec->call.origin;
	maker->is_known = true;
}

static void collect_makers(struct trace *tr, struct maps *maps)
{
	struct vma *vma;
	size_t i, nr = 0;

	for (vma = tr->replay.mm.first; vma; vma = vma->vm_next) {
		if (!vma->event)
			continue;
		maps->makers = alloc_grow(maps->makers, maps->nr_makers, &maps->cap_makers,
					  sizeof(*maps->makers));
		maps->makers[maps->nr_makers++] = (struct maker){ .seq = vma->event };
	}
	if (!maps->nr_makers)
		return;
	qsort(maps->makers, maps->nr_makers, sizeof(*maps->makers), compare_makers);
	for (i = 0; i < maps->nr_makers; i++)
		if (!i || maps->makers[i].seq != maps->makers[nr - 1].seq)
			maps->makers[nr++] = maps->makers[i];
	maps->nr_makers = nr;
}

/*
 * Read again up to the same moment. The replay is left alone: its mm is what is to be shown.
 */
static void find_makers(struct trace *tr, struct maps *maps)
{
	struct record rec;

	collect_makers(tr, maps);
	if (!maps->nr_makers || reader_rewind(&tr->reader))
		return;
	while (reader_next(&tr->reader, &rec) > 0 && !moment_is_before(&maps->at, &rec))
		note_maker(tr, maps, &rec);
}

static bool is_shown(const struct trace *tr, const struct vma *vma)
{
	return tr->opt->own || !vma->own;
}

static void print_why(struct trace *tr, const struct maps *maps, const struct vma *vma)
{
	const struct maker *maker = find_maker(maps, vma->event);
	char time[OUT_SIZE_MAX];

	if (!vma->event)
		fputs("    at start", tr->out);
	else if (!maker || !maker->is_known)
		fprintf(tr->out, "    by event %" PRIu64, vma->event);
	else
		fprintf(tr->out, "    by event %" PRIu64 ": %s (%s) at %s s", vma->event,
			record_call_names[maker->op], record_origin_names[maker->origin],
			out_time(time, maker->t));
	fprintf(tr->out, "; separate from the one below: %s\n",
		vma_boundary_name(vma_boundary(&tr->replay.mm, vma)));
	if (maker && maker->is_known && maker->stack)
		symbols_print_stack(tr->symbols, maker->stack, "        ", 0, tr->out);
}

static void maps_text(struct trace *tr, void *state)
{
	struct mm *mm = &tr->replay.mm;
	struct vma_desc desc;
	struct vma *vma;

	if (tr->opt->why)
		find_makers(tr, state);
	for (vma = mm->first; vma; vma = vma->vm_next) {
		if (!is_shown(tr, vma))
			continue;
		vma_describe(mm, vma, &desc);
		vma_print_line(&desc, tr->opt->terminal, tr->out);
		if (tr->opt->why)
			print_why(tr, state, vma);
	}
	if (tr->replay.has_vsyscall) {
		desc = vma_vsyscall(tr->replay.vsyscall_flags);
		vma_print_line(&desc, tr->opt->terminal, tr->out);
	}
}

static void json_why(struct trace *tr, const struct maps *maps, const struct vma *vma,
		     struct json_t *obj)
{
	const struct maker *maker = find_maker(maps, vma->event);

	js_set_u64(obj, "event", vma->event);
	js_set_str(obj, "boundary", vma_boundary_name(vma_boundary(&tr->replay.mm, vma)));
	if (!maker || !maker->is_known)
		return;
	js_set_str(obj, "call", record_call_names[maker->op]);
	js_set_str(obj, "origin", record_origin_names[maker->origin]);
	js_set_u64(obj, "t", maker->t);
	js_set(obj, "stack", symbols_json_stack(tr->symbols, maker->stack));
}

static struct json_t *maps_json(struct trace *tr, void *state)
{
	struct json_t *obj = js_object(), *list = js_array();
	struct mm *mm = &tr->replay.mm;
	struct vma_desc desc;
	struct vma *vma;

	if (tr->opt->why)
		find_makers(tr, state);
	js_set_u64(obj, "event", tr->replay.seq);
	js_set_u64(obj, "map_count", mm->map_count);
	for (vma = mm->first; vma; vma = vma->vm_next) {
		struct json_t *line;

		if (!is_shown(tr, vma))
			continue;
		vma_describe(mm, vma, &desc);
		line = vma_json_line(&desc);
		if (vma->own)
			js_set_bool(line, "own", true);
		if (tr->opt->why)
			json_why(tr, state, vma, line);
		js_append(list, line);
	}
	if (tr->replay.has_vsyscall) {
		desc = vma_vsyscall(tr->replay.vsyscall_flags);
		js_append(list, vma_json_line(&desc));
	}
	js_set(obj, "maps", list);
	return obj;
}

static void maps_free(void *state)
{
	struct maps *maps = state;

	alloc_free(maps->makers);
	alloc_free(maps);
}

const struct view view_maps = {
	.name = "maps",
	.brief = "the kernel's text of /proc/PID/maps at some moment of the trace",
	.help = "  --at start|end|peak|EVENT|TIME  the moment: the first map, the last one (default), the\n"
		"                   greatest mapped size, after a call's number, or a time since\n"
		"                   start with ns, us, ms or s\n"
		"  --own            show vmtrace's own mappings too\n"
		"  --why            add which event and stack made each line, and why it is separate\n",
	.takes = "aow",
	.flags = VIEW_AGAIN,
	.start = maps_start,
	.stop = maps_stop,
	.text = maps_text,
	.json = maps_json,
	.free = maps_free,
};
