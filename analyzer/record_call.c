/* SPDX-License-Identifier: MIT */
/*
 * System calls: arguments as trace.h lists them, result, and what user space can't see.
 */
#include "fields.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Arguments by the words of trace.h: "addr:x length:n". */
static int call_args(struct decode *d, struct rec_call *c)
{
	struct json_t *args = js_get(d->doc, "args");
	const char *word = record_call_args[c->call.op], *colon;
	char name[32];
	size_t i;
	int64_t n;

	if (!js_is_object(args))
		return bad(d->err, "args is not an object");
	for (i = 0; *word; i++) {
		struct json_t *v;

		colon = strchr(word, ':');
		snprintf(name, sizeof(name), "%.*s", (int)(colon - word), word);
		v = js_get(args, name);
		if (colon[1] == 'x' ? js_hex(v, &c->call.arg[i]) : js_i64(v, &n))
			return bad(d->err, "args.%s is %s", name,
				   v ? "of the wrong type" : "missing");
		if (colon[1] == 'n')
			c->call.arg[i] = n;
		word = colon[2] ? colon + 3 : colon + 2;
	}
	return 0;
}

bool record_returns_address(enum mm_op op)
{
	return op == MM_MMAP || op == MM_MREMAP || op == MM_BRK || op == MM_SHMAT;
}

static int call_result(struct decode *d, struct rec_call *c)
{
	struct json_t *ret = js_get(d->doc, "ret"), *nr = js_get(d->doc, "errno_nr");
	uint64_t n;

	if (ret) {
		if (record_returns_address(c->call.op) ? js_hex(ret, &n) : js_u64(ret, &n))
			return bad(d->err, "ret is not %s", record_returns_address(c->call.op) ?
				   "a hex string \"0x…\"" : "a number from 0 on");
		if (n > INT64_MAX)
			return bad(d->err, "ret is out of range");
		c->call.ret = n;
		return 0;
	}
	c->errno_name = js_str(js_get(d->doc, "errno"));
	if (!c->errno_name)
		return bad(d->err, "neither ret nor errno is there");
	if (js_u64(nr, &n) || n < 1 || n > 4095)
		return bad(d->err, "errno_nr is not a number from 1 to 4095");
	c->call.ret = -(int64_t)n;
	return 0;
}

static const struct field file_fields[] = {
	FIELD(struct vma_file, inode, 0, F_U64),
	{ "hugetlb", F_BOOL, offsetof(struct vma_file, is_hugetlb), OPTIONAL },
	{ "no_write", F_BOOL, offsetof(struct vma_file, no_write), OPTIONAL },
	{ "no_exec", F_BOOL, offsetof(struct vma_file, no_exec), OPTIONAL },
	{ "close", F_BOOL, offsetof(struct vma_file, has_close), OPTIONAL },
};

static int call_file(struct decode *d, struct rec_call *c)
{
	struct json_t *file = js_get(d->doc, "file");
	const char *dev = js_str(js_get(file, "dev"));

	if (!file)
		return 0;
	if (!js_is_object(file))
		return bad(d->err, "file is not an object");
	if (TAKE(d, file, "file", file_fields, &c->file) ||
	    take_name(d, file, "name", "name_hex", &c->file.name))
		return -EINVAL;
	if (!dev || !take_dev(dev, &c->file.dev_major, &c->file.dev_minor))
		return bad(d->err, "file.dev is not MAJOR:MINOR in hex");
	c->call.file = &c->file;
	return 0;
}

/* What process_madvise() was about. */
static int call_advised(struct decode *d, struct rec_call *c)
{
	struct json_t *ranges = js_get(d->doc, "ranges");
	struct mm_range *range;
	struct rec_range r;

	if (!ranges)
		return 0;
	if (!js_is_array(ranges))
		return bad(d->err, "ranges is not an array");
	c->call.nr_ranges = js_len(ranges);
	range = scratch_alloc(d->scratch, c->call.nr_ranges, sizeof(*range));
	c->call.ranges = range;
	for (size_t i = 0; i < c->call.nr_ranges; i++) {
		if (take_range(js_at(ranges, i), &r))
			return bad(d->err, "ranges[%zu] is not [start, end]", i);
		range[i] = (struct mm_range){ r.start, r.end };
	}
	return 0;
}

static int call_ranges(struct decode *d, struct rec_call *c)
{
	struct json_t *vma = js_get(d->doc, "vma"), *resolved = js_get(d->doc, "resolved");
	size_t i;

	if (vma && take_range(vma, &c->vma))
		return bad(d->err, "vma is not [start, end]");
	c->has_vma = vma;
	if (!resolved)
		return 0;
	if (!js_is_array(resolved))
		return bad(d->err, "resolved is not an array");
	c->nr_resolved = js_len(resolved);
	c->resolved = scratch_alloc(d->scratch, c->nr_resolved, sizeof(*c->resolved));
	for (i = 0; i < c->nr_resolved; i++)
		if (take_range(js_at(resolved, i), &c->resolved[i]) ||
		    !is_page_range(c->resolved[i].start, c->resolved[i].end))
			return bad(d->err, "resolved[%zu] is no range of pages", i);
	return 0;
}

static const struct field call_fields[] = {
	FIELD(struct rec_call, seq, 0, F_U64),
	FIELD(struct rec_call, tid, 0, F_I64),
	FIELD(struct rec_call, pid, OPTIONAL, F_I64),
	FIELD(struct rec_call, stack, OPTIONAL, F_U32),
	FIELD(struct rec_call, map_count, OPTIONAL, F_U64),
	FIELD(struct rec_call, predicted, OPTIONAL, F_HEX),
	{ "len", F_U64, offsetof(struct rec_call, call.len), OPTIONAL },
	{ "passed", F_HEX, offsetof(struct rec_call, call.passed), OPTIONAL },
	{ "stopped", F_HEX, offsetof(struct rec_call, call.stopped), OPTIONAL },
};

int decode_call(struct decode *d, struct record *rec)
{
	struct rec_call *c = &rec->call;
	const char *call = js_str(js_get(d->doc, "call"));
	const char *origin = js_str(js_get(d->doc, "origin"));
	int op, from;

	if (TAKE(d, d->doc, "", call_fields, c))
		return -EINVAL;
	op = call ? find_name(record_call_names, MM_OP_COUNT, call) : -1;
	if (op < 0)
		return bad(d->err, "call is missing or unknown");
	from = origin ? find_name(record_origin_names, TRACE_NR_ORIGINS, origin) : -1;
	if (from < 0)
		return bad(d->err, "origin is missing or unknown");
	c->call.op = op;
	c->origin = from;
	c->call.event = c->seq;
	c->call.own = from == TRACE_ORIGIN_SELF;
	c->has_map_count = js_get(d->doc, "map_count");
	c->has_predicted = js_get(d->doc, "predicted");
	if (call_args(d, c) || call_result(d, c) || call_file(d, c) || call_ranges(d, c) ||
	    call_advised(d, c))
		return -EINVAL;
	return take_name(d, d->doc, "name", "name_hex", &c->call.name);
}
