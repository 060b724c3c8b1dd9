/* SPDX-License-Identifier: MIT */
/* dl_iterate_phdr() compared with a table of what was already told. */
#include "modules.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <string.h>

#include "bridge.h"
#include "capture.h"
#include "cfi.h"
#include "lock.h"
#include "patch.h"
#include "recorder.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

#define NR_MODULES 4096
#define NR_OWN 4
#define NR_HEADERS 64
#define NR_LOCKS 8
#define LOADER_TRIES 50	/* of a yield, and as many of a millisecond */

struct range {
	uint64_t start, end;
};

static struct range vmtrace, libc, loader, own[NR_OWN];
static unsigned int nr_own;

static struct module {
	struct dl_phdr_info info;	/* name and headers stay valid while it is loaded */
	struct range range;
	bool told, seen, own;
} modules[NR_MODULES];
static unsigned int nr_modules, nr_told;

/* What a recursive mutex of libc begins with. */
struct mutex {
	int32_t lock;
	uint32_t count;
	int32_t owner;
	uint32_t nr_users;
	int32_t kind;
};

/* Of the loader: those that are held while it visits its list, and the one on that list. */
static const volatile struct mutex *locks[NR_LOCKS];
static unsigned int nr_locks;
static const volatile struct mutex *list_lock;
static uint32_t updating;

static bool in(const struct range *range, uint64_t addr)
{
	return addr >= range->start && addr < range->end;
}

bool modules_is_vmtrace(uintptr_t ip)
{
	return in(&vmtrace, ip);
}

bool modules_is_own(uint64_t addr)
{
	unsigned int i;

	for (i = 0; i < nr_own; i++) {
		if (in(&own[i], addr))
			return true;
	}
	return in(&vmtrace, addr);
}

enum trace_origin modules_origin(uintptr_t ip)
{
	if (modules_is_own(ip))
		return TRACE_ORIGIN_SELF;
	return in(&libc, ip) ? TRACE_ORIGIN_LIBC : in(&loader, ip) ? TRACE_ORIGIN_LOADER :
	       TRACE_ORIGIN_APP;
}

uint64_t modules_loader_end(void)
{
	return loader.end;
}

static void put_range(struct jsonw *w, const struct range *range, const char *what)
{
	jsonw_array(w, NULL);
	jsonw_hex(w, NULL, range->start);
	jsonw_hex(w, NULL, range->end);
	jsonw_str(w, NULL, what);
	jsonw_array_end(w);
}

void modules_put_own(struct jsonw *w)
{
	unsigned int i;

	put_range(w, &vmtrace, "library");
	for (i = 0; i < nr_own; i++)
		put_range(w, &own[i], "unwinder");
}

static struct range extent(const struct dl_phdr_info *info)
{
	struct range range = { ~0ull, 0 };
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + (ph->p_vaddr & ~4095ull);
		uint64_t end = info->dlpi_addr + ((ph->p_vaddr + ph->p_memsz + 4095) & ~4095ull);

		if (ph->p_type != PT_LOAD)
			continue;
		if (start < range.start)
			range.start = start;
		if (end > range.end)
			range.end = end;
	}
	return range;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const ElfW(Phdr) *find_phdr(const struct dl_phdr_info *info, ElfW(Word) type)
{
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == type)
			return &info->dlpi_phdr[i];
	}
	return NULL;
}

/* The dynamic section and its strings; NULL for a static object and for the vdso. */
static const ElfW(Dyn) *find_dynamic(const struct dl_phdr_info *info, const char **ret_strings)
{
	const ElfW(Phdr) *ph = find_phdr(info, PT_DYNAMIC);
	const ElfW(Dyn) *dyn = ph ? (const void *)(info->dlpi_addr + ph->p_vaddr) : NULL, *d;
	const char *strings = NULL;

	for (d = dyn; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_STRTAB)
			strings = (const char *)d->d_un.d_ptr;
	}
	/* The vdso's table is not relocated; nothing of interest is in it. */
	if (!strings || (uintptr_t)strings < info->dlpi_addr)
		return NULL;
	*ret_strings = strings;
	return dyn;
}

/* Does the object need the library @soname (DT_NEEDED)? */
static bool needs(const struct dl_phdr_info *info, const char *soname)
{
	const char *strings = NULL;
	const ElfW(Dyn) *dyn = find_dynamic(info, &strings), *d;

	for (d = dyn; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_NEEDED && !strcmp(strings + d->d_un.d_val, soname))
			return true;
	}
	return false;
}

struct need {
	const char *soname;
	bool found;
};

static int find_need(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct need *need = ctx;

	(void)size;
	if (!modules_is_own(extent(info).start) && needs(info, need->soname))
		need->found = true;
	return 0;
}

/* The unwinder and its libraries, unless the program itself needs them. */
static int find_own(struct dl_phdr_info *info, size_t size, void *ctx)
{
	static const char *const names[] = { "libunwind.so.8", "liblzma.so.5" };
	const char *wanted = names[*(unsigned int *)ctx];
	struct need need = { wanted, false };

	(void)size;
	if (!info->dlpi_name || strcmp(base_name(info->dlpi_name), wanted))
		return 0;
	dl_iterate_phdr(find_need, &need);
	if (!need.found)
		own[nr_own++] = extent(info);
	return 1;
}

static int find_known(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct range range = extent(info);
	const char *name = base_name(info->dlpi_name ? info->dlpi_name : "");

	(void)size;
	(void)ctx;
	if (in(&range, (uintptr_t)modules_init))
		vmtrace = range;
	else if (!strcmp(name, "libc.so.6"))
		libc = range;
	else if (!strncmp(name, "ld-linux", 8) || !strncmp(name, "ld-", 3))
		loader = range;
	return 0;
}

/* libc doesn't tell where that lock is: in the loader's data, and held just now. */
static int find_held(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const struct mutex held = { 1, 1, sys_gettid(), 1, PTHREAD_MUTEX_RECURSIVE_NP };
	uintptr_t at, end;
	int i;

	(void)size;
	(void)ctx;
	if (extent(info).start != loader.start)
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_W))
			continue;
		at = (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + 7) & ~7ull;
		end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
		for (; at + sizeof(held) <= end; at += 8) {
			if (nr_locks < NR_LOCKS && !memcmp((const void *)at, &held, sizeof(held)))
				locks[nr_locks++] = (const volatile struct mutex *)at;
		}
	}
	return 1;
}

/* Of those the one that is free again. */
static void find_list_lock(void)
{
	unsigned int i, nr_free = 0;

	dl_iterate_phdr(find_held, NULL);
	for (i = 0; i < nr_locks; i++) {
		if (!locks[i]->lock && !locks[i]->owner) {
			list_lock = locks[i];
			nr_free++;
		}
	}
	if (nr_free != 1)
		list_lock = NULL;
}

bool modules_take_loader(void)
{
	unsigned int i;

	for (i = 0; list_lock && pthread_mutex_trylock((pthread_mutex_t *)(uintptr_t)list_lock); i++) {
		if (i == 2 * LOADER_TRIES)
			return false;
		if (i < LOADER_TRIES)
			sys_yield();
		else
			sys_sleep_ms();
	}
	return true;
}

void modules_give_loader(void)
{
	if (list_lock)
		pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)list_lock);
}

bool modules_loader_is_stuck(void)
{
	return list_lock ? list_lock->lock : !thread_is_alone();
}

void modules_init(void)
{
	unsigned int i;

	dl_iterate_phdr(find_known, NULL);
	find_list_lock();
	/* In this order: libunwind's need of liblzma doesn't count once libunwind is known as own. */
	for (i = 0; i < 2; i++)
		dl_iterate_phdr(find_own, &i);
}

static void put_build_id(struct jsonw *w, const struct dl_phdr_info *info)
{
	static const char hex[] = "0123456789abcdef";
	char text[129];
	size_t n = 0, i;
	int k;

	for (k = 0; k < info->dlpi_phnum; k++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[k];
		const char *p = (const char *)(info->dlpi_addr + ph->p_vaddr), *end = p + ph->p_memsz;

		if (ph->p_type != PT_NOTE)
			continue;
		while (p + sizeof(ElfW(Nhdr)) <= end) {
			const ElfW(Nhdr) *note = (const void *)p;
			const char *name = p + sizeof(*note);
			const unsigned char *desc =
				(const void *)(name + ((note->n_namesz + 3) & ~3u));

			if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
			    !memcmp(name, "GNU", 4) && note->n_descsz <= 64) {
				for (i = 0; i < note->n_descsz; i++) {
					text[n++] = hex[desc[i] >> 4];
					text[n++] = hex[desc[i] & 15];
				}
				jsonw_strn(w, "build_id", text, n);
				return;
			}
			p = (const char *)desc + ((note->n_descsz + 3) & ~3u);
		}
	}
}

static void put_segments(struct jsonw *w, const struct dl_phdr_info *info)
{
	int i;

	jsonw_array(w, "segments");
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		char perms[4] = { ph->p_flags & PF_R ? 'r' : '-', ph->p_flags & PF_W ? 'w' : '-',
				  ph->p_flags & PF_X ? 'x' : '-', '\0' };

		if (ph->p_type != PT_LOAD)
			continue;
		jsonw_array(w, NULL);
		jsonw_hex(w, NULL, info->dlpi_addr + ph->p_vaddr);
		jsonw_hex(w, NULL, info->dlpi_addr + ph->p_vaddr + ph->p_memsz);
		jsonw_str(w, NULL, perms);
		jsonw_array_end(w);
	}
	jsonw_array_end(w);
}

static void put_soname(struct jsonw *w, const struct dl_phdr_info *info)
{
	const char *strings = NULL;
	const ElfW(Dyn) *d = find_dynamic(info, &strings);

	for (; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SONAME)
			jsonw_str(w, "soname", strings + d->d_un.d_val);
	}
}

/* What the linker asked of the loader and the kernel: memory to be read-only, a stack to run on. */
static void put_hardening(struct jsonw *w, const struct dl_phdr_info *info)
{
	const ElfW(Phdr) *relro = find_phdr(info, PT_GNU_RELRO);
	const ElfW(Phdr) *stack = find_phdr(info, PT_GNU_STACK);

	if (relro) {
		jsonw_array(w, "relro");
		jsonw_hex(w, NULL, info->dlpi_addr + relro->p_vaddr);
		jsonw_hex(w, NULL, info->dlpi_addr + relro->p_vaddr + relro->p_memsz);
		jsonw_array_end(w);
	}
	if (stack && stack->p_flags & PF_X)
		jsonw_bool(w, "exec_stack", true);
}

/* Under the capture lock. */
static void tell(const struct module *m)
{
	static char exe[4096];
	const char *path = m->info.dlpi_name;
	struct jsonw *w;

	if (!path || !*path) {
		sys_readlink("/proc/self/exe", exe, sizeof(exe));
		path = exe;
	}
	w = recorder_writer();
	jsonw_event(w, "module");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_str(w, "op", "load");
	jsonw_str(w, "path", path);
	jsonw_hex(w, "base", m->info.dlpi_addr);
	put_build_id(w, &m->info);
	put_soname(w, &m->info);
	put_segments(w, &m->info);
	put_hardening(w, &m->info);
	if (m->own)
		jsonw_bool(w, "own", true);
	recorder_commit(w);
}

static int visit(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct range range = extent(info);
	struct lock_state state;
	unsigned int i;

	(void)size;
	(void)ctx;
	for (i = 0; i < nr_modules; i++) {
		if (modules[i].told && modules[i].info.dlpi_addr == info->dlpi_addr &&
		    modules[i].range.start == range.start && modules[i].range.end == range.end) {
			modules[i].seen = true;
			return 0;
		}
	}
	for (i = 0; i < nr_modules && modules[i].told; i++)
		;
	if (i == NR_MODULES) {
		recorder_lost("event", "modules", 1);
		return 0;
	}
	if (i == nr_modules)
		nr_modules++;
	modules[i] = (struct module){ .info = *info, .range = range, .told = true, .seen = true,
				      .own = modules_is_own(range.start) };
	lock_take(&state);
	tell(&modules[i]);
	lock_drop(&state);
	nr_told++;
	return 0;
}

static void update(void)
{
	struct lock_state state;
	struct jsonw *w;
	unsigned int i;

	for (i = 0; i < nr_modules; i++)
		modules[i].seen = false;
	nr_told = 0;
	dl_iterate_phdr(visit, NULL);
	if (nr_told) {
		/* Some modules patch libc as they are loaded. */
		lock_take(&state);
		patch_check();
		lock_drop(&state);
	}
	for (i = 0; i < nr_modules; i++) {
		if (!modules[i].told || modules[i].seen)
			continue;
		modules[i].told = false;
		bridge_forget();
		cfi_forget();
		lock_take(&state);
		w = recorder_writer();
		jsonw_event(w, "module");
		jsonw_num(w, "t", (int64_t)recorder_now());
		jsonw_str(w, "op", "unload");
		jsonw_hex(w, "base", modules[i].info.dlpi_addr);
		recorder_commit(w);
		lock_drop(&state);
	}
}

static int take_counts(struct dl_phdr_info *info, size_t size, void *ctx)
{
	unsigned long long *counts = ctx;

	(void)size;
	counts[0] = info->dlpi_adds;
	counts[1] = info->dlpi_subs;
	return 1;
}

void modules_refresh(void)
{
	static unsigned long long known[2];
	unsigned long long counts[2] = { 0, 0 };

	dl_iterate_phdr(take_counts, counts);
	if (counts[0] == known[0] && counts[1] == known[1])
		return;
	/* Two at once: the second leaves its work to the first, or to the next new stack. */
	if (__atomic_exchange_n(&updating, 1, __ATOMIC_ACQUIRE))
		return;
	update();
	known[0] = counts[0];
	known[1] = counts[1];
	__atomic_store_n(&updating, 0, __ATOMIC_RELEASE);
}

/*
 * Another thread of the parent may have been unloading it, with dlclose(): its headers go first, in one
 * piece with all else that was mapped, then its name. Something else may be there by now. Where the
 * kernel doesn't let us look it is taken to be there.
 */
static bool is_there(const struct module *m)
{
	static ElfW(Phdr) headers[NR_HEADERS];
	struct dl_phdr_info info = m->info;
	size_t bytes = info.dlpi_phnum * sizeof(headers[0]);
	struct range range;

	if (sys_read_user(headers, m, sizeof(*m)) != sizeof(*m))
		return true;
	if (bytes > sizeof(headers) || sys_read_user(headers, info.dlpi_phdr, bytes) != bytes)
		return false;
	info.dlpi_phdr = headers;
	range = extent(&info);
	return range.start == m->range.start && range.end == m->range.end;
}

void modules_tell_again(void)
{
	unsigned int i;

	updating = 0;
	for (i = 0; i < nr_modules; i++) {
		modules[i].told = modules[i].told && is_there(&modules[i]);
		if (modules[i].told)
			tell(&modules[i]);
	}
}
