/* SPDX-License-Identifier: MIT */
/*
 * System calls of vmtrace's own: straight to the kernel, never through a symbol that someone
 * (we ourselves included) may have interposed. Results are the kernel's: -errno on failure;
 * errno is never touched.
 */
#ifndef VMTRACE_SYS_H
#define VMTRACE_SYS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;

#define SYS_ERR_MAX 4095

static inline bool sys_is_err(long ret)
{
	return (unsigned long)ret > -(unsigned long)SYS_ERR_MAX - 1;
}

/* The instruction itself, in sys_x86_64.S's calling convention: for calls that are the program's. */
long sys_forward(long nr, long a, long b, long c, long d, long e, long f);
extern const char sys_instruction[] __attribute__((visibility("hidden")));
/* A `syscall; ret` elsewhere that it uses instead, if not NULL. */
extern void *sys_gadget __attribute__((visibility("hidden")));

/* Whether the program's sandbox lets a call of ours through; NULL: there is none. */
typedef bool sys_filter_fn(long nr, const long arg[6]);
extern sys_filter_fn *sys_filter;

/* A call of our own. -EPERM: not made, the sandbox forbids it. */
static inline long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	if (__builtin_expect(sys_filter != NULL, false) &&
	    !sys_filter(nr, (const long[6]){ a, b, c, d, e, f }))
		return -EPERM;
	return sys_forward(nr, a, b, c, d, e, f);
}

/* Front to back, which memcpy() does not promise: a kill leaves a prefix, never a hole. */
void sys_copy_forward(void *dst, const void *src, size_t len);

void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int sys_madvise(void *addr, size_t len, int advice);
int sys_open(const char *path, int flags, int mode);
int sys_close(int fd);
ssize_t sys_read(int fd, void *buf, size_t len);
ssize_t sys_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t sys_write(int fd, const void *buf, size_t len);
ssize_t sys_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t sys_readlink(const char *path, char *buf, size_t size);
int sys_fstat(int fd, struct stat *st);
int sys_ftruncate(int fd, off_t len);
int sys_ioctl(int fd, unsigned long request, void *arg);
int sys_fcntl(int fd, int cmd, long arg);
int sys_getpid(void);
int sys_getppid(void);
int sys_gettid(void);
void sys_sleep_ms(void);		/* for one */
void sys_yield(void);

/* Each page of @p is written to, with what is there: it is in memory then. No system call. */
void sys_touch(void *p, size_t bytes);
uint64_t sys_brk(uint64_t addr);
int sys_getrlimit(int resource, uint64_t *ret_soft);

/**
 * sys_block_signals() - Block every signal but SIGSYS; sys_restore_signals() undoes it.
 * @ret_old: the kernel's 64-bit mask as it was.
 */
void sys_block_signals(uint64_t *ret_old);
void sys_restore_signals(const uint64_t *old);
/* Take a pending signal away that our own write may have raised; signals must be blocked. */
void sys_discard_signal(int sig);

int sys_futex_wait(uint32_t *word, uint32_t value);
int sys_futex_wake(uint32_t *word, int count);

/**
 * sys_read_user() - Copy memory of the program that may not be mapped.
 * Return: bytes copied (as far as it was readable), never a fault.
 */
size_t sys_read_user(void *dst, const void *src, size_t len);
/* The same for who has asked for our own @pid already. */
size_t sys_read_user_of(int pid, void *dst, const void *src, size_t len);
/* The other way round. */
size_t sys_write_user(void *dst, const void *src, size_t len);
/* The same for a NUL-terminated string; always terminates @dst. Return: its length. */
size_t sys_read_user_string(char *dst, const char *src, size_t size);

/* A whole file into @buf; return bytes or -errno. */
ssize_t sys_read_file(const char *path, char *buf, size_t size);

#endif
