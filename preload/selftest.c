/* SPDX-License-Identifier: MIT */
/*
 * Calls that change nothing, or a scratch page only. What can't be tried without harm is tried in
 * a form that fails: it is seen all the same.
 */
#include "selftest.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jsonw.h"
#include "patch.h"
#include "sys.h"
#include "thread.h"

#include <vmtrace/trace.h>

#include "no_heap.h"

static uint32_t by_symbol, by_site, by_instruction;	/* bits by enum mm_op */

static const char *const names[MM_OP_COUNT] = {
#define CALL(op, name, args) [op] = name,
	TRACE_CALLS(CALL)
#undef CALL
};

/* As the program's own code would, through the symbols. */
static void try_symbols(void)
{
	const size_t page = MM_PAGE_SIZE;
	void *p, *brk_now;

	p = mmap(NULL, 4 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED) {
		mprotect(p, page, PROT_NONE);
		pkey_mprotect(p, page, PROT_NONE, 99);
		madvise(p, page, MADV_NORMAL);
		mlock(p + page, 0);
		mlock2(p + page, 0, 1);
		munlock(p + page, 0);
		p = mremap(p, 4 * page, 4 * page, 0);
		munmap(p, 4 * page);
	}
	brk_now = sbrk(0);
	(void)brk(brk_now);
	syscall(SYS_remap_file_pages, 0, 0, 0, 0, 0);
	syscall(SYS_shmat, -1, 0, 0);
	syscall(SYS_shmdt, 1);
	syscall(SYS_mbind, 1, 0, 0, 0, 0, 0);
}

/* libc's own definitions, which its other functions call too. In this order: map, use, unmap. */
static const struct trial {
	enum mm_op op;
	long nr;
	bool on_page;		/* the scratch page is the first argument */
	long arg[5];
} trials[] = {
	{ MM_MMAP, SYS_mmap, false, { 0 } },
	{ MM_MPROTECT, SYS_mprotect, true, { MM_PAGE_SIZE, PROT_NONE } },
	{ MM_MADVISE, SYS_madvise, true, { MM_PAGE_SIZE, MADV_NORMAL } },
	{ MM_MREMAP, SYS_mremap, true, { MM_PAGE_SIZE, MM_PAGE_SIZE, 0 } },
	{ MM_PKEY_MPROTECT, SYS_pkey_mprotect, true, { MM_PAGE_SIZE, PROT_NONE, 99 } },
	{ MM_MLOCK, SYS_mlock, true, { 0 } },
	{ MM_MLOCK2, SYS_mlock2, true, { 0, 1 } },
	{ MM_MUNLOCK, SYS_munlock, true, { 0 } },
	{ MM_MUNMAP, SYS_munmap, true, { MM_PAGE_SIZE } },
	{ MM_SHMAT, SYS_shmat, false, { 0 } },
	{ MM_SHMDT, SYS_shmdt, false, { 0 } },
	{ MM_REMAP_FILE_PAGES, SYS_remap_file_pages, false, { 0 } },
};

static void try_sites(void)
{
	long (*call)(long, ...), page = 0;
	size_t i;

	for (i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		const struct trial *t = &trials[i];

		if (!patch_has(t->nr))
			continue;
		*(void **)(void *)&call = dlsym(RTLD_NEXT, names[t->op]);
		if (!call)
			continue;
		if (t->op == MM_MMAP)
			page = call(0l, MM_PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1l, 0l);
		else
			call(t->on_page ? page : -1l, t->arg[0], t->arg[1], t->arg[2], t->arg[3],
			     t->arg[4]);
	}
	if (patch_has(SYS_brk))
		(void)brk(sbrk(0));
}

static long raw(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = -1;
	register long r9 __asm__("r9") = 0;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* As code that was not made for libc would: from a text that is not libc's. */
static void try_instructions(void)
{
	long page = raw(SYS_mmap, 0, MM_PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);

	raw(SYS_mprotect, page, MM_PAGE_SIZE, PROT_NONE, 0);
	raw(SYS_munmap, page, MM_PAGE_SIZE, 0, 0);
	raw(SYS_brk, 0, 0, 0, 0);
}

void selftest_run(enum config_tier tier)
{
	tls.self_test = true;
	try_symbols();
	by_symbol = tls.self_test_seen;
	tls.self_test_seen = 0;
	if (tier >= TIER_LIBC)
		try_sites();
	by_site = tls.self_test_seen;
	tls.self_test_seen = 0;
	if (tier == TIER_ALL)
		try_instructions();
	by_instruction = tls.self_test_seen;
	tls.self_test = false;
}

void selftest_put(struct jsonw *w, enum config_tier tier)
{
	static const enum mm_op tried[] = { MM_MMAP, MM_MPROTECT, MM_PKEY_MPROTECT, MM_MADVISE,
					    MM_MLOCK, MM_MLOCK2, MM_MUNLOCK, MM_MREMAP, MM_MUNMAP,
					    MM_BRK, MM_REMAP_FILE_PAGES, MM_SHMAT, MM_SHMDT,
					    MM_MBIND };
	static const enum mm_op raw_tried[] = { MM_MMAP, MM_MPROTECT, MM_MUNMAP, MM_BRK };
	const char *site;
	unsigned int n;
	size_t i;

	jsonw_object(w, "capture");
	jsonw_str(w, "tier", config_tier_name(tier));
	jsonw_str(w, "asked", config_tier_name(config.tier));
	jsonw_object(w, "self_test");
	for (i = 0; i < sizeof(tried) / sizeof(tried[0]); i++)
		jsonw_bool(w, names[tried[i]], by_symbol & 1u << tried[i]);
	jsonw_object_end(w);
	if (tier >= TIER_LIBC) {
		jsonw_object(w, "self_test_libc");
		for (i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
			if (patch_has(trials[i].nr))
				jsonw_bool(w, names[trials[i].op], by_site & 1u << trials[i].op);
		}
		if (patch_has(SYS_brk))
			jsonw_bool(w, "brk", by_site & 1u << MM_BRK);
		jsonw_object_end(w);
		patch_put(w, "texts");
		jsonw_array(w, "missing");
		for (n = 0; (site = patch_missing(n)); n++)
			jsonw_str(w, NULL, site);
		jsonw_array_end(w);
	}
	if (tier == TIER_ALL) {
		jsonw_object(w, "self_test_raw");
		for (i = 0; i < sizeof(raw_tried) / sizeof(raw_tried[0]); i++)
			jsonw_bool(w, names[raw_tried[i]], by_instruction & 1u << raw_tried[i]);
		jsonw_object_end(w);
		jsonw_hex(w, "gadget", (uint64_t)(uintptr_t)sys_gadget);
	}
	jsonw_object_end(w);
}
