/* SPDX-License-Identifier: MIT */
/* Which of the calls are ours, by number. */
#include "dispatch.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "capture.h"
#include "exec.h"
#include "fds.h"
#include "lock.h"
#include "seccomp.h"
#include "sud.h"
#include "sys.h"
#include "task.h"
#include "thread.h"

#include "no_heap.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#define PR_MEMORY_MERGE 67	/* PR_SET_MEMORY_MERGE, not in Debian 12's headers */

/* The call as the model knows it, or -1. */
static int op_of(long nr, const uint64_t *arg)
{
	switch (nr) {
	case SYS_mmap: return MM_MMAP;
	case SYS_munmap: return MM_MUNMAP;
	case SYS_mremap: return MM_MREMAP;
	case SYS_mprotect: return MM_MPROTECT;
	case SYS_pkey_mprotect: return MM_PKEY_MPROTECT;
	case SYS_brk: return MM_BRK;
	case SYS_madvise: return MM_MADVISE;
	case SYS_process_madvise: return MM_PROCESS_MADVISE;
	case SYS_mlock: return MM_MLOCK;
	case SYS_mlock2: return MM_MLOCK2;
	case SYS_munlock: return MM_MUNLOCK;
	case SYS_mlockall: return MM_MLOCKALL;
	case SYS_munlockall: return MM_MUNLOCKALL;
	case SYS_mseal: return MM_MSEAL;
	case SYS_remap_file_pages: return MM_REMAP_FILE_PAGES;
	case SYS_shmat: return MM_SHMAT;
	case SYS_shmdt: return MM_SHMDT;
	case SYS_mbind: return MM_MBIND;
	case SYS_set_mempolicy: return MM_SET_MEMPOLICY;
	case SYS_set_mempolicy_home_node: return MM_SET_MEMPOLICY_HOME_NODE;
	case SYS_io_setup: return MM_IO_SETUP;
	case SYS_io_destroy: return MM_IO_DESTROY;
	case SYS_ioctl: return capture_is_uffd_ioctl(arg[1]) ? (int)MM_IOCTL : -1;
	case SYS_close: return capture_is_uffd((int)arg[0]) ? (int)MM_CLOSE : -1;
	case SYS_prctl:
		return arg[0] == PR_SET_VMA || arg[0] == PR_SET_MM || arg[0] == PR_MEMORY_MERGE ?
		       (int)MM_PRCTL : -1;
	default: return -1;
	}
}

static long make(long nr, const uint64_t *a)
{
	return sys_forward(nr, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4], (long)a[5]);
}

static long fork_by_number(long nr, const uint64_t *arg)
{
	uint32_t stack = capture_stack_of_task();
	long ret;

	task_fork_prepare();
	ret = make(nr, arg);
	if (!ret) {
		task_fork_child();
		return 0;
	}
	task_fork_parent();
	capture_fork(nr == SYS_fork ? "fork" : nr == SYS_clone ? "clone" : "clone3", ret, stack);
	return ret;
}

static bool installs_handler(const uint64_t *arg)
{
	uint64_t handler = 0;

	return arg[1] && sys_read_user(&handler, (const void *)arg[1], sizeof(handler)) &&
	       handler > (uint64_t)(uintptr_t)SIG_IGN;
}

static enum trace_origin origin_of(enum dispatch_way way)
{
	if (tls.unwinding)
		return TRACE_ORIGIN_SELF;
	return way == DISPATCH_SITE ? CAPTURE_ORIGIN_OF_STACK : TRACE_ORIGIN_RAW;
}

long dispatch(long nr, const uint64_t arg[6], enum dispatch_way way)
{
	int op = op_of(nr, arg);

	if (op >= 0)
		return capture_call((enum mm_op)op, nr, arg, origin_of(way));
	if (nr == SYS_rt_sigaction && installs_handler(arg))
		lock_note_handler();
	/* A vfork child has handlers of its own. */
	if (sud_is_on() && !tls.vfork_child && nr == SYS_rt_sigaction)
		return sud_sigaction(arg);
	if (sud_is_on() && !tls.vfork_child && nr == SYS_rt_sigprocmask)
		return sud_sigprocmask(arg);
	if (!capture_is_on() || tls.locked)
		return make(nr, arg);
	if (nr == SYS_execve || nr == SYS_execveat)
		return exec_call(nr, arg);
	if (seccomp_is_set(nr, arg) && !tls.vfork_child)
		return seccomp_set(nr, arg);
	if (tls.vfork_child)
		return make(nr, arg);
	if (task_is_fork(nr, arg[0]))
		return fork_by_number(nr, arg);
	switch (nr) {
	case SYS_exit_group:
		if (!tls.other_process)
			capture_finish("_exit", (int)arg[0]);
		return make(nr, arg);
	case SYS_close:
		return fds_is_own((int)arg[0]) ? -EBADF : make(nr, arg);
	case SYS_close_range:
		return fds_close_range((unsigned int)arg[0], (unsigned int)arg[1],
				       (unsigned int)arg[2]);
	case SYS_dup2:
	case SYS_dup3:
		if (arg[0] != arg[1] && fds_is_own((int)arg[1]))
			fds_vacate((int)arg[1]);
		return make(nr, arg);
	case SYS_ioctl:
		return capture_is_uffd_api(arg[1]) ? capture_uffd_api((int)arg[0], arg[2]) :
						     make(nr, arg);
	default:
		return make(nr, arg);
	}
}
