/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void replay_init(struct replay *r)
{
	memset(r, 0, sizeof(*r));
	pool_init(&r->pool);
}

void replay_fini(struct replay *r)
{
	pool_fini(&r->pool);
}

static void set_limits(struct mm *mm, const struct rec_limits *limits)
{
	mm->rlimit_as = limits->as;
	mm->rlimit_data = limits->data;
	mm->rlimit_stack = limits->stack;
	mm->rlimit_memlock = limits->memlock;
}

static void start_mm(struct replay *r, const struct rec_header *h)
{
	struct mm *mm = &r->mm;

	mm_init(mm, &r->pool.mem);
	r->has_mm = true;
	mm->rules = h->rules;
	mm->max_map_count = h->max_map_count;
	mm->is_inherited = h->has_parent;
	set_limits(mm, &h->limits);
#define COPY(name) \
	if (h->mm.name) \
		mm->name = h->mm.name;
	REC_SEGMENTS(COPY)
#undef COPY
	if (h->vsyscall)
		r->has_vsyscall = record_perms(h->vsyscall, &r->vsyscall_flags);
}

static void note_peak(struct replay *r)
{
	if (r->mm.total_vm <= r->peak_vm)
		return;
	r->peak_vm = r->mm.total_vm;
	r->peak_seq = r->seq;
	r->peak_t = r->t;
}

static void compare(struct replay *r, bool equal)
{
	r->nr_checked++;
	if (equal)
		return;
	if (!r->nr_diverged++)
		r->diverged_seq = r->seq;
}

/* The hash of a verify line holds once the differences found with it were taken over. */
static void check_hash(struct replay *r)
{
	if (!r->hash_pending)
		return;
	r->hash_pending = false;
	compare(r, mm_hash(&r->mm) == r->hash);
}

static int apply_call(struct replay *r, const struct rec_call *c, uint64_t t, const char **ret_why)
{
	size_t i;

	r->has_calls = true;
	r->seq = c->seq;
	r->t = t;
	*ret_why = "out of memory";
	if (mm_apply(&r->mm, &c->call, &r->effect))
		return -ENOMEM;
	for (i = 0; i < c->nr_resolved; i++) {
		int err = mm_resolve(&r->mm, c->resolved[i].start, c->resolved[i].end);

		if (err < 0)
			return err;
		r->nr_unresolved += err > 0;
	}
	if (c->has_map_count)
		compare(r, r->mm.map_count == c->map_count);
	note_peak(r);
	return 0;
}

static int apply_diff(struct replay *r, const struct rec_diff *diff, const char **ret_why)
{
	int err = mm_replace(&r->mm, diff->start, diff->end, diff->kernel, diff->nr_kernel,
			     diff->seq);

	/* Decides which vma is called [heap]. */
	if (diff->has_brk)
		r->mm.brk = diff->brk;
	*ret_why = err == -ENOMEM ? "out of memory" : "diff: the kernel's vmas are not in order";
	note_peak(r);
	return err;
}

int replay_record(struct replay *r, const struct record *rec, const char **ret_why)
{
	int err;

	if (rec->ev == TRACE_HEADER) {
		start_mm(r, &rec->header);
		return 0;
	}
	if (rec->ev != TRACE_DIFF)
		check_hash(r);
	switch (rec->ev) {
	case TRACE_VMA:
		if (r->has_calls) {
			*ret_why = "vma: a line of the first map behind a call";
			return -EINVAL;
		}
		err = mm_insert(&r->mm, &rec->vma);
		*ret_why = err == -ENOMEM ? "out of memory" : "vma: overlaps another one";
		note_peak(r);
		return err;
	case TRACE_CALL:
		return apply_call(r, &rec->call, rec->t, ret_why);
	case TRACE_DIFF:
		return apply_diff(r, &rec->diff, ret_why);
	case TRACE_LIMITS:
		set_limits(&r->mm, &rec->limits);
		return 0;
	case TRACE_VERIFY:
		r->hash_pending = rec->verify.has_hash;
		r->hash = rec->verify.hash;
		return 0;
	default:
		return 0;
	}
}

void replay_finish(struct replay *r)
{
	if (r->has_mm)
		check_hash(r);
}

int moment_parse(const char *text, struct moment *ret)
{
	static const struct { const char *suffix; double ns; } units[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 },
	};
	char *end;
	size_t i;
	double n;

	*ret = (struct moment){ MOMENT_END, 0 };
	if (!strcmp(text, "end"))
		return 0;
	ret->kind = !strcmp(text, "peak") ? MOMENT_PEAK : MOMENT_START;
	if (ret->kind == MOMENT_PEAK || !strcmp(text, "start"))
		return 0;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	ret->kind = MOMENT_EVENT;
	ret->value = strtoull(text, &end, 10);
	if (!*end)
		return errno ? -EINVAL : 0;
	ret->kind = MOMENT_TIME;
	n = strtod(text, &end);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].suffix) || n * units[i].ns >= 1e19)
			continue;
		ret->value = n * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

bool moment_is_before(const struct moment *m, const struct record *rec)
{
	switch (m->kind) {
	case MOMENT_START:
		return rec->ev == TRACE_CALL;
	case MOMENT_EVENT:
		return rec->ev == TRACE_CALL && rec->call.seq > m->value;
	case MOMENT_TIME:
		return (rec->ev == TRACE_CALL || rec->ev == TRACE_DIFF) && rec->t > m->value;
	default:
		return false;
	}
}
