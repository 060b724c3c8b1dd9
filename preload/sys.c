/* SPDX-License-Identifier: MIT */
/* Thin wrappers over sys_call(): the only door of the preload to the kernel. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "no_heap.h"

#define KERNEL_SIGSET_SIZE 8
#define NOT_BLOCKED (~0ull)	/* no mask of the kernel's: SIGKILL is never in one */

sys_filter_fn *sys_filter;

void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)sys_call(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
}

int sys_madvise(void *addr, size_t len, int advice)
{
	return (int)sys_call(SYS_madvise, (long)addr, (long)len, advice, 0, 0, 0);
}

int sys_open(const char *path, int flags, int mode)
{
	return (int)sys_call(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}

int sys_close(int fd)
{
	return (int)sys_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

ssize_t sys_read(int fd, void *buf, size_t len)
{
	return sys_call(SYS_read, fd, (long)buf, (long)len, 0, 0, 0);
}

ssize_t sys_pread(int fd, void *buf, size_t len, off_t offset)
{
	return sys_call(SYS_pread64, fd, (long)buf, (long)len, offset, 0, 0);
}

ssize_t sys_write(int fd, const void *buf, size_t len)
{
	return sys_call(SYS_write, fd, (long)buf, (long)len, 0, 0, 0);
}

ssize_t sys_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return sys_call(SYS_pwrite64, fd, (long)buf, (long)len, offset, 0, 0);
}

ssize_t sys_readlink(const char *path, char *buf, size_t size)
{
	ssize_t n = sys_call(SYS_readlinkat, AT_FDCWD, (long)path, (long)buf, (long)size - 1, 0, 0);

	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

int sys_fstat(int fd, struct stat *st)
{
	return (int)sys_call(SYS_fstat, fd, (long)st, 0, 0, 0, 0);
}

int sys_ftruncate(int fd, off_t len)
{
	return (int)sys_call(SYS_ftruncate, fd, len, 0, 0, 0, 0);
}

int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)sys_call(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
}

int sys_fcntl(int fd, int cmd, long arg)
{
	return (int)sys_call(SYS_fcntl, fd, cmd, arg, 0, 0, 0);
}

int sys_getpid(void)
{
	return (int)sys_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

int sys_getppid(void)
{
	return (int)sys_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
}

int sys_gettid(void)
{
	return (int)sys_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

void sys_sleep_ms(void)
{
	const struct timespec ms = { 0, 1000000 };

	sys_call(SYS_nanosleep, (long)&ms, 0, 0, 0, 0, 0);
}

void sys_yield(void)
{
	sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

void sys_touch(void *p, size_t bytes)
{
	volatile char *at = p, *end = at + bytes;

	for (; at < end; at = (volatile char *)(((uintptr_t)at & ~(uintptr_t)4095) + 4096))
		*at = *at;
}

uint64_t sys_brk(uint64_t addr)
{
	return (uint64_t)sys_call(SYS_brk, (long)addr, 0, 0, 0, 0, 0);
}

int sys_getrlimit(int resource, uint64_t *ret_soft)
{
	struct rlimit limit;
	long ret = sys_call(SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0);

	if (!ret)
		*ret_soft = limit.rlim_cur;
	return (int)ret;
}

void sys_block_signals(uint64_t *ret_old)
{
	/* A blocked SIGSYS kills; a sandbox's handler for it must run, whoever makes the call. */
	static const uint64_t all = ~(1ull << (SIGSYS - 1));

	if (sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)ret_old, KERNEL_SIGSET_SIZE,
		     0, 0))
		*ret_old = NOT_BLOCKED;
}

void sys_restore_signals(const uint64_t *old)
{
	if (*old != NOT_BLOCKED)
		sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)old, 0, KERNEL_SIGSET_SIZE, 0, 0);
}

void sys_discard_signal(int sig)
{
	static const struct timespec now;
	uint64_t set = 1ull << (sig - 1);

	sys_call(SYS_rt_sigtimedwait, (long)&set, 0, (long)&now, KERNEL_SIGSET_SIZE, 0, 0);
}

int sys_futex_wait(uint32_t *word, uint32_t value)
{
	return (int)sys_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

int sys_futex_wake(uint32_t *word, int count)
{
	return (int)sys_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}

size_t sys_read_user_of(int pid, void *dst, const void *src, size_t len)
{
	struct iovec to = { dst, len }, from = { (void *)src, len };
	long n = sys_call(SYS_process_vm_readv, pid, (long)&to, 1, (long)&from, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

size_t sys_read_user(void *dst, const void *src, size_t len)
{
	return sys_read_user_of(sys_getpid(), dst, src, len);
}

size_t sys_write_user(void *dst, const void *src, size_t len)
{
	struct iovec from = { (void *)src, len }, to = { dst, len };
	long n = sys_call(SYS_process_vm_writev, sys_getpid(), (long)&from, 1, (long)&to, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

size_t sys_read_user_string(char *dst, const char *src, size_t size)
{
	size_t done = 0;

	/* By page, so that a string right below an unmapped page is read whole. */
	while (done < size - 1) {
		size_t want = 4096 - ((uintptr_t)(src + done) & 4095);
		size_t i, n;

		if (want > size - 1 - done)
			want = size - 1 - done;
		n = sys_read_user(dst + done, src + done, want);
		for (i = 0; i < n && dst[done + i]; i++)
			;
		done += i;
		if (i < want)
			break;
	}
	dst[done] = '\0';
	return done;
}

ssize_t sys_read_file(const char *path, char *buf, size_t size)
{
	ssize_t n = 0, total = 0;
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while ((size_t)total < size - 1 &&
	       (n = sys_read(fd, buf + total, size - 1 - (size_t)total)) > 0)
		total += n;
	sys_close(fd);
	buf[total] = '\0';
	return n < 0 ? n : total;
}
