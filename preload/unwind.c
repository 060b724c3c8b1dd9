/* SPDX-License-Identifier: MIT */
/*
 * unw_backtrace() keeps a cache per thread: 10 to 14 ns a frame once it is warm. Where it ends before
 * the stack does, the stack is walked once more step by step, and on over what stopped it.
 */
#define UNW_LOCAL_ONLY
#include "unwind.h"

#include <libunwind.h>
#include <stdint.h>

#include "cfi.h"
#include "modules.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

#define OWN_FRAMES 12	/* ours on top of the program's, at most */
#define NR_BRIDGES 32	/* in one stack, but for those to the next frame */
#define FIRST_BYTES 256	/* of the main thread's outermost frame */
#define LAST_FRAMES 16	/* outside of a thread's first frame without unwind information */
#define LAST_WORDS 32	/* of that frame */

static bridge_code_fn *find_code;
static volatile bool is_stopped;
static uintptr_t stack_end;	/* of the main thread, where the kernel has put it */

void unwind_init(bridge_code_fn *find, uintptr_t end)
{
	void *ips[4];

	find_code = find;
	stack_end = end;
	unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_PER_THREAD);
	(void)unw_backtrace(ips, 4);
}

static bool is_bottom(uintptr_t ip)
{
	return bridge_facts(ip) & BRIDGE_IS_BOTTOM || cfi_rule(ip) & CFI_BOTTOM;
}

static bool has_info(const struct bridge_frame *at)
{
	unsigned int facts = bridge_facts(at->ip);
	unw_proc_info_t info;
	bool has;

	if (cfi_rule(at->ip) & CFI_MALFORMED)
		return false;
	if (facts & (BRIDGE_HAS_INFO | BRIDGE_HAS_NO_INFO))
		return facts & BRIDGE_HAS_INFO;
	has = !unw_get_proc_info_by_ip(unw_local_addr_space, at->ip - 1, &info, NULL);
	bridge_learn(at->ip, has ? BRIDGE_HAS_INFO : BRIDGE_HAS_NO_INFO);
	return has;
}

/* Code without unwind information: the ABI has a frame pointer of 0 in the outermost frame. */
static bool is_outermost(const struct bridge_frame *at)
{
	return !at->bp || (at->sp <= stack_end && stack_end - at->sp < FIRST_BYTES);
}

static bool read_frame(unw_cursor_t *cursor, struct bridge_frame *ret)
{
	unw_word_t ip, sp, bp = 0;

	if (unw_get_reg(cursor, UNW_REG_IP, &ip) || unw_get_reg(cursor, UNW_REG_SP, &sp))
		return false;
	(void)unw_get_reg(cursor, UNW_X86_64_RBP, &bp);
	*ret = (struct bridge_frame){ ip, sp, bp };
	return true;
}

static bool go_on_from(unw_cursor_t *cursor, unw_context_t *context, const struct bridge_frame *at)
{
	context->uc_mcontext.gregs[REG_RIP] = (greg_t)at->ip;
	context->uc_mcontext.gregs[REG_RSP] = (greg_t)at->sp;
	context->uc_mcontext.gregs[REG_RBP] = (greg_t)at->bp;
	return !unw_init_local(cursor, context);
}

/* From @at to the outermost frame, with unwind information all the way? */
static bool leads_to_end(unw_cursor_t *cursor, unw_context_t *context, struct bridge_frame at)
{
	int steps, step;

	if (!go_on_from(cursor, context, &at))
		return false;
	for (steps = 0; steps < LAST_FRAMES && read_frame(cursor, &at) && has_info(&at); steps++) {
		step = unw_step(cursor);
		if (step <= 0)
			return !step;
	}
	return false;
}

/*
 * A thread's first frames: code that begins with assembly, whose callers have unwind information. The
 * first return address above the stack pointer from which it leads to the end.
 */
static bool find_last_frames(struct bridge_walk *walk, unw_cursor_t *cursor, unw_context_t *context,
			     const struct bridge_frame *at)
{
	uintptr_t words[LAST_WORDS];
	struct bridge_frame frame;
	size_t nr = sys_read_user(words, (const void *)at->sp, sizeof(words)) / sizeof(words[0]), i;

	for (i = 0; i < nr; i++) {
		frame = (struct bridge_frame){ words[i], at->sp + (i + 1) * sizeof(words[0]), at->bp };
		if (bridge_is_return(walk, frame.ip) && has_info(&frame) &&
		    leads_to_end(cursor, context, frame))
			return go_on_from(cursor, context, &frame);
	}
	return false;
}

/*
 * By the unwinder's steps, 250 to 400 ns each, where there is unwind information, and by our own
 * where there is none: the unwinder's guesses are not checked, and lose the stack pointer.
 * A NULL among @ips stands where frames may be missing.
 */
static __attribute__((noinline)) int walk_stack(void **ips, int max, bool *ret_end)
{
	unw_context_t context;
	unw_cursor_t cursor;
	struct bridge_frame at;
	struct bridge_walk walk;
	struct bridge bridge;
	int n = 0, bridges = 0, step = 1, i;

	*ret_end = false;
	bridge_begin(&walk, find_code);
	if (unw_getcontext(&context) || unw_init_local(&cursor, &context))
		return 0;
	while (n < max && read_frame(&cursor, &at)) {
		ips[n++] = (void *)at.ip;
		if (cfi_rule(at.ip) & CFI_MALFORMED)
			break;
		if (has_info(&at) || unw_is_signal_frame(&cursor) > 0) {
			step = unw_step(&cursor);
			if (step > 0)
				continue;
			*ret_end = !step;
			if (!step)
				bridge_learn(at.ip, BRIDGE_IS_BOTTOM);
			break;
		}
		*ret_end = is_outermost(&at);
		if (*ret_end)
			break;
		if (!bridge_cross(&walk, &at, &bridge)) {
			if (!find_last_frames(&walk, &cursor, &context, &at))
				break;
			if (n < max)
				ips[n++] = NULL;
			continue;
		}
		if (bridge.kind != BRIDGE_NEXT && bridges++ == NR_BRIDGES)
			break;
		if (bridge.kind == BRIDGE_GAP && n < max)
			ips[n++] = NULL;
		/* The last of them is read from the cursor. */
		for (i = 0; i < bridge.nr - 1 && n < max; i++)
			ips[n++] = (void *)bridge.ips[i];
		if (!go_on_from(&cursor, &context, &bridge.next))
			break;
	}
	return n;
}

void unwind_stop(void)
{
	is_stopped = true;
}

int unwind_stack(void **ips, int max, bool *ret_cut)
{
	int want = max + OWN_FRAMES < UNWIND_MAX ? max + OWN_FRAMES : UNWIND_MAX;
	int n = is_stopped ? 0 : unw_backtrace(ips, want), i, kept = 0;
	void *raw_ip = (void *)tls.raw_ip;
	bool end = true;

	if (n < want && !is_stopped && (n <= 0 || !is_bottom((uintptr_t)ips[n - 1])))
		n = walk_stack(ips, want, &end);
	for (i = 0; i < n; i++) {
		/* Above a dispatched call: the handler and the kernel's signal frame. */
		if (raw_ip && ips[i] == raw_ip) {
			kept = 0;
			raw_ip = NULL;
		}
		if (!modules_is_vmtrace((uintptr_t)ips[i]))
			ips[kept++] = ips[i];
	}
	*ret_cut = !end || n == want || kept > max;
	return kept > max ? max : kept;
}
