/* SPDX-License-Identifier: MIT */
/*
 * The first line of a trace: who was traced, how, and the kernel it ran on.
 */
#include "fields.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct field header_fields[] = {
	FIELD(struct rec_header, pid, 0, F_I64),
	FIELD(struct rec_header, ppid, 0, F_I64),
	FIELD(struct rec_header, tid, OPTIONAL, F_I64),
	FIELD(struct rec_header, exe, NULLABLE, F_STR),
	FIELD(struct rec_header, argv, NULLABLE, F_STRINGS),
	FIELD(struct rec_header, heap, OPTIONAL, F_STR),
	FIELD(struct rec_header, heap_sample, OPTIONAL, F_U64),
	FIELD(struct rec_header, frames, OPTIONAL, F_STR),
	FIELD(struct rec_header, stacks, OPTIONAL, F_U64),
	FIELD(struct rec_header, reason, OPTIONAL, F_STR),
	FIELD(struct rec_header, rules, OPTIONAL, F_U64),
	FIELD(struct rec_header, max_map_count, OPTIONAL, F_U64),
	FIELD(struct rec_header, vsyscall, OPTIONAL | NULLABLE, F_STR),
};

static const struct field kernel_fields[] = {
	FIELD(struct rec_header, release, 0, F_STR),
	FIELD(struct rec_header, machine, 0, F_STR),
};

static const struct field clock_fields[] = {
	FIELD(struct rec_header, start_ns, 0, F_U64),
	FIELD(struct rec_header, realtime_ns, 0, F_U64),
};

static const struct field capture_fields[] = {
	FIELD(struct rec_header, tier, 0, F_STR),
	FIELD(struct rec_header, asked, OPTIONAL, F_STR),
	FIELD(struct rec_header, self_test, OPTIONAL, F_OBJECT),
};

static const struct field parent_fields[] = {
	{ "pid", F_I64, offsetof(struct rec_header, parent_pid), 0 },
	{ "trace", F_STR, offsetof(struct rec_header, parent_trace), OPTIONAL | NULLABLE },
	{ "event", F_U64, offsetof(struct rec_header, parent_event), OPTIONAL | NULLABLE },
};

static const struct field limit_fields[] = {
	FIELD(struct rec_limits, as, OPTIONAL | NULLABLE, F_U64),
	FIELD(struct rec_limits, data, OPTIONAL | NULLABLE, F_U64),
	FIELD(struct rec_limits, stack, OPTIONAL | NULLABLE, F_U64),
	FIELD(struct rec_limits, memlock, OPTIONAL | NULLABLE, F_U64),
};

#define SEGMENT_FIELD(name) { #name, F_HEX, offsetof(struct rec_header, mm.name), OPTIONAL },
static const struct field segment_fields[] = { REC_SEGMENTS(SEGMENT_FIELD) };

static int header_own(struct decode *d, struct json_t *own, struct rec_header *h)
{
	size_t i;

	if (!own)
		return 0;
	if (!js_is_array(own))
		return bad(d->err, "own is not an array");
	h->nr_own = js_len(own);
	h->own = scratch_alloc(d->scratch, h->nr_own, sizeof(*h->own));
	for (i = 0; i < h->nr_own; i++) {
		struct json_t *v = js_at(own, i);

		h->own[i].what = js_str(js_at(v, 2));
		if (take_range(v, &h->own[i]) || !h->own[i].what)
			return bad(d->err, "own[%zu] is not [start, end, what]", i);
	}
	return 0;
}

static int header_verify(struct decode *d, struct rec_header *h)
{
	struct json_t *verify = js_get(d->doc, "verify"), *mode = js_get(verify, "mode");
	uint64_t n;
	char *text;

	h->verify_mode = js_str(mode);
	h->verify_source = js_str(js_get(verify, "source"));
	if (h->verify_mode)
		return 0;
	if (js_u64(mode, &n))
		return bad(d->err, "verify.mode is neither a string nor a number");
	text = scratch_alloc(d->scratch, 1, 24);
	snprintf(text, 24, "%" PRIu64, n);
	h->verify_mode = text;
	return 0;
}

static int header_privileges(struct decode *d, struct rec_header *h)
{
	struct json_t *v = js_get(d->doc, "privileges");
	const char *pfn = js_str(js_get(v, "pfn"));

	if (!v)
		return 0;
	if (!pfn || (strcmp(pfn, "visible") && strcmp(pfn, "hidden")))
		return bad(d->err, "privileges.pfn is neither \"visible\" nor \"hidden\"");
	h->pfn_visible = !strcmp(pfn, "visible");
	return 0;
}

static int header_version(struct decode *d)
{
	uint64_t n;

	if (js_u64(js_get(d->doc, "version"), &n))
		return bad(d->err, "version is missing or not a number");
	if (n != TRACE_VERSION)
		return bad(d->err, "format version %" PRIu64 ", this program reads version %d", n,
			   TRACE_VERSION);
	if (js_u64(js_get(d->doc, "page_size"), &n) || n != MM_PAGE_SIZE)
		return bad(d->err, "page_size is not %llu", MM_PAGE_SIZE);
	return 0;
}

int take_limits(struct decode *d, struct json_t *obj, const char *where, struct rec_limits *ret)
{
	*ret = (struct rec_limits){ UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	return TAKE(d, obj, where, limit_fields, ret);
}

int decode_header(struct decode *d, struct record *rec)
{
	struct rec_header *h = &rec->header;
	struct json_t *parent = js_get(d->doc, "parent"), *mm = js_get(d->doc, "mm");
	struct json_t *clock = js_get(d->doc, "clock"), *limits = js_get(d->doc, "limits");
	uint64_t flags;

	if (header_version(d))
		return -EINVAL;
	h->max_map_count = 65530;
	h->rules = MM_RULES_DEFAULT;
	h->heap = h->frames = "off";
	h->reason = "start";
	if (TAKE(d, d->doc, "", header_fields, h) ||
	    TAKE(d, js_get(d->doc, "capture"), "capture", capture_fields, h) ||
	    TAKE(d, mm, "mm", segment_fields, h) || header_verify(d, h) ||
	    TAKE(d, clock, "clock", clock_fields, h) || header_privileges(d, h) ||
	    take_limits(d, limits, "limits", &h->limits) ||
	    header_own(d, js_get(d->doc, "own"), h) ||
	    take_name(d, d->doc, "exe", "exe_hex", &h->exe))
		return -EINVAL;
	if (js_get(d->doc, "kernel") &&
	    TAKE(d, js_get(d->doc, "kernel"), "kernel", kernel_fields, h))
		return -EINVAL;
	if (parent && !js_is_null(parent)) {
		h->has_parent = true;
		if (TAKE(d, parent, "parent", parent_fields, h))
			return -EINVAL;
	}
	if (h->vsyscall && !record_perms(h->vsyscall, &flags))
		return bad(d->err, "vsyscall is no permission string");
	if (!strcmp(h->heap, "sample") != !!h->heap_sample)
		return bad(d->err, "heap \"sample\" and a heap_sample go together");
	if (h->rules > UINT32_MAX || h->max_map_count > UINT32_MAX)
		return bad(d->err, "rules or max_map_count is out of range");
	return 0;
}
