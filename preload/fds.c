/* SPDX-License-Identifier: MIT */
/* A small table: the number an owner knows a descriptor by, and the one it has now. */
#include "fds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sys.h"

#include "no_heap.h"

static struct own_fd {
	int handle, fd;	/* handle: what the owner got; both 0: free */
} own[FDS_MAX];

/* As high as the limit allows, but not above 1023: select() and old shells look no further. */
static int move_high(int fd, int below)
{
	uint64_t limit = 1024;
	int min, high;

	sys_getrlimit(RLIMIT_NOFILE, &limit);
	min = limit > 1024 ? 1024 : (int)limit;
	if (below < min)
		min = below;
	min -= 2 * FDS_MAX;
	for (; min > 3; min -= FDS_MAX) {
		high = sys_fcntl(fd, F_DUPFD_CLOEXEC, min);
		if (high >= 0)
			return high;
	}
	return fd;
}

int fds_adopt(int fd)
{
	int high, i;

	if (fd < 0)
		return fd;
	high = move_high(fd, 1 << 20);
	if (high != fd)
		sys_close(fd);
	for (i = 0; i < FDS_MAX; i++) {
		if (!own[i].fd) {
			own[i] = (struct own_fd){ high, high };
			return high;
		}
	}
	sys_close(high);
	return -EMFILE;
}

int fds_open(const char *path, int flags, int mode)
{
	return fds_adopt(sys_open(path, flags, mode));
}

int fds_now(int handle)
{
	int i;

	for (i = 0; i < FDS_MAX; i++) {
		if (own[i].fd && own[i].handle == handle)
			return own[i].fd;
	}
	return -1;
}

void fds_close(int handle)
{
	int i;

	for (i = 0; i < FDS_MAX; i++) {
		if (own[i].fd && own[i].handle == handle) {
			sys_close(own[i].fd);
			own[i] = (struct own_fd){ 0, 0 };
			return;
		}
	}
}

void fds_forget(int handle)
{
	int i;

	for (i = 0; i < FDS_MAX; i++) {
		if (own[i].fd && own[i].handle == handle)
			own[i] = (struct own_fd){ 0, 0 };
	}
}

bool fds_is_own(int fd)
{
	int i;

	for (i = 0; i < FDS_MAX; i++) {
		if (own[i].fd && own[i].fd == fd)
			return true;
	}
	return false;
}

void fds_vacate(int fd)
{
	int i, moved;

	for (i = 0; i < FDS_MAX; i++) {
		if (!own[i].fd || own[i].fd != fd)
			continue;
		moved = move_high(fd, fd);
		if (moved == fd)
			moved = sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
		if (moved >= 0)
			own[i].fd = moved;
	}
}

static int close_part(unsigned int first, unsigned int last, unsigned int flags)
{
	if (first > last)
		return 0;
	return (int)sys_forward(SYS_close_range, first, last, flags, 0, 0, 0);
}

int fds_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	unsigned int next = first;
	int err = 0, i, lowest;

	/* Ours are close-on-exec already: marking them is no harm, closing them would be. */
	if (first > last || flags & CLOSE_RANGE_CLOEXEC)
		return (int)sys_forward(SYS_close_range, first, last, flags, 0, 0, 0);
	for (;;) {
		lowest = -1;
		for (i = 0; i < FDS_MAX; i++) {
			if (own[i].fd && (unsigned int)own[i].fd >= next &&
			    (unsigned int)own[i].fd <= last && (lowest < 0 || own[i].fd < lowest))
				lowest = own[i].fd;
		}
		if (lowest < 0)
			return err ? err : close_part(next, last, flags);
		if ((unsigned int)lowest > next)
			err = close_part(next, (unsigned int)lowest - 1, flags);
		if (err || (unsigned int)lowest == last)
			return err;
		next = (unsigned int)lowest + 1;
	}
}
