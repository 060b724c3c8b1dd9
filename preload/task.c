/* SPDX-License-Identifier: MIT */
/*
 * fork:  prepare ── lock ──▶ fork ──▶ parent: unlock
 *                                └──▶ child: new trace, unlock
 *
 * The child's copy of the shadow is consistent because the lock is held over the fork. In libc's fork()
 * that is at the site of the system call: the locks of libc, which come behind the prepare handlers,
 * may be held by a thread that waits for ours. Where the site is not patched the lock is lent there.
 */
#include "task.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "capture.h"
#include "errnames.h"
#include "hooks.h"
#include "lock.h"
#include "modules.h"
#include "patch.h"
#include "recorder.h"
#include "start.h"
#include "sud.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

static struct lock_state fork_state;
static const struct thread_local_state *fork_thread;
static int fork_parent;
static bool fork_nested;	/* by a signal handler that interrupted a hook */
static bool fork_gated;		/* nobody was inside the gate */
static volatile bool has_site;	/* a fork() of libc's came by there */

void task_init(void)
{
	pthread_atfork(task_libc_fork_prepare, task_libc_fork_parent, task_libc_fork_child);
}

/* Of clone() and clone3(); what can't be read has none that matter, and fails. */
static uint64_t clone_flags(long nr, uint64_t first_arg)
{
	uint64_t flags = first_arg;

	if (nr == SYS_clone3 &&
	    sys_read_user(&flags, (const void *)first_arg, sizeof(flags)) != sizeof(flags))
		return CLONE_FILES;
	return flags;
}

bool task_is_fork(long nr, uint64_t first_arg)
{
	uint64_t flags = clone_flags(nr, first_arg);

	return nr == SYS_fork || ((nr == SYS_clone || nr == SYS_clone3) && !(flags & (CLONE_VM | CLONE_FILES)));
}

void task_fork_prepare(void)
{
	struct lock_state state;
	bool nested = tls.depth > 0, gated;

	tls.depth++;
	gated = thread_gate_close();
	lock_take(&state);
	fork_state = state;
	fork_thread = thread_state();
	fork_parent = sys_getpid();
	fork_nested = nested;
	fork_gated = gated;
}

void task_fork_parent(void)
{
	struct lock_state state = fork_state;

	fork_thread = NULL;
	lock_drop(&state);
	thread_gate_open();
	tls.depth--;
}

/* Under the lock. */
static void begin_child(bool traced)
{
	if (!fork_gated || modules_loader_is_stuck())
		thread_gate_lock();
	sud_arm();
	start_fork_child(fork_parent, traced);
}

void task_fork_child(void)
{
	struct lock_state state = fork_state;
	int err = errno;

	thread_unshare(fork_thread);
	begin_child(!fork_nested);
	lock_reset();
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

void task_libc_fork_prepare(void)
{
	bool gated;

	if (has_site && patch_has(SYS_clone))
		return;
	gated = thread_gate_close();
	lock_lend();
	fork_thread = thread_state();
	fork_parent = sys_getpid();
	fork_nested = tls.depth > 0;
	fork_gated = gated;
}

void task_libc_fork_parent(void)
{
	if (!tls.lends)
		return;
	fork_thread = NULL;
	lock_take_back();
	thread_gate_open();
}

/* Who took the lock nevertheless was in the middle of something: there is no trace of this child then. */
void task_libc_fork_child(void)
{
	struct lock_state state;
	bool is_whole = lock_is_free();
	int err = errno;

	/* At the site all was done. */
	if (!lock_is_lent())
		return;
	thread_unshare(fork_thread);
	lock_reset();
	tls.depth++;
	lock_take(&state);
	begin_child(is_whole && !fork_nested);
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

void task_vfork_enter(void)
{
	tls.vfork_stack = capture_stack_of_task();
	tls.vfork_child = true;
	sud_pause();
}

/* In the parent, when the child is done with the memory. */
long task_vfork_leave(long ret)
{
	tls.vfork_child = false;
	sud_resume();
	if (capture_is_on())
		capture_fork("vfork", ret, tls.vfork_stack);
	return hook_result(ret);
}

bool task_shares_block(uint64_t flags)
{
	return (flags & (CLONE_VM | CLONE_VFORK | CLONE_SETTLS)) == CLONE_VM;
}

static void begin_fork_at_site(void)
{
	has_site = true;
	task_libc_fork_parent();
	task_fork_prepare();
	tls.forks = true;
}

void task_clone_enter(long nr, uint64_t first_arg)
{
	const uint64_t shares = CLONE_VM | CLONE_VFORK;
	uint64_t flags = clone_flags(nr, first_arg);

	/* A new thread is known by its TLS, which is as it was made. */
	(void)thread_tid();
	tls.clone_shares = !tls.vfork_child && (flags & (shares | CLONE_SETTLS)) == shares;
	if (tls.clone_shares)
		tls.vfork_child = true;
	if (task_shares_block(flags))
		thread_note_shared();
	tls.thread_stack = flags & CLONE_THREAD ? capture_stack_of_task() : 0;
	if (task_is_fork(nr, first_arg) && capture_is_on() && !tls.vfork_child && !tls.locked)
		begin_fork_at_site();
	sud_pause();
}

/* On a shared block it is not known yet who runs: by the registers, which are the parent's. */
static bool is_fork_child(long nr, uint64_t first_arg)
{
	return tls_block.shared ? fork_thread && task_is_fork(nr, first_arg) && sys_getpid() != fork_parent :
				  tls_block.forks;
}

void task_clone_leave(long nr, uint64_t first_arg, long ret)
{
	if (!ret && is_fork_child(nr, first_arg)) {
		task_fork_child();
		tls.forks = false;
	} else if (ret) {
		if (tls.forks) {
			tls.forks = false;
			task_fork_parent();
		}
		if (tls.clone_shares)
			tls.vfork_child = tls.clone_shares = false;
		sud_resume();
		if (ret > 0 && tls.thread_stack)
			capture_thread_create(tls.thread_stack);
		tls.thread_stack = 0;
	} else if (!thread_begin_task() && !tls.tid) {
		sud_arm();
		capture_thread_start();
	}
}

void capture_fork(const char *call, long child, uint32_t stack)
{
	int err = errno;
	struct lock_state state;
	struct jsonw *w;

	if (!capture_is_on() || tls.vfork_child)
		return;
	tls.depth++;
	lock_take(&state);
	w = recorder_writer();
	jsonw_event(w, "fork");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	jsonw_str(w, "call", call);
	if (child >= 0)
		jsonw_num(w, "child", child);
	else
		jsonw_str(w, "errno", errname((int)-child));
	jsonw_num(w, "stack", stack);
	recorder_commit(w);
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

static void put_thread(const char *op, uint32_t stack)
{
	struct jsonw *w = recorder_writer();

	jsonw_event(w, "thread");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	jsonw_str(w, "op", op);
	if (stack)
		jsonw_num(w, "stack", stack);
	recorder_commit(w);
}

void capture_thread_create(uint32_t stack)
{
	struct lock_state state;
	int err = errno;

	if (!capture_is_on() || tls.locked)
		return;
	tls.depth++;
	lock_take(&state);
	put_thread("create", stack);
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

void capture_thread_start(void)
{
	struct lock_state state;

	if (!capture_is_on())
		return;
	tls.depth++;
	(void)thread_self();
	lock_take(&state);
	mmget(&capture_mm);
	put_thread("start", 0);
	lock_drop(&state);
	tls.depth--;
}

/* The main thread ends with the process: it never comes here with others still alive. */
void capture_thread_end(void)
{
	if (!capture_is_on())
		return;
	if (capture_mm.mm_users > 1)
		mmput(&capture_mm);
	put_thread("end", 0);
}
