/* SPDX-License-Identifier: MIT */
/*
 * Decoding of lines: which decoder takes which kind, and the short ones.
 */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fields.h"

#define NAME_EVENT(symbol, name) [TRACE_##symbol] = name,
const char *const record_event_names[TRACE_NR_EVENTS] = { TRACE_EVENTS(NAME_EVENT) };
#define NAME_CALL(op, name, args) [op] = name,
const char *const record_call_names[MM_OP_COUNT] = { TRACE_CALLS(NAME_CALL) };
#define NAME_ARGS(op, name, args) [op] = args,
const char *const record_call_args[MM_OP_COUNT] = { TRACE_CALLS(NAME_ARGS) };
#define NAME_ORIGIN(symbol, name) [TRACE_ORIGIN_##symbol] = name,
const char *const record_origin_names[TRACE_NR_ORIGINS] = { TRACE_ORIGINS(NAME_ORIGIN) };
#define NAME_CAUSE(symbol, name) [TRACE_CAUSE_##symbol] = name,
const char *const record_cause_names[TRACE_NR_CAUSES] = { TRACE_CAUSES(NAME_CAUSE) };
#define NAME_FRAME_CAUSE(symbol, name) [TRACE_FRAME_CAUSE_##symbol] = name,
const char *const record_frame_cause_names[TRACE_NR_FRAME_CAUSES] = { TRACE_FRAME_CAUSES(NAME_FRAME_CAUSE) };
const char *const record_frame_cause_texts[TRACE_NR_FRAME_CAUSES] = {
	[TRACE_FRAME_CAUSE_OUTSIDE] = "where the model has no mapping",
	[TRACE_FRAME_CAUSE_ANON_SHARED] = "that are anonymous, in a shared mapping",
};

bool record_perms(const char *perms, uint64_t *ret_flags)
{
	uint64_t flags = 0;

	if (strlen(perms) != 4)
		return false;
	if ((perms[0] != 'r' && perms[0] != '-') || (perms[1] != 'w' && perms[1] != '-') ||
	    (perms[2] != 'x' && perms[2] != '-') || (perms[3] != 'p' && perms[3] != 's'))
		return false;
	flags |= perms[0] == 'r' ? VM_READ : 0;
	flags |= perms[1] == 'w' ? VM_WRITE : 0;
	flags |= perms[2] == 'x' ? VM_EXEC : 0;
	flags |= perms[3] == 's' ? VM_SHARED | VM_MAYSHARE : 0;
	*ret_flags = flags;
	return true;
}

struct vma_line {
	const char *perms, *dev;
	uint64_t flags;
};

static const struct field vma_fields[] = {
	{ "start", F_HEX, offsetof(struct vma_desc, vm_start), 0 },
	{ "end", F_HEX, offsetof(struct vma_desc, vm_end), 0 },
	FIELD(struct vma_desc, offset, 0, F_U64),
	FIELD(struct vma_desc, inode, 0, F_U64),
	{ "flags_unknown", F_HEX, offsetof(struct vma_desc, vm_flags_unknown), OPTIONAL },
	FIELD(struct vma_desc, anon_vma, OPTIONAL, F_BOOL),
	FIELD(struct vma_desc, own, OPTIONAL, F_BOOL),
};

static const struct field vma_line_fields[] = {
	FIELD(struct vma_line, perms, 0, F_STR),
	FIELD(struct vma_line, dev, 0, F_STR),
	FIELD(struct vma_line, flags, OPTIONAL, F_HEX),
};

/* Whether complete @flags print as the permissions @perms; a read-only file shared lacks VM_SHARED. */
static bool flags_fit(uint64_t flags, uint64_t perms)
{
	uint64_t visible = VM_READ | VM_WRITE | VM_EXEC | VM_MAYSHARE;

	return (flags & visible) == (perms & visible) &&
	       (!(flags & VM_SHARED) || flags & VM_MAYSHARE);
}

static int decode_vma(struct decode *d, struct record *rec)
{
	struct vma_desc *desc = &rec->vma;
	struct vma_line line = { 0 };

	if (TAKE(d, d->doc, "", vma_fields, desc) || TAKE(d, d->doc, "", vma_line_fields, &line) ||
	    take_name(d, d->doc, "name", "name_hex", &desc->name))
		return -EINVAL;
	if (!is_page_range(desc->vm_start, desc->vm_end))
		return bad(d->err, "start and end are no range of pages");
	if (!record_perms(line.perms, &desc->vm_flags))
		return bad(d->err, "perms is no permission string");
	if (!take_dev(line.dev, &desc->dev_major, &desc->dev_minor))
		return bad(d->err, "dev is not MAJOR:MINOR in hex");
	desc->anon_vma = desc->anon_vma && !(desc->vm_flags & VM_MAYSHARE);
	if (!js_get(d->doc, "flags"))
		return 0;
	if (!flags_fit(line.flags, desc->vm_flags))
		return bad(d->err, "flags and perms contradict each other");
	desc->vm_flags = line.flags;
	desc->flags_known = true;
	return 0;
}

static const struct field module_fields[] = {
	FIELD(struct rec_module, base, 0, F_HEX),
	FIELD(struct rec_module, build_id, OPTIONAL | NULLABLE, F_STR),
	FIELD(struct rec_module, soname, OPTIONAL, F_STR),
	FIELD(struct rec_module, exec_stack, OPTIONAL, F_BOOL),
	FIELD(struct rec_module, own, OPTIONAL, F_BOOL),
};

enum { MAX_SEGMENTS = 1024 };		/* a module has one for each PT_LOAD: a handful */

static int decode_module(struct decode *d, struct record *rec)
{
	struct rec_module *m = &rec->module;
	struct json_t *segments = js_get(d->doc, "segments"), *relro = js_get(d->doc, "relro");
	const char *op = js_str(js_get(d->doc, "op"));
	size_t i;

	if (!op || (strcmp(op, "load") && strcmp(op, "unload")))
		return bad(d->err, "op is neither \"load\" nor \"unload\"");
	m->is_load = !strcmp(op, "load");
	if (TAKE(d, d->doc, "", module_fields, m) ||
	    take_name(d, d->doc, "path", "path_hex", &m->path))
		return -EINVAL;
	if (m->is_load && !m->path)
		return bad(d->err, "path is missing");
	if (segments && !js_is_array(segments))
		return bad(d->err, "segments is not an array");
	m->has_relro = relro;
	if (relro && take_range(relro, &m->relro))
		return bad(d->err, "relro is no range");
	m->nr_segments = js_len(segments);
	if (m->nr_segments > MAX_SEGMENTS)
		return bad(d->err, "more than %d segments", MAX_SEGMENTS);
	m->segments = scratch_alloc(d->scratch, m->nr_segments, sizeof(*m->segments));
	for (i = 0; i < m->nr_segments; i++) {
		struct json_t *v = js_at(segments, i);
		const char *perms = js_str(js_at(v, 2));
		char all[5];

		if (perms)
			snprintf(all, sizeof(all), "%.3sp", perms);
		if (!perms || take_range(v, &m->segments[i]) ||
		    !record_perms(all, &m->segments[i].flags))
			return bad(d->err, "segments[%zu] is not [start, end, perms]", i);
	}
	return 0;
}

static const struct field thread_fields[] = {
	FIELD(struct rec_thread, tid, 0, F_I64),
	FIELD(struct rec_thread, op, 0, F_STR),
	FIELD(struct rec_thread, stack, OPTIONAL, F_U32),
};

static int decode_thread(struct decode *d, struct record *rec)
{
	struct rec_thread *th = &rec->thread;

	if (TAKE(d, d->doc, "", thread_fields, th) ||
	    take_name(d, d->doc, "name", "name_hex", &th->name))
		return -EINVAL;
	if (strcmp(th->op, "present") && strcmp(th->op, "create") && strcmp(th->op, "start") &&
	    strcmp(th->op, "end"))
		return bad(d->err, "op is not \"present\", \"create\", \"start\" or \"end\"");
	return 0;
}

static const struct field stack_fields[] = {
	FIELD(struct rec_stack, id, 0, F_U32),
	FIELD(struct rec_stack, parent, 0, F_U32),
};

static int decode_stack(struct decode *d, struct record *rec)
{
	struct rec_stack *st = &rec->stack;
	struct json_t *ips = js_get(d->doc, "ips");
	size_t i;

	if (TAKE(d, d->doc, "", stack_fields, st))
		return -EINVAL;
	st->nr_ips = js_len(ips);
	if (!st->nr_ips)
		return bad(d->err, "ips is not an array of addresses");
	st->ips = scratch_alloc(d->scratch, st->nr_ips, sizeof(*st->ips));
	for (i = 0; i < st->nr_ips; i++)
		if (js_hex(js_at(ips, i), &st->ips[i]))
			return bad(d->err, "ips[%zu] is not a hex string \"0x…\"", i);
	return 0;
}

static const struct field heap_fields[] = {
	FIELD(struct rec_heap, tid, 0, F_I64),
	FIELD(struct rec_heap, t0, 0, F_U64),
};

static int decode_heap(struct decode *d, struct record *rec)
{
	return TAKE(d, d->doc, "", heap_fields, &rec->heap);
}

static int decode_checkpoint(struct decode *d, struct record *rec)
{
	rec->checkpoint.why = js_str(js_get(d->doc, "why"));
	return rec->checkpoint.why ? 0 : bad(d->err, "why is not a string");
}

static const struct field fork_fields[] = {
	FIELD(struct rec_fork, tid, 0, F_I64),
	FIELD(struct rec_fork, call, 0, F_STR),
	FIELD(struct rec_fork, child, OPTIONAL, F_I64),
	FIELD(struct rec_fork, trace, OPTIONAL | NULLABLE, F_STR),
	FIELD(struct rec_fork, stack, OPTIONAL, F_U32),
	{ "errno", F_STR, offsetof(struct rec_fork, errno_name), OPTIONAL },
};

static int decode_fork(struct decode *d, struct record *rec)
{
	if (TAKE(d, d->doc, "", fork_fields, &rec->fork))
		return -EINVAL;
	if (rec->fork.child <= 0 && !rec->fork.errno_name)
		return bad(d->err, "neither child nor errno is there");
	return 0;
}

static const struct field exec_fields[] = {
	FIELD(struct rec_exec, tid, 0, F_I64),
	FIELD(struct rec_exec, argv, OPTIONAL | NULLABLE, F_STRINGS),
	FIELD(struct rec_exec, stack, OPTIONAL, F_U32),
	{ "errno", F_STR, offsetof(struct rec_exec, errno_name), OPTIONAL },
};

static int decode_exec(struct decode *d, struct record *rec)
{
	if (TAKE(d, d->doc, "", exec_fields, &rec->exec))
		return -EINVAL;
	return take_name(d, d->doc, "path", "path_hex", &rec->exec.path);
}

static const struct field lost_fields[] = {
	FIELD(struct rec_lost, what, 0, F_STR),
	FIELD(struct rec_lost, why, OPTIONAL, F_STR),
	FIELD(struct rec_lost, count, 0, F_U64),
};

static int decode_lost(struct decode *d, struct record *rec)
{
	return TAKE(d, d->doc, "", lost_fields, &rec->lost);
}

static int decode_limits(struct decode *d, struct record *rec)
{
	struct json_t *limits = js_get(d->doc, "limits");

	if (!limits)
		return bad(d->err, "limits is missing");
	return take_limits(d, limits, "limits", &rec->limits);
}

static const struct field end_fields[] = {
	FIELD(struct rec_end, how, 0, F_STR),
	FIELD(struct rec_end, status, OPTIONAL | NULLABLE, F_I64),
	FIELD(struct rec_end, events, OPTIONAL, F_U64),
	FIELD(struct rec_end, checks, OPTIONAL, F_U64),
	FIELD(struct rec_end, lost, OPTIONAL, F_U64),
	FIELD(struct rec_end, cost, OPTIONAL, F_NUMBERS),
};

static int decode_end(struct decode *d, struct record *rec)
{
	const char *how;

	if (TAKE(d, d->doc, "", end_fields, &rec->end))
		return -EINVAL;
	how = rec->end.how;
	if (strcmp(how, "exit") && strcmp(how, "_exit") && strcmp(how, "exec") &&
	    strcmp(how, "signal"))
		return bad(d->err, "how is not \"exit\", \"_exit\", \"exec\" or \"signal\"");
	return 0;
}

static int (*const decoders[TRACE_NR_EVENTS])(struct decode *d, struct record *rec) = {
	[TRACE_HEADER] = decode_header, [TRACE_VMA] = decode_vma, [TRACE_MODULE] = decode_module,
	[TRACE_THREAD] = decode_thread, [TRACE_STACK] = decode_stack, [TRACE_CALL] = decode_call,
	[TRACE_HEAP] = decode_heap, [TRACE_CHECKPOINT] = decode_checkpoint, [TRACE_MM] = decode_mm,
	[TRACE_VERIFY] = decode_verify, [TRACE_DIFF] = decode_diff, [TRACE_FRAMES] = decode_frames,
	[TRACE_TOPOLOGY] = decode_topology, [TRACE_PAGE_CLASS] = decode_page_class,
	[TRACE_FRAME_DIFF] = decode_frame_diff, [TRACE_FRAMES_END] = decode_frames_end,
	[TRACE_FORK] = decode_fork, [TRACE_EXEC] = decode_exec, [TRACE_LOST] = decode_lost,
	[TRACE_LIMITS] = decode_limits,
	[TRACE_END] = decode_end,
};

static bool has_time(enum trace_event ev)
{
	return ev != TRACE_HEADER && ev != TRACE_VMA && ev != TRACE_STACK && ev != TRACE_HEAP;
}

int record_decode(struct json_t *doc, struct record_scratch *scratch, struct record *rec,
		  struct record_error *err)
{
	struct decode d = { doc, scratch, err };
	const char *name = js_str(js_get(doc, "ev"));
	uint64_t line = rec->line;
	int ev;

	memset(rec, 0, sizeof(*rec));
	rec->line = line;
	rec->ev = TRACE_NR_EVENTS;
	if (!js_is_object(doc))
		return bad(err, "not an object");
	if (!name)
		return bad(err, "ev is missing or not a string");
	ev = find_name(record_event_names, TRACE_NR_EVENTS, name);
	if (ev < 0)
		return 0;
	rec->ev = ev;
	if (has_time(ev) && js_u64(js_get(doc, "t"), &rec->t))
		return bad(err, "t is missing or not a number from 0 on");
	if (decoders[ev](&d, rec)) {
		char text[sizeof(err->text)];

		snprintf(text, sizeof(text), "%s: %.150s", name, err->text);
		memcpy(err->text, text, sizeof(text));
		return -EINVAL;
	}
	return 0;
}
