/* SPDX-License-Identifier: MIT */
/* fork and its kin, exec and its spellings, the ways to end, and thread creation. */
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "arena.h"
#include "capture.h"
#include "dispatch.h"
#include "exec.h"
#include "hooks.h"
#include "lock.h"
#include "modules.h"
#include "next.h"
#include "patch.h"
#include "task.h"
#include "thread.h"

#define U(x) ((uint64_t)(x))
#define NR_EXECL 1024	/* arguments of execl() and its kin */

extern char **environ;

pid_t _Fork(void);
int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags);

EXPORT pid_t fork(void)
{
	uint32_t stack = capture_stack_of_task();
	pid_t pid;

	next_resolve();
	pid = next.fork_();
	if (pid)
		capture_fork("fork", pid < 0 ? -errno : pid, stack);
	return pid;
}

/* Runs no fork handlers: ours are called by hand. */
EXPORT pid_t _Fork(void)
{
	uint32_t stack = capture_stack_of_task();
	pid_t pid;

	next_resolve();
	if (!next.bare_fork_) {
		errno = ENOSYS;
		return -1;
	}
	if (!capture_is_on())
		return next.bare_fork_();
	task_libc_fork_prepare();
	pid = next.bare_fork_();
	if (!pid) {
		task_libc_fork_child();
		return 0;
	}
	task_libc_fork_parent();
	capture_fork("_Fork", pid < 0 ? -errno : pid, stack);
	return pid;
}

/* clone() of a whole process: the child's function runs behind what a fork child does. */
struct clone_start {
	int (*fn)(void *arg);
	void *arg;
};

static int clone_run(void *arg)
{
	struct clone_start start = *(struct clone_start *)arg;

	task_libc_fork_child();
	_exit(start.fn(start.arg));
}

/* With CLONE_VM the child shares our memory and our TLS: nothing of ours may run in it. */
EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct clone_start start = { fn, arg };
	pid_t *parent_tid, *child_tid;
	uint32_t id = capture_stack_of_task();
	void *tls_area;
	va_list ap;
	int pid;

	next_resolve();
	va_start(ap, arg);
	parent_tid = va_arg(ap, pid_t *);
	tls_area = va_arg(ap, void *);
	child_tid = va_arg(ap, pid_t *);
	va_end(ap);
	if (task_shares_block((uint64_t)flags))
		thread_note_shared();
	if ((flags & (CLONE_VM | CLONE_VFORK | CLONE_SETTLS)) == (CLONE_VM | CLONE_VFORK) &&
	    !patch_has(SYS_clone)) {
		tls.vfork_child = true;
		pid = next.clone_(fn, stack, flags, arg, parent_tid, tls_area, child_tid);
		tls.vfork_child = false;
	} else if (flags & (CLONE_VM | CLONE_FILES) || !capture_is_on() || tls.vfork_child || !fn ||
		   !stack) {
		/* Shared descriptors: a trace of its own would close the parent's. */
		pid = next.clone_(fn, stack, flags, arg, parent_tid, tls_area, child_tid);
	} else {
		task_libc_fork_prepare();
		pid = next.clone_(clone_run, stack, flags, &start, parent_tid, tls_area, child_tid);
		task_libc_fork_parent();
	}
	capture_fork("clone", pid < 0 ? -errno : pid, id);
	return pid;
}

/* posix_spawn() or posix_spawnp(), which differ only in how they find the file. */
typedef int spawn_fn(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);

/* The child shares our memory but runs libc's code only, with every signal blocked. */
static int spawn(spawn_fn *real, uint32_t stack, pid_t *pid, const char *file,
		 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		 char *const argv[], char *const envp[])
{
	pid_t child = 0;
	int err = real(&child, file, actions, attr, argv, envp);

	if (!err && pid)
		*pid = child;
	capture_fork("posix_spawn", err ? -err : child, stack);
	return err;
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	next_resolve();
	return spawn(next.posix_spawn_, capture_stack_of_task(), pid, path, actions, attr, argv, envp);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	next_resolve();
	return spawn(next.posix_spawnp_, capture_stack_of_task(), pid, file, actions, attr, argv, envp);
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	const uint64_t arg[6] = { U(path), U(argv), U(envp) };

	return (int)hook_result(dispatch(SYS_execve, arg, DISPATCH_BY_NUMBER));
}

/* libc searches the path; each try arrives at its site, if that is patched. */
EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	bool at_site = patch_has(SYS_execve);
	int ret, err;

	next_resolve();
	if (!at_site)
		exec_record(file, argv);
	ret = next.execvpe_(file, argv, envp);
	err = errno;
	if (!at_site)
		exec_record_failure(err);
	errno = err;
	return ret;
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	const uint64_t arg[6] = { U(fd), U(""), U(argv), U(envp), AT_EMPTY_PATH };

	if (fd < 0 || !arg[2] || !arg[3]) {
		errno = EINVAL;
		return -1;
	}
	return (int)hook_result(dispatch(SYS_execveat, arg, DISPATCH_BY_NUMBER));
}

EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	const uint64_t arg[6] = { U(fd), U(path), U(argv), U(envp), U(flags) };

	return (int)hook_result(dispatch(SYS_execveat, arg, DISPATCH_BY_NUMBER));
}

/* Collect a NULL-ended list; @ret_envp gets what follows it. Return: false if it is too long. */
static bool collect(char **argv, const char *first, va_list ap, char ***ret_envp)
{
	size_t n = 0;

	argv[n++] = (char *)first;
	while (first && n < NR_EXECL && (argv[n] = va_arg(ap, char *)))
		n++;
	if (n == NR_EXECL) {
		errno = E2BIG;
		return false;
	}
	if (ret_envp)
		*ret_envp = va_arg(ap, char **);
	return true;
}

EXPORT int execl(const char *path, const char *arg, ...)
{
	char *argv[NR_EXECL];
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = collect(argv, arg, ap, NULL);
	va_end(ap);
	return ok ? execve(path, argv, environ) : -1;
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	char *argv[NR_EXECL];
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = collect(argv, arg, ap, NULL);
	va_end(ap);
	return ok ? execvpe(file, argv, environ) : -1;
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	char *argv[NR_EXECL], **envp;
	va_list ap;
	bool ok;

	va_start(ap, arg);
	ok = collect(argv, arg, ap, &envp);
	va_end(ap);
	return ok ? execve(path, argv, envp) : -1;
}

EXPORT void _exit(int status)
{
	next_resolve();
	if (capture_is_on() && !thread_is_in_other_process() && !tls.locked)
		capture_finish("_exit", status);
	next.exit_(status);
	__builtin_unreachable();
}

/* Descriptors 0 to 2 onto /dev/null, if it is what its name says. Return: 0, -errno. */
static long close_terminal(void)
{
	struct stat st;
	int fd = sys_open("/dev/null", O_RDWR, 0), to;

	if (fd < 0)
		return fd;
	if (sys_fstat(fd, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
		sys_close(fd);
		return -ENODEV;
	}
	for (to = 0; to <= 2; to++)
		sys_forward(SYS_dup2, fd, to, 0, 0, 0, 0);
	if (fd > 2)
		sys_close(fd);
	return 0;
}

/* libc's own leaves by an _exit() that can't be seen: the parent's trace would have no end. */
EXPORT int daemon(int nochdir, int noclose)
{
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid)
		_exit(0);
	if (hook_result(sys_forward(SYS_setsid, 0, 0, 0, 0, 0, 0)) < 0)
		return -1;
	if (!nochdir)
		sys_forward(SYS_chdir, (long)"/", 0, 0, 0, 0, 0);
	return noclose ? 0 : (int)hook_result(close_terminal());
}

EXPORT void _Exit(int status)
{
	_exit(status);
}

/* Its handlers run after this; what they map is recorded after the end event. */
EXPORT void quick_exit(int status)
{
	next_resolve();
	if (capture_is_on() && !thread_is_in_other_process())
		capture_finish("exit", status);
	next.quick_exit_(status);
	__builtin_unreachable();
}

EXPORT int dlclose(void *handle)
{
	int ret;

	next_resolve();
	ret = next.dlclose_(handle);
	if (capture_is_on() && !tls.depth && !tls.locked) {
		int err = errno;

		tls.depth++;
		if (thread_gate_enter(thread_self())) {
			modules_refresh();
			thread_gate_leave(tls.thread);
		}
		tls.depth--;
		errno = err;
	}
	return ret;
}

/* What a new thread runs first. */
static struct launch {
	void *(*start)(void *arg);
	void *arg;
	struct launch *next;
} *launches;

static struct launch *launch_get(void)
{
	struct lock_state state;
	struct launch *l;

	lock_take(&state);
	l = launches;
	if (l)
		launches = l->next;
	else
		l = arena_alloc(sizeof(*l));
	lock_drop(&state);
	return l;
}

static void launch_put(struct launch *l)
{
	struct lock_state state;

	lock_take(&state);
	l->next = launches;
	launches = l;
	lock_drop(&state);
}

static void *launch_run(void *arg)
{
	struct launch l = *(struct launch *)arg;

	launch_put(arg);
	capture_thread_start();
	return l.start(l.arg);
}

/* Threads are seen where libc makes them, also those it makes for itself. */
static bool sees_threads(void)
{
	return patch_has(SYS_clone3) || patch_has(SYS_clone);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
			  void *arg)
{
	struct launch *l = NULL;
	uint32_t stack;
	int err;

	next_resolve();
	if (capture_is_on() && !tls.locked && !sees_threads())
		l = launch_get();
	if (!l)
		return next.pthread_create_(thread, attr, start, arg);
	l->start = start;
	l->arg = arg;
	stack = capture_stack_of_task();
	err = next.pthread_create_(thread, attr, launch_run, l);
	if (err)
		launch_put(l);
	else
		capture_thread_create(stack);
	return err;
}
