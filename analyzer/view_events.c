/* SPDX-License-Identifier: MIT */
/*
 * events: the calls that changed the address space, one a line, as they are read.
 */
#include <inttypes.h>

#include "alloc.h"
#include "decode.h"
#include "json.h"
#include "out.h"
#include "report.h"

struct events {
	uint64_t nr_shown;
	bool is_open;			/* the JSON array was begun */
};

static void *events_start(struct trace *tr)
{
	(void)tr;
	return alloc_zeroed(sizeof(struct events));
}

static bool events_stop(struct trace *tr, void *state, const struct record *rec)
{
	const struct events *ev = state;

	(void)rec;
	return tr->opt->limit && ev->nr_shown >= tr->opt->limit;
}

static void print_text(struct trace *tr, const struct record *rec)
{
	const struct rec_call *c = &rec->call;
	char time[OUT_SIZE_MAX];

	fprintf(tr->out, "%6" PRIu64 " %s %6" PRId64 " %-6s ", c->seq, out_time(time, rec->t),
		c->tid, record_origin_names[c->origin]);
	decode_print_call(&c->call, tr->out);
	decode_print_result(c, tr->out);
	if (c->call.file && c->file.name) {
		fputs("  ", tr->out);
		out_name(tr->out, c->file.name);
	}
	if (c->call.name) {
		fputs("  \"", tr->out);
		out_name(tr->out, c->call.name);
		fputc('"', tr->out);
	}
	fputc('\n', tr->out);
	if (tr->opt->stacks)
		symbols_print_stack(tr->symbols, c->stack, "         ", 0, tr->out);
}

static struct json_t *json_range(const struct rec_range *r)
{
	struct json_t *pair = js_array();

	js_append(pair, js_address(r->start));
	js_append(pair, js_address(r->end));
	return pair;
}

static void json_file(struct json_t *obj, const struct rec_call *c)
{
	struct json_t *file = js_object();
	char dev[24];

	snprintf(dev, sizeof(dev), "%02x:%02x", c->file.dev_major, c->file.dev_minor);
	js_set_str(file, "dev", dev);
	js_set_u64(file, "inode", c->file.inode);
	js_set_str(file, "name", c->file.name);
	js_set(obj, "file", file);
}

static struct json_t *json_call(struct trace *tr, const struct record *rec)
{
	const struct rec_call *c = &rec->call;
	struct json_t *obj = js_object();

	js_set_u64(obj, "seq", c->seq);
	js_set_u64(obj, "t", rec->t);
	js_set(obj, "tid", js_signed(c->tid));
	js_set_str(obj, "call", record_call_names[c->call.op]);
	js_set(obj, "args", decode_json_args(&c->call));
	if (c->errno_name)
		js_set_str(obj, "errno", c->errno_name);
	else if (record_returns_address(c->call.op))
		js_set_hex(obj, "ret", c->call.ret);
	else
		js_set(obj, "ret", js_signed(c->call.ret));
	js_set_str(obj, "origin", record_origin_names[c->origin]);
	if (c->call.file)
		json_file(obj, c);
	if (c->call.name)
		js_set_str(obj, "name", c->call.name);
	if (c->has_vma)
		js_set(obj, "vma", json_range(&c->vma));
	if (c->has_map_count)
		js_set_u64(obj, "map_count", c->map_count);
	if (tr->opt->stacks)
		js_set(obj, "stack", symbols_json_stack(tr->symbols, c->stack));
	return obj;
}

static void open_json(struct trace *tr, struct events *ev)
{
	if (!ev->is_open)
		fputs("{\"events\":[", tr->out);
	ev->is_open = true;
}

static void events_record(struct trace *tr, void *state, const struct record *rec)
{
	struct events *ev = state;
	struct json_t *obj;

	if (rec->ev != TRACE_CALL || (tr->opt->call >= 0 && (int)rec->call.call.op != tr->opt->call))
		return;
	if (!tr->opt->json) {
		print_text(tr, rec);
		ev->nr_shown++;
		return;
	}
	open_json(tr, ev);
	obj = json_call(tr, rec);
	fputs(ev->nr_shown++ ? ",\n" : "\n", tr->out);
	js_print(obj, tr->out, true);
	js_free(obj);
}

static void events_text(struct trace *tr, void *state)
{
	const struct events *ev = state;

	if (!ev->nr_shown)
		fputs("no calls\n", tr->out);
	if (tr->opt->stacks)
		symbols_print_notes(tr->symbols, tr->out);
}

static struct json_t *events_json(struct trace *tr, void *state)
{
	open_json(tr, state);
	fputs("\n]}\n", tr->out);
	return NULL;
}

static void events_free(void *state)
{
	alloc_free(state);
}

const struct view view_events = {
	.name = "events",
	.brief = "the calls that changed the address space, in order",
	.help = "  --call NAME      only calls of that name, such as mmap\n"
		"  --stacks         with the call stack of each\n"
		"  --limit N        stop after N calls\n",
	.takes = "csl",
	.flags = VIEW_STREAM,
	.start = events_start,
	.stop = events_stop,
	.record = events_record,
	.text = events_text,
	.json = events_json,
	.free = events_free,
};
