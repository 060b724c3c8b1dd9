/* SPDX-License-Identifier: MIT */
/*
 * fork:  prepare ── lock ──▶ fork ──▶ parent: unlock
 *                                └──▶ child: new trace, unlock
 *
 * The child's copy of the shadow is consistent because the lock is held over the fork.
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

void task_init(void)
{
	pthread_atfork(task_fork_prepare, task_fork_parent, task_fork_child);
}

void task_fork_prepare(void)
{
	struct lock_state state;
	bool nested = tls.depth > 0;

	tls.depth++;
	thread_gate_close();
	lock_take(&state);
	fork_state = state;
	fork_thread = thread_state();
	fork_parent = sys_getpid();
	fork_nested = nested;
}

void task_fork_parent(void)
{
	struct lock_state state = fork_state;

	lock_drop(&state);
	thread_gate_open();
	tls.depth--;
}

void task_fork_child(void)
{
	struct lock_state state = fork_state;
	int err = errno;

	thread_unshare(fork_thread);
	sud_arm();
	start_fork_child(fork_parent, fork_nested);
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

void task_clone_enter(long nr, uint64_t first_arg)
{
	const uint64_t shares = CLONE_VM | CLONE_VFORK;
	uint64_t flags = first_arg;

	if (nr == SYS_clone3 &&
	    sys_read_user(&flags, (const void *)first_arg, sizeof(flags)) != sizeof(flags))
		flags = 0;
	/* A new thread is known by its TLS, which is as it was made. */
	(void)thread_tid();
	tls.clone_shares = !tls.vfork_child && (flags & (shares | CLONE_SETTLS)) == shares;
	if (tls.clone_shares)
		tls.vfork_child = true;
	if (task_shares_block(flags))
		thread_note_shared();
	tls.thread_stack = flags & CLONE_THREAD ? capture_stack_of_task() : 0;
	sud_pause();
}

void task_clone_leave(long ret)
{
	if (ret) {
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
