/* SPDX-License-Identifier: MIT */
/*
 * The malloc family. Allocations are recorded after the allocator's work, releases before it: an
 * address is never seen handed out again before it is seen given back.
 *
 * Until the next definitions are known, blocks come from a small static pool; it is never freed.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "hooks.h"
#include "next.h"

#define POOL_BYTES 65536
#define POOL_ALIGN 16
#define FRAME __builtin_frame_address(0)

static char pool[POOL_BYTES] __attribute__((aligned(POOL_ALIGN)));
static size_t pool_used;
static __thread volatile int resolving __attribute__((tls_model("initial-exec")));

static bool in_pool(const void *p)
{
	return (const char *)p >= pool && (const char *)p < pool + POOL_BYTES;
}

/* Each block is preceded by its size, for realloc(). */
static void *pool_alloc(size_t size, size_t align)
{
	size_t used, start;

	if (align < POOL_ALIGN)
		align = POOL_ALIGN;
	do {
		used = __atomic_load_n(&pool_used, __ATOMIC_RELAXED);
		start = (used + POOL_ALIGN + align - 1) & ~(align - 1);
		if (size > POOL_BYTES || start > POOL_BYTES - size) {
			errno = ENOMEM;
			return NULL;
		}
	} while (!__atomic_compare_exchange_n(&pool_used, &used, start + size, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	memcpy(pool + start - sizeof(size), &size, sizeof(size));
	return pool + start;
}

static size_t pool_size(const void *p)
{
	size_t size;

	memcpy(&size, (const char *)p - sizeof(size), sizeof(size));
	return size;
}

/* Are the real functions there? Looks them up if this is not that very lookup. */
static bool ready(void)
{
	if (__builtin_expect(next.exit_ != NULL, 1))
		return true;
	if (resolving)
		return false;
	resolving = 1;
	next_resolve();
	resolving = 0;
	return next.exit_ != NULL;
}

EXPORT void *malloc(size_t size)
{
	void *p;

	if (!ready())
		return pool_alloc(size, 0);
	p = next.malloc_(size);
	capture_alloc(p, size, 0, FRAME);
	return p;
}

EXPORT void *calloc(size_t nr, size_t size)
{
	size_t bytes;
	void *p;

	if (!ready())
		return __builtin_mul_overflow(nr, size, &bytes) ? NULL : pool_alloc(bytes, 0);
	p = next.calloc_(nr, size);
	if (__builtin_mul_overflow(nr, size, &bytes))
		bytes = SIZE_MAX;
	capture_alloc(p, bytes, 0, FRAME);
	return p;
}

static void *move_from_pool(void *old, size_t size)
{
	size_t had = pool_size(old);
	void *p = ready() ? next.malloc_(size) : pool_alloc(size, 0);

	if (p)
		memcpy(p, old, had < size ? had : size);
	if (ready())
		capture_alloc(p, size, 0, FRAME);
	return p;
}

EXPORT void *realloc(void *old, size_t size)
{
	uint64_t released;
	void *p;

	if (in_pool(old))
		return move_from_pool(old, size);
	if (!ready())
		return pool_alloc(size, 0);
	released = capture_release(old);
	p = next.realloc_(old, size);
	capture_reallocated(p, size, old, released, FRAME);
	return p;
}

static void *(*volatile first_realloc)(void *, size_t) = realloc;

EXPORT void *reallocarray(void *old, size_t nr, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes)) {
		errno = ENOMEM;
		capture_alloc(NULL, SIZE_MAX, 0, FRAME);
		return NULL;
	}
	return first_realloc(old, bytes);
}

EXPORT void free(void *p)
{
	if (in_pool(p) || !ready())
		return;
	capture_free(p);
	next.free_(p);
}

/* Old programs' name for it: libc keeps it for those that are linked to it already. */
void cfree(void *p);

EXPORT void cfree(void *p)
{
	free(p);
}

/*
 * As the program would call them: that of an allocator preloaded before us, if there is one. Through a
 * pointer, for a compiler may take our own definition otherwise.
 */
static void (*volatile first_free)(void *) = free;

/* C23: the sizes are the program's promise, nothing we could use. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);

EXPORT void free_sized(void *p, size_t size)
{
	(void)size;
	first_free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align;
	(void)size;
	first_free(p);
}

EXPORT void *memalign(size_t align, size_t size)
{
	void *p;

	if (!ready())
		return pool_alloc(size, align);
	p = next.memalign_(align, size);
	capture_alloc(p, size, align, FRAME);
	return p;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	void *p;

	if (!ready())
		return pool_alloc(size, align);
	p = next.aligned_alloc_(align, size);
	capture_alloc(p, size, align, FRAME);
	return p;
}

EXPORT int posix_memalign(void **ret, size_t align, size_t size)
{
	int err;

	if (!ready()) {
		*ret = pool_alloc(size, align);
		return *ret ? 0 : ENOMEM;
	}
	err = next.posix_memalign_(ret, align, size);
	capture_alloc(err ? NULL : *ret, size, align, FRAME);
	return err;
}

EXPORT void *valloc(size_t size)
{
	void *p;

	if (!ready())
		return pool_alloc(size, MM_PAGE_SIZE);
	p = next.valloc_(size);
	capture_alloc(p, size, MM_PAGE_SIZE, FRAME);
	return p;
}

EXPORT void *pvalloc(size_t size)
{
	void *p;

	if (!ready())
		return pool_alloc(size, MM_PAGE_SIZE);
	p = next.pvalloc_(size);
	capture_alloc(p, size, MM_PAGE_SIZE, FRAME);
	return p;
}

EXPORT size_t malloc_usable_size(void *p)
{
	if (in_pool(p))
		return pool_size(p);
	return ready() ? next.malloc_usable_size_(p) : 0;
}
