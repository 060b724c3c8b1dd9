/* SPDX-License-Identifier: MIT */
/*
 * The heap counted a second time: a library that is preloaded behind libvmtrace.so, so that it is
 * handed each call that the hooks pass on. It shares no code and no idea with them: one table of
 * live blocks behind a spin lock, a few sums, one JSON line in the file COUNT_HEAP_OUT.PID at the end.
 *
 *     program ── malloc() ──▶ libvmtrace.so ──▶ libcount_heap.so ──▶ the allocator
 *                                  │ trace              │ count
 *
 * Both see the same operations if both begin and end at the same one:
 *
 * - libvmtrace's constructor, the first of all, ends with on_exit(). This library interposes that
 *   call: the first one is where the counts begin at 0.
 * - The handlers of on_exit() run in the opposite order. This library's, registered right after
 *   libvmtrace's, runs when nothing is left that allocates: all destructors are through.
 *
 * A fork's child begins at 0, as its trace does: its handler runs right after libvmtrace's.
 * Blocks from before the beginning, whose release is counted as `unknown_frees`, are no exception:
 * the trace doesn't know them either. COUNT_HEAP_ALONE begins without waiting for an on_exit().
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define TABLE_SLOTS (1u << 23)	/* 128 MiB of address space, touched where blocks are */
#define EARLY_BYTES 4096

struct slot {
	uintptr_t addr;		/* 0: never used, 1: no longer */
	size_t size;
};

static struct {
	uint64_t allocations, frees, reallocations, failed, unknown_frees, bytes, live_blocks,
		live_bytes, operations;
} count;

static struct slot *table;
static char lock;
static volatile bool counting;
static char early[EARLY_BYTES] __attribute__((aligned(16)));
static size_t early_used;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static void *(*next_memalign)(size_t, size_t);
static void *(*next_aligned_alloc)(size_t, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void *(*next_valloc)(size_t);
static void *(*next_pvalloc)(size_t);
static int (*next_on_exit)(void (*)(int, void *), void *);

static void find(void *ret, const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	memcpy(ret, &symbol, sizeof(symbol));
}

/* Return: false while dlsym() itself allocates. */
static bool is_ready(void)
{
	static __thread bool resolving;

	if (next_on_exit)
		return true;
	if (resolving)
		return false;
	resolving = true;
	find(&next_malloc, "malloc");
	find(&next_calloc, "calloc");
	find(&next_realloc, "realloc");
	find(&next_free, "free");
	find(&next_memalign, "memalign");
	find(&next_aligned_alloc, "aligned_alloc");
	find(&next_posix_memalign, "posix_memalign");
	find(&next_valloc, "valloc");
	find(&next_pvalloc, "pvalloc");
	find(&next_on_exit, "on_exit");
	resolving = false;
	return true;
}

static void *early_alloc(size_t size)
{
	void *p = early + early_used;

	size = (size + 15) & ~(size_t)15;
	if (size > EARLY_BYTES - early_used)
		return NULL;
	early_used += size;
	return p;
}

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + EARLY_BYTES;
}

static void take(void)
{
	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		;
}

static void give(void)
{
	__atomic_clear(&lock, __ATOMIC_RELEASE);
}

static struct slot *lookup(uintptr_t addr, bool for_new)
{
	size_t i = (addr >> 4) * 0x9e3779b97f4a7c15ull >> 41;

	for (;; i = (i + 1) % TABLE_SLOTS) {
		if (table[i].addr == addr || !table[i].addr || (for_new && table[i].addr == 1))
			return &table[i];
	}
}

static void came(void *p, size_t size)
{
	struct slot *slot;

	if (!counting)
		return;
	take();
	count.operations++;
	if (!p) {
		count.failed++;
	} else {
		slot = lookup((uintptr_t)p, true);
		slot->addr = (uintptr_t)p;
		slot->size = size;
		count.allocations++;
		count.bytes += size;
		count.live_blocks++;
		count.live_bytes += size;
	}
	give();
}

/* Return: how large it was. */
static size_t goes(void *p, bool *ret_known)
{
	struct slot *slot;
	size_t size = 0;

	*ret_known = false;
	if (!p || !counting)
		return 0;
	take();
	count.operations++;
	slot = lookup((uintptr_t)p, false);
	if (slot->addr) {
		*ret_known = true;
		size = slot->size;
		slot->addr = 1;
		count.frees++;
		count.live_blocks--;
		count.live_bytes -= size;
	} else {
		count.unknown_frees++;
	}
	give();
	return size;
}

/* The block stays after all. */
static void stays(void *p, size_t size, bool known)
{
	struct slot *slot;

	if (!counting)
		return;
	take();
	count.operations--;
	if (known) {
		slot = lookup((uintptr_t)p, true);
		slot->addr = (uintptr_t)p;
		slot->size = size;
		count.frees--;
		count.live_blocks++;
		count.live_bytes += size;
	} else {
		count.unknown_frees--;
	}
	give();
}

EXPORT void *malloc(size_t size)
{
	void *p = is_ready() ? next_malloc(size) : early_alloc(size);

	came(p, size);
	return p;
}

EXPORT void *calloc(size_t nr, size_t size)
{
	void *p = is_ready() ? next_calloc(nr, size) : early_alloc(nr * size);

	came(p, nr * size);
	return p;
}

EXPORT void free(void *p)
{
	bool known;

	if (is_early(p) || !is_ready())
		return;
	goes(p, &known);
	next_free(p);
}

EXPORT void *realloc(void *old, size_t size)
{
	bool known;
	size_t had = goes(old, &known);
	void *p;

	is_ready();
	p = next_realloc(old, size);
	/* One operation, though a block goes and a block comes. */
	if (p && old && size && counting) {
		take();
		count.reallocations++;
		count.operations--;
		give();
	}
	/* With size 0 glibc's is a free(): nothing came, and nothing failed. */
	if (p || !old || size)
		came(p, size);
	if (!p && old && size)
		stays(old, had, known);
	return p;
}

EXPORT void *memalign(size_t align, size_t size)
{
	void *p;

	is_ready();
	p = next_memalign(align, size);
	came(p, size);
	return p;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	void *p;

	is_ready();
	p = next_aligned_alloc(align, size);
	came(p, size);
	return p;
}

EXPORT int posix_memalign(void **ret, size_t align, size_t size)
{
	int err;

	is_ready();
	err = next_posix_memalign(ret, align, size);
	came(err ? NULL : *ret, size);
	return err;
}

EXPORT void *valloc(size_t size)
{
	void *p;

	is_ready();
	p = next_valloc(size);
	came(p, size);
	return p;
}

EXPORT void *pvalloc(size_t size)
{
	void *p;

	is_ready();
	p = next_pvalloc(size);
	came(p, size);
	return p;
}

static void tell(int status, void *unused)
{
	const char *path = getenv("COUNT_HEAP_OUT");
	char name[4096], line[512];
	int fd, len;

	(void)status;
	(void)unused;
	counting = false;
	if (!path)
		return;
	len = snprintf(line, sizeof(line),
		       "{\"allocations\":%lu,\"frees\":%lu,\"reallocations\":%lu,\"failed\":%lu,"
		       "\"unknown_frees\":%lu,\"bytes\":%lu,\"live_blocks\":%lu,\"live_bytes\":%lu,"
		       "\"operations\":%lu}\n",
		       count.allocations, count.frees, count.reallocations, count.failed,
		       count.unknown_frees, count.bytes, count.live_blocks, count.live_bytes,
		       count.operations);
	snprintf(name, sizeof(name), "%s.%d", path, (int)getpid());
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}

/* How a fork's child leaves, without the handlers. */
EXPORT _Noreturn void _exit(int status)
{
	if (counting)
		tell(status, NULL);
	for (;;)
		syscall(SYS_exit_group, status);
}

static void in_child(void)
{
	memset(&count, 0, sizeof(count));
	/* Fresh pages. */
	madvise(table, TABLE_SLOTS * sizeof(*table), MADV_DONTNEED);
	give();
}

static void begin(void)
{
	void *memory = mmap(NULL, TABLE_SLOTS * sizeof(*table), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	table = memory;
	next_on_exit(tell, NULL);
	pthread_atfork(take, give, in_child);
	counting = true;
}

EXPORT int on_exit(void (*function)(int status, void *arg), void *arg)
{
	int err;

	is_ready();
	err = next_on_exit(function, arg);
	if (!table)
		begin();
	return err;
}

__attribute__((constructor)) static void start(void)
{
	is_ready();
	if (!table && getenv("COUNT_HEAP_ALONE"))
		begin();
}
