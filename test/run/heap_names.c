/* SPDX-License-Identifier: MIT */
/*
 * heap_names: calls what the process' allocator has beside malloc(), by its own names, and lists it as
 * in heap_list.h. The names are looked up, which itself may allocate: before a section begins.
 */
#include <dlfcn.h>
#include <string.h>

#include "heap_list.h"

#define JEMALLOC_ALIGN_64 6
#define JEMALLOC_ZERO 0x40

/* Declare @name as a pointer to that function, NULL if there is none. */
#define FIND(name, type, params) \
	type (*name) params = NULL; \
	find(&name, #name)

static void find(void *ret, const char *name)
{
	void *function = dlsym(RTLD_DEFAULT, name);

	memcpy(ret, &function, sizeof(function));
}

static void *regrown(void *p, size_t size, uintptr_t old)
{
	list_add("realloc %lu %zu %lu\n", (unsigned long)(uintptr_t)p, size, (unsigned long)old);
	return p;
}

static void jemalloc(void)
{
	FIND(mallocx, void *, (size_t, int));
	FIND(rallocx, void *, (void *, size_t, int));
	FIND(xallocx, size_t, (void *, size_t, size_t, int));
	FIND(dallocx, void, (void *, int));
	FIND(sdallocx, void, (void *, size_t, int));
	char *p, *q;

	if (!mallocx)
		return;
	list_section("jemalloc", "exact");
	printf("jemalloc\n");
	p = list_alloc(mallocx(100, 0), 100, 0);
	q = list_alloc(mallocx(200, JEMALLOC_ALIGN_64 | JEMALLOC_ZERO), 200, 64);
	printf("zeroed %d, aligned %d\n", !q[199], !((uintptr_t)q % 64));
	p = regrown(rallocx(p, 3000, 0), 3000, (uintptr_t)p);
	p = regrown(rallocx(p, 1000000, 0), 1000000, (uintptr_t)p);
	if (xallocx(p, 900000, 0, 0) >= 900000)
		regrown(p, 900000, (uintptr_t)p);
	if (xallocx(q, 100000, 0, 0) >= 100000)
		regrown(q, 100000, (uintptr_t)q);
	list_free(p);
	dallocx(p, 0);
	list_free(q);
	sdallocx(q, 200, JEMALLOC_ALIGN_64);
	list_section("rest", "among");
}

static void tcmalloc(void)
{
	FIND(tc_malloc, void *, (size_t));
	FIND(tc_calloc, void *, (size_t, size_t));
	FIND(tc_realloc, void *, (void *, size_t));
	FIND(tc_memalign, void *, (size_t, size_t));
	FIND(tc_posix_memalign, int, (void **, size_t, size_t));
	FIND(tc_new, void *, (size_t));
	FIND(tc_free, void, (void *));
	FIND(tc_free_sized, void, (void *, size_t));
	FIND(tc_delete, void, (void *));
	void *p[5];

	if (!tc_malloc)
		return;
	list_section("tcmalloc", "exact");
	printf("tcmalloc\n");
	p[0] = list_alloc(tc_malloc(100), 100, 0);
	p[1] = list_alloc(tc_calloc(3, 100), 300, 0);
	p[2] = list_alloc(tc_memalign(64, 200), 200, 64);
	printf("posix %d\n", tc_posix_memalign(&p[3], 256, 70));
	list_alloc(p[3], 70, 256);
	p[4] = list_alloc(tc_new(50), 50, 0);
	p[0] = regrown(tc_realloc(p[0], 5000), 5000, (uintptr_t)p[0]);
	for (int i = 0; i < 3; i++) {
		list_free(p[i]);
		tc_free(p[i]);
	}
	list_free(p[3]);
	tc_free_sized(p[3], 70);
	list_free(p[4]);
	tc_delete(p[4]);
	list_section("rest", "among");
}

static void mimalloc(void)
{
	FIND(mi_malloc, void *, (size_t));
	FIND(mi_calloc, void *, (size_t, size_t));
	FIND(mi_zalloc, void *, (size_t));
	FIND(mi_realloc, void *, (void *, size_t));
	FIND(mi_malloc_aligned, void *, (size_t, size_t));
	FIND(mi_posix_memalign, int, (void **, size_t, size_t));
	FIND(mi_new, void *, (size_t));
	FIND(mi_reallocn, void *, (void *, size_t, size_t));
	FIND(mi_free, void, (void *));
	FIND(mi_free_size, void, (void *, size_t));
	void *p[6];

	if (!mi_malloc)
		return;
	list_section("mimalloc", "exact");
	printf("mimalloc\n");
	p[0] = list_alloc(mi_malloc(100), 100, 0);
	p[1] = list_alloc(mi_calloc(3, 100), 300, 0);
	p[2] = list_alloc(mi_zalloc(200), 200, 0);
	p[3] = list_alloc(mi_malloc_aligned(70, 256), 70, 256);
	printf("posix %d\n", mi_posix_memalign(&p[4], 128, 90));
	list_alloc(p[4], 90, 128);
	p[5] = list_alloc(mi_new(50), 50, 0);
	p[0] = regrown(mi_realloc(p[0], 5000), 5000, (uintptr_t)p[0]);
	p[0] = regrown(mi_reallocn(p[0], 70, 100), 7000, (uintptr_t)p[0]);
	for (int i = 0; i < 5; i++) {
		list_free(p[i]);
		mi_free(p[i]);
	}
	list_free(p[5]);
	mi_free_size(p[5], 50);
	list_section("rest", "among");
}

int main(void)
{
	static char buffer[4096];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	jemalloc();
	tcmalloc();
	mimalloc();
	list_write("heap.list");
	return 0;
}
