/* SPDX-License-Identifier: MIT */
/*
 * The replay: records in, the address space and its comparisons out; and moments of a trace.
 */
#include "replay.h"

#include <errno.h>

#include "check.h"

#define BASE 0x7f0000000000ull

static void apply(struct replay *r, const struct record *rec, int want)
{
	const char *why = "";

	CHECK_EQ(replay_record(r, rec, &why), want);
}

static void start(struct replay *r)
{
	struct record header = { .ev = TRACE_HEADER, .header = {
		.max_map_count = 100, .rules = MM_RULES_DEFAULT,
		.limits = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX },
		.mm = { .mmap_base = BASE, .task_size = 0x7ffffffff000 },
	} };

	replay_init(r);
	apply(r, &header, 0);
}

/* [BASE, BASE + 4 pages) rw-p */
static struct record first_vma(void)
{
	return (struct record){ .ev = TRACE_VMA, .vma = {
		.vm_start = BASE, .vm_end = BASE + 0x4000, .vm_flags = VM_READ | VM_WRITE,
	} };
}

static struct record call_mprotect(uint64_t seq, uint64_t addr, uint64_t len, uint64_t map_count)
{
	return (struct record){ .ev = TRACE_CALL, .t = seq * 100, .call = {
		.seq = seq, .has_map_count = true, .map_count = map_count,
		.call = { .op = MM_MPROTECT, .arg = { addr, len, 1 }, .event = seq },
	} };
}

/*  AAAA  ->  A B AA  */
static void test_calls_and_map_count(void)
{
	struct record rec = first_vma();
	struct replay r;

	start(&r);
	apply(&r, &rec, 0);
	rec = call_mprotect(1, BASE + 0x1000, 0x1000, 3);
	apply(&r, &rec, 0);
	CHECK_EQ(r.mm.map_count, 3);
	CHECK_EQ(r.nr_checked, 1);
	CHECK_EQ(r.nr_diverged, 0);
	rec = call_mprotect(2, BASE + 0x2000, 0x1000, 7);
	apply(&r, &rec, 0);
	CHECK_EQ(r.nr_diverged, 1);
	CHECK_EQ(r.diverged_seq, 2);
	replay_fini(&r);
}

/* Refused for want of locked memory: nothing was changed. With another limit it was a hole. */
static void test_limits_hold_from_where_they_stand(void)
{
	struct record vma = first_vma(), limits = { .ev = TRACE_LIMITS, .limits = {
		UINT64_MAX, UINT64_MAX, UINT64_MAX, 0x3000,
	} };
	struct record mlock = { .ev = TRACE_CALL, .call = {
		.seq = 1, .has_map_count = true, .map_count = 1,
		.call = { .op = MM_MLOCK, .arg = { BASE + 0x1000, 0x8000 }, .ret = -ENOMEM },
	} };
	struct replay r;

	start(&r);
	apply(&r, &vma, 0);
	apply(&r, &limits, 0);
	apply(&r, &mlock, 0);
	CHECK_EQ(r.nr_diverged, 0);
	limits.limits.memlock = UINT64_MAX;
	apply(&r, &limits, 0);
	mlock.call.seq = 2;
	mlock.call.map_count = 2;
	apply(&r, &mlock, 0);
	CHECK_EQ(r.nr_diverged, 0);
	replay_fini(&r);
}

/* A bit in doubt doesn't take the others along: sealed memory stays what it is. */
static void test_flags_in_doubt_leave_the_others(void)
{
	struct record vma = first_vma(), mprotect = call_mprotect(1, BASE, 0x1000, 1);
	struct replay r;

	start(&r);
	vma.vma.flags_known = true;
	vma.vma.vm_flags |= VM_MAYREAD | VM_MAYWRITE | VM_SEALED | VM_ACCOUNT;
	vma.vma.vm_flags_unknown = VM_ACCOUNT;
	apply(&r, &vma, 0);
	mprotect.call.call.ret = -EPERM;
	apply(&r, &mprotect, 0);
	CHECK_EQ(r.nr_diverged, 0);
	CHECK_EQ(r.mm.first->vm_flags_unknown, VM_ACCOUNT);
	CHECK_EQ(r.effect.uncertain, false);
	replay_fini(&r);
}

static void test_first_map_is_first(void)
{
	struct record rec = first_vma();
	struct replay r;

	start(&r);
	apply(&r, &rec, 0);
	apply(&r, &rec, -EINVAL);
	rec = call_mprotect(1, BASE, 0x1000, 2);
	apply(&r, &rec, 0);
	rec = first_vma();
	rec.vma.vm_start += 0x100000;
	rec.vma.vm_end += 0x100000;
	apply(&r, &rec, -EINVAL);
	replay_fini(&r);
}

/* The hash of a verify line is compared after the differences that were found with it. */
static void test_hash_waits_for_differences(void)
{
	struct vma_desc kernel = { .vm_start = BASE - 0x1000, .vm_end = BASE + 0x4000,
				   .vm_flags = VM_READ | VM_WRITE };
	struct record rec = first_vma(), verify = { .ev = TRACE_VERIFY };
	struct record diff = { .ev = TRACE_DIFF, .diff = {
		.start = BASE - 0x1000, .end = BASE + 0x4000, .kernel = &kernel, .nr_kernel = 1,
	} };
	struct replay r;
	int i;

	for (i = 0; i < 2; i++) {
		start(&r);
		apply(&r, &rec, 0);
		if (i)
			apply(&r, &verify, 0);
		apply(&r, &diff, 0);
		if (!i) {
			verify.verify.has_hash = true;
			verify.verify.hash = mm_hash(&r.mm);
			apply(&r, &verify, 0);
		}
		replay_finish(&r);
		CHECK_EQ(r.mm.first->vm_start, BASE - 0x1000);
		CHECK_EQ(r.nr_checked, 1);
		CHECK_EQ(r.nr_diverged, 0);
		replay_fini(&r);
	}
}

static void test_peak(void)
{
	struct record rec = first_vma(), unmap = { .ev = TRACE_CALL, .call = { .seq = 2, .call = {
		.op = MM_MUNMAP, .arg = { BASE, 0x4000 }, .event = 2 } } };
	struct replay r;

	start(&r);
	apply(&r, &rec, 0);
	rec = call_mprotect(1, BASE, 0x1000, 2);
	apply(&r, &rec, 0);
	apply(&r, &unmap, 0);
	CHECK_EQ(r.mm.map_count, 0);
	CHECK_EQ(r.peak_vm, 4);
	CHECK_EQ(r.peak_seq, 0);
	replay_fini(&r);
}

static void test_moments(void)
{
	static const struct {
		const char *text;
		int err;
		enum moment_kind kind;
		uint64_t value;
	} cases[] = {
		{ "start", 0, MOMENT_START, 0 }, { "end", 0, MOMENT_END, 0 },
		{ "peak", 0, MOMENT_PEAK, 0 }, { "0", 0, MOMENT_EVENT, 0 },
		{ "17", 0, MOMENT_EVENT, 17 }, { "1.5s", 0, MOMENT_TIME, 1500000000 },
		{ "20ms", 0, MOMENT_TIME, 20000000 }, { "7us", 0, MOMENT_TIME, 7000 },
		{ "100ns", 0, MOMENT_TIME, 100 }, { "", -EINVAL, 0, 0 }, { "-5", -EINVAL, 0, 0 },
		{ "5m", -EINVAL, 0, 0 }, { "s", -EINVAL, 0, 0 }, { "1e30s", -EINVAL, 0, 0 },
		{ "99999999999999999999", -EINVAL, 0, 0 }, { "start ", -EINVAL, 0, 0 },
	};
	struct moment m;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_EQ(moment_parse(cases[i].text, &m), cases[i].err);
		if (cases[i].err)
			continue;
		CHECK_EQ(m.kind, cases[i].kind);
		CHECK_EQ(m.value, cases[i].value);
	}
}

int main(void)
{
	test_calls_and_map_count();
	test_limits_hold_from_where_they_stand();
	test_flags_in_doubt_leave_the_others();
	test_first_map_is_first();
	test_hash_waits_for_differences();
	test_peak();
	test_moments();
	return check_status();
}
