/* SPDX-License-Identifier: MIT */
/* What the interposed symbols hide: the next definition of each, behind ours. */
#ifndef VMTRACE_NEXT_H
#define VMTRACE_NEXT_H

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* X(member, "symbol", return type, parameters) */
#define NEXT_SYMBOLS(X) \
	X(malloc_, "malloc", void *, (size_t)) \
	X(calloc_, "calloc", void *, (size_t, size_t)) \
	X(realloc_, "realloc", void *, (void *, size_t)) \
	X(reallocarray_, "reallocarray", void *, (void *, size_t, size_t)) \
	X(free_, "free", void, (void *)) \
	X(memalign_, "memalign", void *, (size_t, size_t)) \
	X(aligned_alloc_, "aligned_alloc", void *, (size_t, size_t)) \
	X(posix_memalign_, "posix_memalign", int, (void **, size_t, size_t)) \
	X(valloc_, "valloc", void *, (size_t)) \
	X(pvalloc_, "pvalloc", void *, (size_t)) \
	X(malloc_usable_size_, "malloc_usable_size", size_t, (void *)) \
	X(brk_, "brk", int, (void *)) \
	X(sbrk_, "sbrk", void *, (intptr_t)) \
	X(fork_, "fork", pid_t, (void)) \
	X(bare_fork_, "_Fork", pid_t, (void)) \
	X(posix_spawn_, "posix_spawn", int, \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, \
	   char *const[], char *const[])) \
	X(posix_spawnp_, "posix_spawnp", int, \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, \
	   char *const[], char *const[])) \
	X(execvpe_, "execvpe", int, (const char *, char *const[], char *const[])) \
	X(pthread_create_, "pthread_create", int, \
	  (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)) \
	X(dlclose_, "dlclose", int, (void *)) \
	X(find_object_, "_dl_find_object", int, (void *, struct dl_find_object *)) \
	X(close_, "close", int, (int)) \
	X(clone_, "clone", int, (int (*)(void *), void *, int, void *, ...)) \
	X(longjmp_, "longjmp", void, (struct __jmp_buf_tag *, int)) \
	X(bsd_longjmp_, "_longjmp", void, (struct __jmp_buf_tag *, int)) \
	X(siglongjmp_, "siglongjmp", void, (struct __jmp_buf_tag *, int)) \
	X(longjmp_chk_, "__longjmp_chk", void, (struct __jmp_buf_tag *, int)) \
	X(quick_exit_, "quick_exit", void, (int)) \
	X(exit_, "_exit", void, (int))

struct next {
#define MEMBER(member, symbol, type, params) type (*member) params;
	NEXT_SYMBOLS(MEMBER)
#undef MEMBER
};

extern struct next next;

/**
 * next_resolve() - Look all of them up (dlsym RTLD_NEXT); idempotent.
 * Context: startup, or the first hook that can't do without.
 */
void next_resolve(void);

#endif
