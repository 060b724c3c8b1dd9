/* SPDX-License-Identifier: MIT */
/* An event as a line of the trace. */
#include "event.h"

#include <string.h>

#include "capture.h"
#include "errnames.h"
#include "jsonw.h"
#include "recorder.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

static const struct {
	const char *name, *args;
} calls[MM_OP_COUNT] = {
#define CALL(op, name, args) [op] = { name, args },
	TRACE_CALLS(CALL)
#undef CALL
};

static const char *const origins[] = {
#define ORIGIN(symbol, name) name,
	TRACE_ORIGINS(ORIGIN)
#undef ORIGIN
};

/* One argument as the trace names it. */
struct arg {
	const char *key;
	size_t len;
	bool is_hex;
};

/* "addr:x length:d" taken apart, once for each call. Under the lock. */
static const struct arg *args_of(enum mm_op op)
{
	static struct arg all[MM_OP_COUNT][7];
	const char *s = calls[op].args;
	struct arg *arg = all[op];

	if (arg->key)
		return arg;
	for (; *s && arg < all[op] + 6; arg++) {
		size_t n = (size_t)(strchr(s, ':') - s);

		*arg = (struct arg){ .key = s, .len = n, .is_hex = s[n + 1] == 'x' };
		s += n + 2;
		s += *s == ' ';
	}
	return all[op];
}

static void put_args(struct jsonw *w, const struct mm_call *call)
{
	const struct arg *arg = args_of(call->op);
	const uint64_t *value = call->arg;

	jsonw_object(w, "args");
	for (; arg->key; arg++, value++) {
		if (arg->is_hex)
			jsonw_hex_n(w, arg->key, arg->len, *value);
		else
			jsonw_num_n(w, arg->key, arg->len, (int64_t)*value);
	}
	jsonw_object_end(w);
}

static void put_file(struct jsonw *w, const struct vma_file *file)
{
	jsonw_object(w, "file");
	verify_put_dev(w, "dev", file->dev_major, file->dev_minor);
	jsonw_num(w, "inode", (int64_t)file->inode);
	jsonw_str(w, "name", file->name ? file->name : "");
	if (file->is_hugetlb)
		jsonw_bool(w, "hugetlb", true);
	if (file->no_write)
		jsonw_bool(w, "no_write", true);
	if (file->no_exec)
		jsonw_bool(w, "no_exec", true);
	if (file->has_close)
		jsonw_bool(w, "close", true);
	jsonw_object_end(w);
}

static void put_result(struct jsonw *w, const struct mm_call *call)
{
	if (sys_is_err(call->ret)) {
		jsonw_str(w, "errno", errname((int)-call->ret));
		jsonw_num(w, "errno_nr", -call->ret);
	} else if (event_is_mmap_like(call->op)) {
		jsonw_hex(w, "ret", (uint64_t)call->ret);
	} else {
		jsonw_num(w, "ret", call->ret);
	}
}

static void put_ranges(struct jsonw *w, const struct mm_call *call)
{
	jsonw_array(w, "ranges");
	for (size_t i = 0; i < call->nr_ranges; i++) {
		jsonw_array(w, NULL);
		jsonw_hex(w, NULL, call->ranges[i].start);
		jsonw_hex(w, NULL, call->ranges[i].end);
		jsonw_array_end(w);
	}
	jsonw_array_end(w);
}

static void put_effect(struct jsonw *w, const struct event *e)
{
	int i;

	jsonw_num(w, "map_count", capture_mm.map_count);
	if (e->effect.vma && event_is_mmap_like(e->call.op)) {
		jsonw_array(w, "vma");
		jsonw_hex(w, NULL, e->effect.vma->vm_start);
		jsonw_hex(w, NULL, e->effect.vma->vm_end);
		jsonw_array_end(w);
	}
	if (e->nr_resolved) {
		jsonw_array(w, "resolved");
		for (i = 0; i < e->nr_resolved; i++) {
			jsonw_array(w, NULL);
			jsonw_hex(w, NULL, e->resolved[i][0]);
			jsonw_hex(w, NULL, e->resolved[i][1]);
			jsonw_array_end(w);
		}
		jsonw_array_end(w);
	}
	if (e->call.passed)
		jsonw_hex(w, "passed", e->call.passed);
	if (e->call.stopped)
		jsonw_hex(w, "stopped", e->call.stopped);
	if (e->effect.predicted)
		jsonw_hex(w, "predicted", e->effect.predicted);
}

void event_record(const struct event *e)
{
	struct jsonw *w = recorder_writer();

	jsonw_event(w, "call");
	jsonw_num(w, "seq", (int64_t)e->call.event);
	jsonw_num(w, "t", (int64_t)e->ns);
	jsonw_num(w, "tid", e->tid);
	if (thread_is_in_other_process())
		jsonw_num(w, "pid", sys_getpid());
	jsonw_str(w, "call", calls[e->call.op].name);
	put_args(w, &e->call);
	put_result(w, &e->call);
	jsonw_str(w, "origin", origins[e->origin]);
	jsonw_num(w, "stack", e->stack);
	if (e->call.file)
		put_file(w, e->call.file);
	if (e->call.len)
		jsonw_num(w, "len", (int64_t)e->call.len);
	if (e->call.name)
		jsonw_str(w, "name", e->call.name);
	if (e->call.nr_ranges)
		put_ranges(w, &e->call);
	put_effect(w, e);
	recorder_commit_model(w);
}
