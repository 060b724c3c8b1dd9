/* SPDX-License-Identifier: MIT */
/* The events that change the map: call, shadow, record, verify, in this order under one lock. */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "arena.h"
#include "cfi.h"
#include "config.h"
#include "event.h"
#include "kmaps.h"
#include "lock.h"
#include "modules.h"
#include "own.h"
#include "patch.h"
#include "process.h"
#include "recorder.h"
#include "sink.h"
#include "sys.h"
#include "thread.h"
#include "verify.h"

#include "no_heap.h"

struct mm capture_mm;

static volatile bool on;
static volatile char not_alive;
volatile char *capture_alive = &not_alive;
static volatile bool has_userfaultfd, has_uffd_events;
static volatile uint64_t uffds[16];	/* descriptors below 1024 with which ranges were registered */
static uint64_t seq;
static uint64_t last_checkpoint_ns;
static volatile bool checkpoint_wanted;

/* Under the capture lock only one event is in flight; it is too large for a program's stack. */
static struct event event;
static struct event own_event;	/* the sink's, in between */

bool capture_was_on(void)
{
	return on;
}

void capture_set_on(bool value)
{
	if (value && capture_alive == &not_alive) {
		void *page = arena_map(MM_PAGE_SIZE);

		/* Before Linux 4.14 there is no such advice: then on is as good as it gets. */
		if (page)
			capture_alive = page;
		sys_madvise(page, MM_PAGE_SIZE, MADV_WIPEONFORK);
	}
	if (capture_alive != &not_alive)
		*capture_alive = (char)(!value ? 0 : CAPTURE_ON | (config.heap && !config.heap_sample ?
								   CAPTURE_EVERY_BLOCK : 0));
	on = value && capture_alive != &not_alive;
}

void capture_request_checkpoint(void)
{
	checkpoint_wanted = true;
}

/* Growing what is locked fills it, and what is registered with a userfaultfd waits for its monitor. */
static bool fills_registered(const uint64_t arg[6])
{
	struct vma *vma = has_userfaultfd && arg[2] > arg[1] ? vma_lookup(&capture_mm, arg[0]) : NULL;
	uint64_t uffd = VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR, flags;

	flags = vma ? vma->vm_flags | vma->vm_flags_unknown : 0;
	return flags & VM_LOCKED && flags & uffd;
}

/* Calls that may wait for another thread of the program are never made under the lock. Under it. */
static bool may_block(enum mm_op op, const uint64_t arg[6])
{
	switch (op) {
	case MM_MLOCK:
	case MM_MLOCK2:
	case MM_MLOCKALL:
		return true;
	case MM_MUNMAP:
		return has_uffd_events;
	case MM_MREMAP:
		return has_uffd_events || fills_registered(arg);
	case MM_MADVISE:
		/* MADV_POPULATE_READ, _WRITE */
		return has_uffd_events || arg[2] == 22 || arg[2] == 23;
	case MM_PROCESS_MADVISE:
		return has_uffd_events || arg[3] == 22 || arg[3] == 23;
	default:
		return false;
	}
}

/* Releases are stamped before the call, everything else after it. */
static bool is_release(enum mm_op op)
{
	return op == MM_MUNMAP || op == MM_SHMDT;
}

bool capture_is_uffd_ioctl(uint64_t request)
{
	return (uint32_t)request == UFFDIO_REGISTER || (uint32_t)request == UFFDIO_UNREGISTER;
}

bool capture_is_uffd_api(uint64_t request)
{
	return (uint32_t)request == UFFDIO_API;
}

void capture_note_registered(uint64_t fd)
{
	has_userfaultfd = true;
	if (fd < 64 * sizeof(uffds) / sizeof(uffds[0]))
		uffds[fd / 64] |= 1ull << fd % 64;
}

bool capture_is_uffd(int fd)
{
	return has_userfaultfd && fd >= 0 && (size_t)fd < 64 * sizeof(uffds) / sizeof(uffds[0]) &&
	       uffds[fd / 64] >> fd % 64 & 1;
}

/* A release made outside the lock may be stamped before the last checkpoint. */
static bool is_due(uint64_t now)
{
	return config.checkpoint_seconds &&
	       now >= last_checkpoint_ns + config.checkpoint_seconds * 1000000000ull;
}

/* What a failed call leaves behind may depend on the limit it has hit. */
static void update_limits(const struct event *e)
{
	const struct mm_call *call = &e->call;
	bool refused = call->ret == -ENOMEM || call->ret == -EAGAIN || call->ret == -EPERM;
	struct jsonw *w;

	if (call->op == MM_BRK)
		refused = (uint64_t)call->ret != call->arg[0];
	if (!refused || !process_update_limits(&capture_mm))
		return;
	w = recorder_writer();
	jsonw_event(w, "limits");
	jsonw_num(w, "t", (int64_t)e->ns);
	process_put_limits(w, "limits", &capture_mm);
	recorder_commit_model(w);
}

/* Where a call that failed half-way has stopped, as far as it hinges on what can't be seen. */
static void ask_where_stopped(struct event *e)
{
	struct vma_desc desc;
	uint64_t addr;

	while (kmaps_has_query() && (addr = mm_ask(&capture_mm, &e->call)))
		mm_answer(&e->call, addr, kmaps_query(addr, &desc, NULL, 0) ||
			  desc.vm_start > addr ? NULL : &desc);
}

/* To the shadow and to the trace. */
static void tell(struct event *e)
{
	update_limits(e);
	event_complete(e);
	e->call.event = ++seq;
	e->call.own = e->origin == TRACE_ORIGIN_SELF;
	ask_where_stopped(e);
	if (mm_apply(&capture_mm, &e->call, &e->effect))
		recorder_lost("event", "memory", 1);
	event_resolve(e);
	event_record(e);
}

static void tell_own_calls(uint64_t ns, unsigned int nr)
{
	struct own_call call;

	for (; nr && own_take(&call); nr--) {
		own_event.call = (struct mm_call){ .op = call.op, .ret = call.ret };
		memcpy(own_event.call.arg, call.arg, sizeof(call.arg));
		own_event.origin = TRACE_ORIGIN_SELF;
		own_event.tid = call.tid;
		own_event.stack = 0;
		own_event.nr_resolved = 0;
		own_event.effect = (struct mm_effect){ 0 };
		own_event.ns = ns;
		tell(&own_event);
	}
}

/* Telling one may fill a chunk, which is another; chunks are far larger than records. */
void capture_tell_own_calls(uint64_t ns)
{
	while (own_nr_pending())
		tell_own_calls(ns, own_nr_pending());
}

void capture_own_calls(void)
{
	struct lock_state state;

	lock_take(&state);
	capture_tell_own_calls(recorder_now());
	lock_drop(&state);
}

/* A copy of libc, loaded into another namespace. */
static void note_text(const struct event *e)
{
	const struct vma *vma = e->effect.vma;

	if (e->call.op == MM_MMAP && e->call.file && e->file.name && vma &&
	    (vma->vm_flags & (VM_READ | VM_EXEC)) == (VM_READ | VM_EXEC))
		patch_note_text(vma->vm_start, vma->vm_end, e->file.name);
}

/* The number may be given to another file. */
static void forget_uffd(const struct mm_call *call)
{
	uint64_t fd = call->arg[0];

	if (call->op == MM_CLOSE && capture_is_uffd((int)fd))
		uffds[fd / 64] &= ~(1ull << fd % 64);
}

/* Everything after the system call. Under the lock. */
static void finish_event(struct event *e)
{
	struct verify_touched what;

	/* Those made before the event's call; what telling them makes came after it. */
	tell_own_calls(e->ns, own_nr_pending());
	verify_catch_up(&capture_mm, seq);
	tell(e);
	forget_uffd(&e->call);
	event_touched(e, &what);
	note_text(e);
	capture_tell_own_calls(e->ns);
	if (config.verify == VERIFY_EVERY && seq % config.verify_every == 0 &&
	    what.check.start < what.check.end)
		verify_event(&capture_mm, &what, seq);
	if (checkpoint_wanted || is_due(e->ns)) {
		capture_checkpoint(checkpoint_wanted ? "signal" : "timer",
				   config.frames == FRAMES_CHECKPOINT);
		checkpoint_wanted = false;
	}
}

void capture_checkpoint(const char *why, bool frames)
{
	capture_tell_own_calls(recorder_now());
	last_checkpoint_ns = recorder_now();
	checkpoint_record(why, frames, seq);
	capture_tell_own_calls(recorder_now());
}

/* Fill the one event in flight. */
static void begin_event(enum mm_op op, const uint64_t arg[6], enum trace_origin origin)
{
	event.call = (struct mm_call){ .op = op };
	memcpy(event.call.arg, arg, sizeof(event.call.arg));
	event.origin = origin;
	event.tid = thread_tid();
	event.nr_resolved = 0;
	event.old_brk = capture_mm.brk;
	event.effect = (struct mm_effect){ 0 };
}

static bool pass_through(enum mm_op op)
{
	if (tls.self_test)
		tls.self_test_seen |= 1u << op;
	else if (capture_is_on() && tls.locked)
		recorder_lost("call", "guard", 1);
	return !capture_is_on() || tls.self_test || tls.locked;
}

/*
 * A site in the loader's text is the loader's. libc's is libc's own if libc called the function it
 * is in: mmap() called by malloc(). Called from elsewhere, past our symbol, it is the program's.
 */
static enum trace_origin origin_of_stack(uint32_t stack)
{
	int by_symbol = tls.symbol_origin;
	uint64_t ips[2] = { 0, 0 };

	tls.symbol_origin = 0;
	if (by_symbol)
		return (enum trace_origin)(by_symbol - 1);
	if (tls.unwinding)
		return TRACE_ORIGIN_SELF;
	capture_innermost(stack, ips);
	if (modules_origin(ips[0]) == TRACE_ORIGIN_LOADER)
		return TRACE_ORIGIN_LOADER;
	return ips[1] ? modules_origin(ips[1]) : TRACE_ORIGIN_LIBC;
}

static bool holds_code(const struct verify_range *range)
{
	struct vma *vma = range->start < range->end ? find_vma(&capture_mm, range->start) : NULL;

	for (; vma && vma->vm_start < range->end; vma = vma->vm_next) {
		if (vma->vm_flags & VM_EXEC && vma->file_id)
			return true;
	}
	return false;
}

/*
 * What the call is about to work on, brought up to date; and if code goes with it, what was found out
 * about that goes first. Under the lock.
 */
static void look_before(enum mm_op op, const uint64_t arg[6])
{
	bool unmaps = op == MM_MUNMAP || op == MM_MMAP || op == MM_MREMAP;
	struct verify_range range[2];
	int i;

	if ((!unmaps && config.verify != VERIFY_EVERY) || !event_range(op, arg, range))
		return;
	if (unmaps && (holds_code(&range[0]) || holds_code(&range[1])))
		cfi_forget();
	for (i = 0; i < 2 && config.verify == VERIFY_EVERY; i++) {
		if (range[i].start < range[i].end)
			verify_growth(&capture_mm, range[i].start, range[i].end, seq);
	}
}

long capture_call(enum mm_op op, long nr, const uint64_t arg[6], enum trace_origin origin)
{
	struct lock_state state;
	uint32_t stack;
	uint64_t ns;
	bool blocks;
	long ret;

	if (pass_through(op))
		return sys_forward(nr, (long)arg[0], (long)arg[1], (long)arg[2], (long)arg[3],
				(long)arg[4], (long)arg[5]);
	tls.depth++;
	stack = capture_stack();
	if (origin == CAPTURE_ORIGIN_OF_STACK)
		origin = origin_of_stack(stack);
	lock_take(&state);
	look_before(op, arg);
	blocks = may_block(op, arg);
	if (blocks)
		lock_drop(&state);
	ns = is_release(op) ? recorder_now() : 0;
	ret = sys_forward(nr, (long)arg[0], (long)arg[1], (long)arg[2], (long)arg[3], (long)arg[4],
		       (long)arg[5]);
	if (blocks)
		lock_take(&state);
	begin_event(op, arg, origin);
	event.call.ret = ret;
	event.ns = is_release(op) ? ns : recorder_now();
	event.stack = stack;
	finish_event(&event);
	lock_drop(&state);
	tls.depth--;
	return ret;
}

void *capture_brk(void *(*move)(intptr_t arg), intptr_t arg, bool is_sbrk,
		  enum trace_origin origin)
{
	uint64_t args[6] = { 0 };
	struct lock_state state;
	uint32_t stack;
	void *ret;
	int err;

	if (patch_has(SYS_brk)) {
		tls.symbol_origin = 1 + (int)origin;
		ret = move(arg);
		tls.symbol_origin = 0;
		return ret;
	}
	if (pass_through(MM_BRK) || (is_sbrk && !arg))
		return move(arg);
	tls.depth++;
	stack = capture_stack();
	lock_take(&state);
	args[0] = is_sbrk ? sys_brk(0) + (uint64_t)arg : (uint64_t)arg;
	begin_event(MM_BRK, args, origin);
	ret = move(arg);
	err = errno;
	event.call.ret = (int64_t)sys_brk(0);
	event.ns = recorder_now();
	event.stack = stack;
	finish_event(&event);
	lock_drop(&state);
	tls.depth--;
	errno = err;
	return ret;
}

void capture_shrink(void)
{
	uint64_t start[2] = { 0, 0 }, bytes[2];
	struct lock_state state;
	int i;

	if (!capture_is_on() || tls.locked)
		return;
	lock_take(&state);
	bytes[0] = arena_shrink(&start[0]);
	bytes[1] = sink_shrink(&start[1]);
	lock_drop(&state);
	for (i = 0; i < 2; i++) {
		const uint64_t arg[6] = { start[i], bytes[i] };

		if (bytes[i])
			capture_call(MM_MUNMAP, SYS_munmap, arg, TRACE_ORIGIN_SELF);
	}
}

long capture_uffd_api(int fd, uint64_t arg)
{
	struct uffdio_api api;

	/* Before the call, which stores what features there are. */
	has_userfaultfd = true;
	if (sys_read_user(&api, (const void *)arg, sizeof(api)) == sizeof(api) &&
	    api.features & (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			    UFFD_FEATURE_EVENT_UNMAP))
		has_uffd_events = true;
	return sys_call(SYS_ioctl, fd, (long)UFFDIO_API, (long)arg, 0, 0, 0);
}

uint64_t capture_seq(void)
{
	return seq;
}

void capture_reset(void)
{
	seq = 0;
	own_forget();
	last_checkpoint_ns = 0;
	checkpoint_wanted = false;
}
