/* SPDX-License-Identifier: MIT */
/*
 * A preload that takes each stack twice where memory is allocated: by the walk that reuses what is
 * proved to be as it was, and by unw_backtrace(). Writes to the file WALK_CHECK names, one line a
 * process:
 *
 *     PID SAMPLES REUSED GIVEN_UP DIFFERENCES
 *
 * SAMPLES were compared, in REUSED of them frames were taken over; GIVEN_UP had no proof.
 */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../preload/cfi.h"
#include "../../preload/modules.h"
#include "../../preload/next.h"
#include "../../preload/walk.h"

#define EXPORT __attribute__((visibility("default")))
#define TLS __thread __attribute__((tls_model("initial-exec")))
#define OWN_FRAMES 8
#define POOL_BYTES 65536
#define STORED_MAX (1u << 18)
#define STORED_WORDS (8ul << 20)
#define FRAME __builtin_frame_address(0)

struct next next;

static TLS volatile int inside;
static TLS struct walk *walk;
static TLS uintptr_t stack_end;
static TLS size_t *stored;		/* by number: where the stack begins in store_words */
static TLS uintptr_t *store_words;
static TLS size_t used;
static TLS uint32_t nr_stored;
static unsigned long samples, reused, given_up, differences;
static bool is_ready;
static char pool[POOL_BYTES] __attribute__((aligned(16)));
static size_t pool_used;

bool modules_is_vmtrace(uintptr_t ip)
{
	(void)ip;
	return false;
}

/* A loaded segment that may be read. */
static int look_in(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t *range = data, start;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		if (info->dlpi_phdr[i].p_type == PT_LOAD && range[0] >= start &&
		    range[0] < start + info->dlpi_phdr[i].p_filesz) {
			range[1] = start;
			range[2] = start + info->dlpi_phdr[i].p_filesz;
			return 1;
		}
	}
	return 0;
}

static bool find_mapping(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end)
{
	uintptr_t range[3] = { addr, 0, 0 };

	if (!dl_iterate_phdr(look_in, range))
		return false;
	*ret_start = range[1];
	*ret_end = range[2];
	return true;
}

static void tell(int nr, void *const *ips, int want, const uintptr_t *walked)
{
	int i;

	if (__atomic_fetch_add(&differences, 1, __ATOMIC_RELAXED) > 3)
		return;
	for (i = 0; i < nr || i < want; i++)
		dprintf(2, "walk_check: #%-3d %16p %16lx%s\n", i, i < nr ? ips[i] : NULL,
			i < want ? walked[i] : 0,
			i >= nr || i >= want || (uintptr_t)ips[i] != walked[i] ? "  <<<" : "");
}

/* The thread's own stack: its end, by pthread_getattr_np(3). */
static uintptr_t find_end(void)
{
	pthread_attr_t attr;
	size_t size = 0;
	void *low = NULL;

	if (pthread_getattr_np(pthread_self(), &attr))
		return 0;
	pthread_attr_getstack(&attr, &low, &size);
	pthread_attr_destroy(&attr);
	return (uintptr_t)low + size;
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static bool prepare(void)
{
	if (walk)
		return stack_end;
	walk = map(sizeof(*walk));
	/* The smallest: what is kept must often make room. */
	paths_use(&walk->paths, map(paths_bytes(1)), 1);
	stored = map(STORED_MAX * sizeof(*stored));
	store_words = map(STORED_WORDS * sizeof(*store_words));
	stack_end = find_end();
	return stack_end;
}

/* Keep a stack under a number of its own, for when it is recalled. Return: that number. */
static uint32_t store(const uintptr_t *ips, int nr)
{
	if (nr_stored + 1 == STORED_MAX || used + (size_t)nr + 1 > STORED_WORDS) {
		nr_stored = 0;
		used = 0;
		walk->generation = WALK_FORGETS;
		return 0;
	}
	stored[++nr_stored] = used;
	store_words[used++] = (uintptr_t)nr;
	memcpy(store_words + used, ips, (size_t)nr * sizeof(*ips));
	used += (size_t)nr;
	return nr_stored;
}

/* Return: number of frames, or WALK_GIVES_UP. */
static int take(const struct walk_frame *from, uintptr_t *ips)
{
	uint64_t key;
	uint32_t id = walk_recall(walk, from, stack_end, &key), k;
	int taken, nr = 0, i;

	if (id) {
		nr = (int)store_words[stored[id]];
		memcpy(ips, store_words + stored[id] + 1, (size_t)nr * sizeof(*ips));
		__atomic_fetch_add(&reused, 1, __ATOMIC_RELAXED);
		return nr;
	}
	taken = walk_take(walk, from, stack_end);
	if (taken == WALK_GIVES_UP)
		return taken;
	if (walk->nr)
		__atomic_fetch_add(&reused, 1, __ATOMIC_RELAXED);
	for (i = 0; i < taken; i++)
		ips[nr++] = walk->fresh[i].ip;
	for (k = walk->nr; k > 0; k--)
		ips[nr++] = walk->frames[k - 1].ip;
	walk_keep(walk, taken);
	id = store(ips, nr);
	if (id)
		walk_remember(walk, key, id);
	return nr;
}

static void compare(const struct walk_frame *from)
{
	void *ips[WALK_MAX + OWN_FRAMES];
	uintptr_t walked[WALK_MAX];
	int nr, want, skip = 0, i;

	if (from->sp > stack_end || stack_end - from->sp > 64ul << 20)
		return;
	nr = unw_backtrace(ips, WALK_MAX + OWN_FRAMES);
	want = take(from, walked);
	if (want == WALK_GIVES_UP) {
		__atomic_fetch_add(&given_up, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&samples, 1, __ATOMIC_RELAXED);
	while (skip < nr && (uintptr_t)ips[skip] != from->ip)
		skip++;
	for (i = 0; i < want && i + skip < nr && (uintptr_t)ips[i + skip] == walked[i]; i++)
		;
	if (i != want || i + skip != nr)
		tell(nr - skip, ips + skip, want, walked);
}

/* @frame: the hook's, whose caller's registers are where the compiler has put them. */
static __attribute__((noinline)) void check(const uintptr_t *frame)
{
	struct walk_frame from = { .ip = frame[1], .sp = (uintptr_t)(frame + 2), .bp = frame[0] };
	int err = errno;

	if (inside || !is_ready)
		return;
	inside = 1;
	if (prepare())
		compare(&from);
	inside = 0;
	errno = err;
}

static void resolve(void)
{
	inside++;
	*(void **)&next.find_object_ = dlsym(RTLD_DEFAULT, "_dl_find_object");
	*(void **)&next.calloc_ = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next.realloc_ = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next.free_ = dlsym(RTLD_NEXT, "free");
	*(void **)&next.dlclose_ = dlsym(RTLD_NEXT, "dlclose");
	*(void **)&next.malloc_ = dlsym(RTLD_NEXT, "malloc");
	inside--;
}

static void *from_pool(size_t size)
{
	size_t at = __atomic_fetch_add(&pool_used, (size + 15) & ~15ul, __ATOMIC_RELAXED);

	return at + size <= POOL_BYTES ? pool + at : NULL;
}

static bool in_pool(const void *p)
{
	return (const char *)p >= pool && (const char *)p < pool + POOL_BYTES;
}

static bool can_call(void)
{
	if (!next.malloc_ && !inside)
		resolve();
	return next.malloc_;
}

EXPORT void *malloc(size_t size)
{
	void *p = can_call() ? next.malloc_(size) : from_pool(size);

	check(FRAME);
	return p;
}

EXPORT void *calloc(size_t nr, size_t size)
{
	void *p = can_call() ? next.calloc_(nr, size) : from_pool(nr * size);

	check(FRAME);
	return p;
}

EXPORT void *realloc(void *old, size_t size)
{
	void *p = can_call() && !in_pool(old) ? next.realloc_(old, size) : from_pool(size);

	check(FRAME);
	return p;
}

EXPORT void free(void *p)
{
	if (can_call() && !in_pool(p))
		next.free_(p);
}

EXPORT int dlclose(void *handle)
{
	int ret = next.dlclose_(handle);

	cfi_forget();
	return ret;
}

__attribute__((constructor)) static void start(void)
{
	void *ips[2];

	inside++;
	if (!next.malloc_)
		resolve();
	unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_PER_THREAD);
	(void)unw_backtrace(ips, 2);
	cfi_init(find_mapping);
	is_ready = true;
	inside--;
}

__attribute__((destructor)) static void finish(void)
{
	const char *path = getenv("WALK_CHECK");
	char line[128];
	int fd, n;

	inside++;
	n = snprintf(line, sizeof(line), "%d %lu %lu %lu %lu\n", getpid(), samples, reused, given_up,
		     differences);
	fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
	if (fd >= 0 && write(fd, line, (size_t)n) == n)
		close(fd);
}
