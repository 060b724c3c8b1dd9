/* SPDX-License-Identifier: MIT */
/*
 * What jemalloc, tcmalloc and mimalloc have beside the malloc family: C++'s operators, which in them
 * don't call malloc(), and functions of names of their own. libstdc++'s operators need no hook.
 *
 * Bound only where a library that defines malloc() defines them, too (bind.h). As in hooks_heap.c,
 * allocations are recorded after the call, releases before it; an operator that throws records
 * nothing. Not covered: mimalloc's heaps of one's own (mi_heap_*) and its copies of strings, and
 * allocators linked into the executable.
 *
 * The hooks are of few shapes. All arguments are words in registers, so a shape takes as many as
 * the longest function of its kind has, and hands all of them on.
 */
#include "hooks_alloc.h"

#include <stdint.h>

#include "bind.h"
#include "capture.h"
#include "config.h"

#include "no_heap.h"

#define FRAME __builtin_frame_address(0)
#define JEMALLOC_ALIGN(flags) ((flags) & 63 ? (size_t)1 << ((flags) & 63) : 0)

typedef uintptr_t word;
typedef void *returns_block(word a, word b, word c);
typedef int returns_error(word a, word b, word c);
typedef size_t returns_size(word a, word b, word c, word d);

/* X(function's name, size, alignment), of the arguments a, b and c */
#define ALLOCATORS(X) \
	X(_Znwm, a, 0) \
	X(_Znam, a, 0) \
	X(_ZnwmRKSt9nothrow_t, a, 0) \
	X(_ZnamRKSt9nothrow_t, a, 0) \
	X(_ZnwmSt11align_val_t, a, b) \
	X(_ZnamSt11align_val_t, a, b) \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t, a, b) \
	X(_ZnamSt11align_val_tRKSt9nothrow_t, a, b) \
	X(mallocx, a, JEMALLOC_ALIGN(b)) \
	X(tc_malloc, a, 0) \
	X(tc_malloc_skip_new_handler, a, 0) \
	X(tc_calloc, product(a, b), 0) \
	X(tc_memalign, b, a) \
	X(tc_valloc, a, MM_PAGE_SIZE) \
	X(tc_pvalloc, a, MM_PAGE_SIZE) \
	X(tc_new, a, 0) \
	X(tc_new_nothrow, a, 0) \
	X(tc_newarray, a, 0) \
	X(tc_newarray_nothrow, a, 0) \
	X(tc_new_aligned, a, b) \
	X(tc_new_aligned_nothrow, a, b) \
	X(tc_newarray_aligned, a, b) \
	X(tc_newarray_aligned_nothrow, a, b) \
	X(mi_malloc, a, 0) \
	X(mi_malloc_small, a, 0) \
	X(mi_zalloc, a, 0) \
	X(mi_zalloc_small, a, 0) \
	X(mi_calloc, product(a, b), 0) \
	X(mi_mallocn, product(a, b), 0) \
	X(mi_malloc_aligned, a, b) \
	X(mi_zalloc_aligned, a, b) \
	X(mi_calloc_aligned, product(a, b), c) \
	X(mi_memalign, b, a) \
	X(mi_aligned_alloc, b, a) \
	X(mi_valloc, a, MM_PAGE_SIZE) \
	X(mi_pvalloc, a, MM_PAGE_SIZE) \
	X(mi_new, a, 0) \
	X(mi_new_nothrow, a, 0) \
	X(mi_new_n, product(a, b), 0) \
	X(mi_new_aligned, a, b) \
	X(mi_new_aligned_nothrow, a, b)

/* X(function's name): the block is the first argument */
#define DEALLOCATORS(X) \
	X(_ZdlPv) \
	X(_ZdaPv) \
	X(_ZdlPvm) \
	X(_ZdaPvm) \
	X(_ZdlPvRKSt9nothrow_t) \
	X(_ZdaPvRKSt9nothrow_t) \
	X(_ZdlPvSt11align_val_t) \
	X(_ZdaPvSt11align_val_t) \
	X(_ZdlPvmSt11align_val_t) \
	X(_ZdaPvmSt11align_val_t) \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t) \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t) \
	X(dallocx) \
	X(sdallocx) \
	X(tc_free) \
	X(tc_cfree) \
	X(tc_free_sized) \
	X(tc_delete) \
	X(tc_delete_nothrow) \
	X(tc_delete_sized) \
	X(tc_delete_aligned) \
	X(tc_delete_aligned_nothrow) \
	X(tc_delete_sized_aligned) \
	X(tc_deletearray) \
	X(tc_deletearray_nothrow) \
	X(tc_deletearray_sized) \
	X(tc_deletearray_aligned) \
	X(tc_deletearray_aligned_nothrow) \
	X(tc_deletearray_sized_aligned) \
	X(mi_free) \
	X(mi_cfree) \
	X(mi_free_size) \
	X(mi_free_aligned) \
	X(mi_free_size_aligned)

/* X(function's name, new size); the old block is the first argument */
#define REALLOCATORS(X) \
	X(rallocx, b) \
	X(tc_realloc, b) \
	X(mi_realloc, b) \
	X(mi_reallocn, product(b, c)) \
	X(mi_reallocarray, product(b, c)) \
	X(mi_rezalloc, b) \
	X(mi_recalloc, product(b, c)) \
	X(mi_realloc_aligned, b) \
	X(mi_new_realloc, b) \
	X(mi_new_reallocn, product(b, c))

#define POSIX_ALLOCATORS(X) \
	X(tc_posix_memalign) \
	X(mi_posix_memalign)

static size_t product(word a, word b)
{
	size_t bytes;

	return __builtin_mul_overflow(a, b, &bytes) ? SIZE_MAX : bytes;
}

/* The compiler would leave out what a shape needs, and some function hasn't. */
#define UNUSED __attribute__((unused))

#define ALLOCATOR(name, size, align) \
	static returns_block *next_##name; \
	static void *hook_##name(word a, word b UNUSED, word c UNUSED) \
	{ \
		void *p = next_##name(a, b, c); \
		capture_alloc(p, size, align, FRAME); \
		return p; \
	}
ALLOCATORS(ALLOCATOR)

#define DEALLOCATOR(name) \
	static returns_block *next_##name; \
	static void *hook_##name(word a, word b, word c) \
	{ \
		capture_free((void *)a); \
		return next_##name(a, b, c); \
	}
DEALLOCATORS(DEALLOCATOR)

static void *reallocate(returns_block *next_function, size_t size, word a, word b, word c,
			const void *frame)
{
	uint64_t released = capture_release((void *)a);
	void *p = next_function(a, b, c);

	capture_reallocated(p, size, (void *)a, released, frame);
	return p;
}

#define REALLOCATOR(name, size) \
	static returns_block *next_##name; \
	static void *hook_##name(word a, word b, word c) \
	{ \
		return reallocate(next_##name, size, a, b, c, FRAME); \
	}
REALLOCATORS(REALLOCATOR)

#define POSIX_ALLOCATOR(name) \
	static returns_error *next_##name; \
	static int hook_##name(word a, word b, word c) \
	{ \
		int err = next_##name(a, b, c); \
		capture_alloc(err ? NULL : *(void **)a, c, b, FRAME); \
		return err; \
	}
POSIX_ALLOCATORS(POSIX_ALLOCATOR)

/* In place, to @b bytes or up to @c more; what comes back is the size it has then. */
static returns_size *next_xallocx;
static size_t hook_xallocx(word a, word b, word c, word d)
{
	uint64_t released = capture_release((void *)a);
	size_t size = next_xallocx(a, b, c, d);

	if (size >= b)
		capture_realloc((void *)a, b, (void *)a, released, FRAME);
	else
		capture_keep((void *)a, released);
	return size;
}

/* What hooks_heap.c exports: operators that are made of them are recorded once. */
static void *own[9];

#define BIND(name) { #name, (void *)hook_##name, (void **)&next_##name },
#define BIND_ALLOCATOR(name, size, align) BIND(name)
#define BIND_REALLOCATOR(name, size) BIND(name)

static const struct bind binds[] = {
	ALLOCATORS(BIND_ALLOCATOR)
	DEALLOCATORS(BIND)
	REALLOCATORS(BIND_REALLOCATOR)
	POSIX_ALLOCATORS(BIND)
	BIND(xallocx)
	{ "malloc", NULL, &own[0] },
	{ "calloc", NULL, &own[1] },
	{ "realloc", NULL, &own[2] },
	{ "free", NULL, &own[3] },
	{ "memalign", NULL, &own[4] },
	{ "aligned_alloc", NULL, &own[5] },
	{ "posix_memalign", NULL, &own[6] },
	{ "valloc", NULL, &own[7] },
	{ "cfree", NULL, &own[8] },
};

void hooks_alloc_init(void)
{
	if (config.heap && !bind_hooks("malloc", binds, sizeof(binds) / sizeof(binds[0])))
		config_warn("/proc/self/mem can't be written; C++'s operators of this program's "
			    "allocator are not recorded", NULL);
}
