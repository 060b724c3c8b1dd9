/* SPDX-License-Identifier: MIT */
/*
 * fork:  prepare ── lock ──▶ fork ──▶ parent: unlock
 *                                └──▶ child: new trace, unlock
 *
 * The child's copy of the shadow is consistent because the lock is held over the fork.
 */
#include "task.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "capture.h"
#include "config.h"
#include "errnames.h"
#include "hooks.h"
#include "lock.h"
#include "recorder.h"
#include "sink.h"
#include "start.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

#define NR_ARGV 64
#define ARGV_BYTES 4096

static struct lock_state fork_state;
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

	start_fork_child(fork_parent, fork_nested);
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

void task_vfork_enter(void)
{
	uint32_t stack = 0;

	if (capture_is_on() && !tls.vfork_child) {
		tls.depth++;
		stack = capture_stack();
		tls.depth--;
	}
	tls.vfork_stack = stack;
	tls.vfork_child = true;
}

/* In the parent, when the child is done with the memory. */
long task_vfork_leave(long ret)
{
	tls.vfork_child = false;
	if (capture_is_on())
		capture_fork("vfork", ret, tls.vfork_stack);
	return hook_result(ret);
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

/* The program's own pointers: they may lead anywhere. */
static void put_argv(struct jsonw *w, char *const argv[])
{
	static char text[ARGV_BYTES];
	size_t left = ARGV_BYTES, n;
	const char *arg;
	int i;

	jsonw_array(w, "argv");
	for (i = 0; argv && i < NR_ARGV && left > 1; i++) {
		if (sys_read_user(&arg, &argv[i], sizeof(arg)) != sizeof(arg) || !arg)
			break;
		n = sys_read_user_string(text, arg, left);
		jsonw_strn(w, NULL, text, n);
		left -= n;
	}
	jsonw_array_end(w);
}

/* A vfork child's exec is no end of the parent's trace. */
void capture_exec(const char *path, char *const argv[])
{
	static char text[ARGV_BYTES];
	int err = errno;
	struct lock_state state;
	struct jsonw *w;
	uint32_t stack;

	if (!capture_is_on() || tls.vfork_child || tls.locked)
		return;
	tls.depth++;
	stack = capture_stack();
	lock_take(&state);
	thread_flush_all();
	capture_checkpoint("exec", config.frames != FRAMES_OFF);
	recorder_flush_lost();
	w = recorder_writer();
	jsonw_event(w, "exec");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	sys_read_user_string(text, path, sizeof(text));
	jsonw_str(w, "path", text);
	put_argv(w, argv);
	jsonw_num(w, "stack", stack);
	recorder_commit(w);
	recorder_trim();
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

void capture_exec_failed(int error)
{
	int err = errno;
	struct lock_state state;
	struct jsonw *w;

	if (!capture_is_on() || tls.vfork_child || tls.locked)
		return;
	tls.depth++;
	lock_take(&state);
	w = recorder_writer();
	jsonw_event(w, "exec");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	jsonw_str(w, "errno", errname(error));
	recorder_commit(w);
	lock_drop(&state);
	tls.depth--;
	errno = err;
}

static void put_thread(const char *op)
{
	struct jsonw *w = recorder_writer();

	jsonw_event(w, "thread");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	jsonw_str(w, "op", op);
	recorder_commit(w);
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
	put_thread("start");
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
	put_thread("end");
}
