/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: the program can neither close ours nor be surprised by their numbers. To it they
 * do not exist: close() of one is EBADF, dup2() onto one makes it move away.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture.h"
#include "fds.h"
#include "hooks.h"
#include "modules.h"
#include "next.h"
#include "thread.h"

/* A vfork child has a descriptor table of its own, in which ours may go. */
static bool protects(int fd)
{
	return capture_is_on() && !tls.vfork_child && fds_is_own(fd);
}

EXPORT int close(int fd)
{
	next_resolve();
	if (protects(fd)) {
		if (modules_is_own((uintptr_t)CALLER)) {
			fds_close(fd);
			return 0;
		}
		errno = EBADF;
		return -1;
	}
	if (capture_is_uffd(fd))
		return (int)hook_result(capture_call(MM_CLOSE, SYS_close,
						     (const uint64_t[6]){ (uint64_t)fd },
						     modules_origin((uintptr_t)CALLER)));
	return next.close_(fd);
}

EXPORT int dup2(int from, int to)
{
	if (from != to && protects(to))
		fds_vacate(to);
	return (int)hook_result(sys_forward(SYS_dup2, from, to, 0, 0, 0, 0));
}

EXPORT int dup3(int from, int to, int flags)
{
	if (from != to && protects(to))
		fds_vacate(to);
	return (int)hook_result(sys_forward(SYS_dup3, from, to, flags, 0, 0, 0));
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	if (!capture_is_on() || tls.vfork_child)
		return (int)hook_result(sys_forward(SYS_close_range, first, last, flags, 0, 0, 0));
	return (int)hook_result(fds_close_range(first, last, (unsigned int)flags));
}

/* Can't fail, says the manual: where close_range() is missing, one by one. */
EXPORT void closefrom(int lowest)
{
	int err = errno, fd;

	if (lowest < 0)
		lowest = 0;
	if (close_range((unsigned int)lowest, ~0u, 0)) {
		for (fd = lowest; fd < sysconf(_SC_OPEN_MAX); fd++)
			close(fd);
		errno = err;
	}
}

/* libunwind keeps a pipe to probe addresses with: out of the program's way with it. */
EXPORT int pipe2(int fds[2], int flags)
{
	int ret = (int)hook_result(sys_forward(SYS_pipe2, (long)fds, flags, 0, 0, 0, 0));

	if (!ret && modules_is_own((uintptr_t)CALLER)) {
		fds[0] = fds_adopt(fds[0]);
		fds[1] = fds_adopt(fds[1]);
	}
	return ret;
}
