/* SPDX-License-Identifier: MIT */
/*
 * The calls that change the map, as libc names them. Each goes to capture_call(), which makes the
 * system call itself: libc's wrappers add nothing but errno, except where noted.
 */
/* With it mmap() would be declared under mmap64()'s name, and we define both. */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arena.h"
#include "capture.h"
#include "dispatch.h"
#include "hooks.h"
#include "lock.h"
#include "modules.h"
#include "next.h"
#include "thread.h"

#define ARGS(...) ((const uint64_t[6]){ __VA_ARGS__ })
#define ORIGIN modules_origin((uintptr_t)CALLER)
#define U(x) ((uint64_t)(x))
#define CAPTURE(op, nr, ...) hook_result(capture_call(op, nr, ARGS(__VA_ARGS__), ORIGIN))

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

int mseal(void *addr, size_t len, unsigned long flags);
ssize_t process_madvise(int pidfd, const struct iovec *iov, size_t nr, int advice,
			unsigned int flags);

/*
 * The unwinder's own memory comes from our region, so that it neither shows up among the
 * program's mappings nor merges with them. Return: NULL if this call is not one of those.
 */
static void *map_for_unwinder(void *addr, size_t len, int flags, void *caller)
{
	struct lock_state state;
	void *p;

	if (!tls.unwinding || addr || !(flags & MAP_ANONYMOUS) || tls.locked ||
	    !modules_is_own((uintptr_t)caller))
		return NULL;
	lock_take(&state);
	p = arena_map(len);
	lock_drop(&state);
	return p;
}

static bool unmap_for_unwinder(void *addr, size_t len, void *caller)
{
	struct lock_state state;

	if (U(addr) < arena_start() || U(addr) >= arena_end() || tls.locked ||
	    modules_origin((uintptr_t)caller) != TRACE_ORIGIN_SELF)
		return false;
	lock_take(&state);
	arena_unmap(addr, len);
	lock_drop(&state);
	return true;
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *own = map_for_unwinder(addr, len, flags, CALLER);

	if (own)
		return own;
	return (void *)CAPTURE(MM_MMAP, SYS_mmap, U(addr), len, U(prot), U(flags), U(fd), U(offset));
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	void *own = map_for_unwinder(addr, len, flags, CALLER);

	if (own)
		return own;
	return (void *)CAPTURE(MM_MMAP, SYS_mmap, U(addr), len, U(prot), U(flags), U(fd), U(offset));
}

EXPORT int munmap(void *addr, size_t len)
{
	if (unmap_for_unwinder(addr, len, CALLER))
		return 0;
	return (int)CAPTURE(MM_MUNMAP, SYS_munmap, U(addr), len);
}

EXPORT void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
	void *new_addr = NULL;
	va_list ap;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		new_addr = va_arg(ap, void *);
		va_end(ap);
	}
	return (void *)CAPTURE(MM_MREMAP, SYS_mremap, U(addr), old_len, new_len, U(flags),
			       U(new_addr));
}

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	return (int)CAPTURE(MM_MPROTECT, SYS_mprotect, U(addr), len, U(prot));
}

EXPORT int pkey_mprotect(void *addr, size_t len, int prot, int pkey)
{
	/* As glibc: without a key it is mprotect(), also where the kernel knows no keys. */
	if (pkey == -1)
		return (int)CAPTURE(MM_MPROTECT, SYS_mprotect, U(addr), len, U(prot));
	return (int)CAPTURE(MM_PKEY_MPROTECT, SYS_pkey_mprotect, U(addr), len, U(prot), U(pkey));
}

/* libc keeps the break in a variable of its own: its function must run. */
static void *move_brk(intptr_t addr)
{
	return (void *)(intptr_t)next.brk_((void *)addr);
}

static void *move_sbrk(intptr_t increment)
{
	return next.sbrk_(increment);
}

EXPORT int brk(void *addr)
{
	next_resolve();
	return (int)(intptr_t)capture_brk(move_brk, (intptr_t)addr, false, ORIGIN);
}

EXPORT void *sbrk(intptr_t increment)
{
	next_resolve();
	return capture_brk(move_sbrk, increment, true, ORIGIN);
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	return (int)CAPTURE(MM_MADVISE, SYS_madvise, U(addr), len, U(advice));
}

/* Returns the error instead of setting errno; POSIX_MADV_DONTNEED does nothing in glibc. */
EXPORT int posix_madvise(void *addr, size_t len, int advice)
{
	long ret;

	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	ret = capture_call(MM_MADVISE, SYS_madvise, ARGS(U(addr), len, U(advice)), ORIGIN);
	return (int)-ret;
}

EXPORT ssize_t process_madvise(int pidfd, const struct iovec *iov, size_t nr, int advice,
			       unsigned int flags)
{
	return CAPTURE(MM_PROCESS_MADVISE, SYS_process_madvise, U(pidfd), U(iov), nr, U(advice),
		       flags);
}

EXPORT int mlock(const void *addr, size_t len)
{
	return (int)CAPTURE(MM_MLOCK, SYS_mlock, U(addr), len);
}

EXPORT int mlock2(const void *addr, size_t len, unsigned int flags)
{
	if (!flags)
		return (int)CAPTURE(MM_MLOCK, SYS_mlock, U(addr), len);
	return (int)CAPTURE(MM_MLOCK2, SYS_mlock2, U(addr), len, flags);
}

EXPORT int munlock(const void *addr, size_t len)
{
	return (int)CAPTURE(MM_MUNLOCK, SYS_munlock, U(addr), len);
}

EXPORT int mlockall(int flags)
{
	/* It would make all that we reserved resident. */
	capture_shrink();
	return (int)CAPTURE(MM_MLOCKALL, SYS_mlockall, U(flags));
}

EXPORT int munlockall(void)
{
	return (int)CAPTURE(MM_MUNLOCKALL, SYS_munlockall, 0);
}

EXPORT int mseal(void *addr, size_t len, unsigned long flags)
{
	return (int)CAPTURE(MM_MSEAL, SYS_mseal, U(addr), len, flags);
}

EXPORT int remap_file_pages(void *addr, size_t size, int prot, size_t pgoff, int flags)
{
	return (int)CAPTURE(MM_REMAP_FILE_PAGES, SYS_remap_file_pages, U(addr), size, U(prot),
			    pgoff, U(flags));
}

EXPORT void *shmat(int id, const void *addr, int flags)
{
	return (void *)CAPTURE(MM_SHMAT, SYS_shmat, U(id), U(addr), U(flags));
}

EXPORT int shmdt(const void *addr)
{
	return (int)CAPTURE(MM_SHMDT, SYS_shmdt, U(addr));
}

EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;
	int i;

	va_start(ap, option);
	for (i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	switch (option) {
	case PR_SET_VMA:
	case PR_SET_MM:
	case 67:	/* PR_SET_MEMORY_MERGE, not in Debian 12's headers */
		return (int)CAPTURE(MM_PRCTL, SYS_prctl, U(option), a[0], a[1], a[2], a[3]);
	default:
		return (int)hook_result(dispatch(SYS_prctl, ARGS(U(option), a[0], a[1], a[2], a[3]),
						 DISPATCH_BY_NUMBER));
	}
}

/* Only a userfaultfd's requests are about the map; all others go straight on. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (capture_is_uffd_ioctl(request))
		return (int)CAPTURE(MM_IOCTL, SYS_ioctl, U(fd), request, arg);
	if (capture_is_uffd_api(request))
		return (int)hook_result(capture_uffd_api(fd, arg));
	return (int)hook_result(sys_forward(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0));
}

/* libaio's wrappers return -errno, and are not libc's; programs that link them reach us here. */
struct iocb;
int io_setup(int nr_events, void *ctxp);
int io_destroy(void *ctx);

EXPORT int io_setup(int nr_events, void *ctxp)
{
	return (int)capture_call(MM_IO_SETUP, SYS_io_setup, ARGS(U(nr_events), U(ctxp)), ORIGIN);
}

EXPORT int io_destroy(void *ctx)
{
	return (int)capture_call(MM_IO_DESTROY, SYS_io_destroy, ARGS(U(ctx)), ORIGIN);
}

/* A limit would count what we reserved: make room before it holds. */
static bool limits_memory(int resource, const struct rlimit *limit)
{
	struct rlimit copy;

	return (resource == RLIMIT_AS || resource == RLIMIT_DATA) && limit &&
	       sys_read_user(&copy, limit, sizeof(copy)) == sizeof(copy) &&
	       copy.rlim_cur != RLIM_INFINITY;
}

static long set_limit(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *old)
{
	if ((!pid || pid == sys_getpid()) && limits_memory(resource, limit))
		capture_shrink();
	return hook_result(sys_forward(SYS_prlimit64, pid, resource, (long)limit, (long)old, 0, 0));
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return (int)set_limit(0, (int)resource, limit, NULL);
}

EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return (int)set_limit(0, (int)resource, (const struct rlimit *)limit, NULL);
}

EXPORT int prlimit(pid_t pid, __rlimit_resource_t resource, const struct rlimit *limit,
		   struct rlimit *old)
{
	return (int)set_limit(pid, (int)resource, limit, old);
}

EXPORT int prlimit64(pid_t pid, __rlimit_resource_t resource, const struct rlimit64 *limit,
		     struct rlimit64 *old)
{
	return (int)set_limit(pid, (int)resource, (const struct rlimit *)limit,
			      (struct rlimit *)old);
}
