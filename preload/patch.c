/* SPDX-License-Identifier: MIT */
/* Finds sites by pattern, writes jumps, and answers for the stubs that they lead to. */
#include "patch.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "config.h"
#include "dispatch.h"
#include "jsonw.h"
#include "kmaps.h"
#include "lock.h"
#include "next.h"
#include "recorder.h"
#include "sys.h"
#include "task.h"

#include "no_heap.h"

#define SITE_BYTES 7
#define JUMP_BYTES 5
#define SYSCALL_OPCODE "\x0f\x05"
#define LOAD_SIXTH "\x4c\x8b\x4c\x24\x08"	/* mov 8(%rsp),%r9 */
#define MOV_EAX 0xb8
#define JMP_REL32 0xe9
#define NR_TEXTS 16
#define NR_SITES (PATCH_NR_PLAIN + PATCH_NR_BY_NUMBER + PATCH_NR_CLONE)
#define NR_MISSING 32
#define BY_NUMBER (-1)

/* Vector state that C code may change: SSE, AVX, the three parts of AVX-512; not x87, not keys. */
#define XSTATE_VECTORS 0xe6u

enum kind { KIND_PLAIN, KIND_BY_NUMBER, KIND_CLONE, NR_KINDS };

/* Read by the stubs: their first two members' places are fixed. */
struct patch_site {
	uint64_t ret;		/* behind the syscall instruction */
	uint64_t resume;	/* clones: the system call in the stub */
	int32_t nr;
	uint8_t text;		/* index into texts */
	bool live;
	uint8_t unused[10];
};
_Static_assert(sizeof(struct patch_site) == 32, "SITE_SHIFT in patch_x86_64.S");

struct patch_site patch_sites[NR_SITES] __attribute__((visibility("hidden")));
uint32_t patch_vector_mask __attribute__((visibility("hidden")));	/* 0: fxsave */

extern const char patch_stubs_plain[], patch_stubs_by_number[], patch_stubs_clone[];

static const struct pool {
	const char *stubs;
	unsigned int stride, first, nr;
} pools[NR_KINDS] = {
	[KIND_PLAIN] = { patch_stubs_plain, 16, 0, PATCH_NR_PLAIN },
	[KIND_BY_NUMBER] = { patch_stubs_by_number, 32, PATCH_NR_PLAIN, PATCH_NR_BY_NUMBER },
	[KIND_CLONE] = { patch_stubs_clone, 32, PATCH_NR_PLAIN + PATCH_NR_BY_NUMBER, PATCH_NR_CLONE },
};
static unsigned int taken[NR_KINDS];

static struct text {
	uint64_t start, end;
	char name[64];		/* last component */
	bool is_loader;
} texts[NR_TEXTS];
static unsigned int nr_texts;

/* IN_LIBC, IN_LOADER: without it some change of the map goes unseen there. */
enum { IN_LIBC = 1, IN_LOADER = 2, WITH_SIGNALS = 4 };

static const struct wanted {
	int32_t nr;
	enum kind kind;
	unsigned int needed;
	const char *name;
} wanted[] = {
	{ SYS_mmap, KIND_PLAIN, IN_LIBC | IN_LOADER, "mmap" },
	{ SYS_munmap, KIND_PLAIN, IN_LIBC | IN_LOADER, "munmap" },
	{ SYS_mprotect, KIND_PLAIN, IN_LIBC | IN_LOADER, "mprotect" },
	{ SYS_brk, KIND_PLAIN, IN_LIBC, "brk" },
	{ SYS_mremap, KIND_PLAIN, IN_LIBC, "mremap" },
	{ SYS_madvise, KIND_PLAIN, IN_LIBC, "madvise" },
	{ SYS_shmat, KIND_PLAIN, 0, "shmat" },
	{ SYS_shmdt, KIND_PLAIN, 0, "shmdt" },
	{ SYS_mlock, KIND_PLAIN, 0, "mlock" },
	{ SYS_mlock2, KIND_PLAIN, 0, "mlock2" },
	{ SYS_munlock, KIND_PLAIN, 0, "munlock" },
	{ SYS_mlockall, KIND_PLAIN, 0, "mlockall" },
	{ SYS_munlockall, KIND_PLAIN, 0, "munlockall" },
	{ SYS_remap_file_pages, KIND_PLAIN, 0, "remap_file_pages" },
	{ SYS_pkey_mprotect, KIND_PLAIN, 0, "pkey_mprotect" },
	{ SYS_process_madvise, KIND_PLAIN, 0, "process_madvise" },
	{ 462, KIND_PLAIN, 0, "mseal" },
	{ SYS_prctl, KIND_PLAIN, 0, "prctl" },
	{ SYS_execve, KIND_PLAIN, 0, "execve" },
	{ SYS_execveat, KIND_PLAIN, 0, "execveat" },
	{ SYS_clone, KIND_CLONE, 0, "clone" },
	{ SYS_clone3, KIND_CLONE, 0, "clone3" },
	{ SYS_rt_sigprocmask, KIND_PLAIN, WITH_SIGNALS, "rt_sigprocmask" },
	{ SYS_rt_sigaction, KIND_PLAIN, 0, "rt_sigaction" },
	{ BY_NUMBER, KIND_BY_NUMBER, 0, "syscall" },
};
#define NR_WANTED (sizeof(wanted) / sizeof(wanted[0]))

static unsigned int nr_found[NR_TEXTS][NR_WANTED];
static char missing[NR_MISSING][48];
static unsigned int nr_missing;
static bool with_signals, started, has_nr[512];

struct patch_regs {
	const struct patch_site *site;
	uint64_t r9, r8, r10, rdx, rsi, rdi, rax;
};

long patch_enter(struct patch_regs *regs);
long patch_clone_enter(struct patch_regs *regs);
void patch_clone_leave(struct patch_regs *regs);

long patch_enter(struct patch_regs *regs)
{
	const uint64_t arg[6] = { regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9 };

	if (regs->site->nr == BY_NUMBER)
		return dispatch((long)regs->rax, arg, DISPATCH_BY_NUMBER);
	return dispatch(regs->site->nr, arg, DISPATCH_SITE);
}

long patch_clone_enter(struct patch_regs *regs)
{
	task_clone_enter(regs->site->nr, regs->rdi);
	return regs->site->nr;
}

void patch_clone_leave(struct patch_regs *regs)
{
	task_clone_leave(regs->site->nr, regs->rdi, (long)regs->rax);
}

static int find_wanted(const uint8_t *site)
{
	int32_t nr;
	size_t i;

	if (!memcmp(site, LOAD_SIXTH, JUMP_BYTES))
		return NR_WANTED - 1;
	if (site[0] != MOV_EAX)
		return -1;
	memcpy(&nr, site + 1, sizeof(nr));
	for (i = 0; i < NR_WANTED; i++) {
		if (wanted[i].nr == nr && nr != BY_NUMBER &&
		    (with_signals || !(wanted[i].needed & WITH_SIGNALS)))
			return (int)i;
	}
	return -1;
}

/* Return: 0, -errno. */
static int write_text(int mem, uint8_t *site, const uint8_t *bytes)
{
	ssize_t n = sys_pwrite(mem, bytes, JUMP_BYTES, (off_t)(uintptr_t)site);

	return n < 0 ? (int)n : n == JUMP_BYTES && !memcmp(site, bytes, JUMP_BYTES) ? 0 : -EIO;
}

/* The stub of a site that was there before, in a text mapped again; or a new one. */
static unsigned int choose_stub(enum kind kind, int32_t nr, uint64_t ret)
{
	const struct pool *pool = &pools[kind];
	unsigned int n;

	for (n = 0; n < taken[kind]; n++) {
		if (patch_sites[pool->first + n].ret == ret && patch_sites[pool->first + n].nr == nr)
			break;
	}
	return n;
}

static void put_jump(uint8_t jump[JUMP_BYTES], const char *stub, uint64_t ret)
{
	int32_t rel = (int32_t)((int64_t)(uintptr_t)stub -
				(int64_t)(ret - SITE_BYTES + JUMP_BYTES));

	jump[0] = JMP_REL32;
	memcpy(jump + 1, &rel, sizeof(rel));
}

static bool patch_site(int mem, uint8_t *code, const struct wanted *w, unsigned int text)
{
	const struct pool *pool = &pools[w->kind];
	uint64_t ret = (uint64_t)(uintptr_t)(code + SITE_BYTES);
	unsigned int n = choose_stub(w->kind, w->nr, ret), index = pool->first + n;
	const char *stub = pool->stubs + (size_t)n * pool->stride;
	struct patch_site *site = &patch_sites[index];
	int64_t distance = (int64_t)(uintptr_t)stub - (int64_t)(uintptr_t)(code + JUMP_BYTES);
	uint8_t jump[JUMP_BYTES];

	if (n == pool->nr || (int32_t)distance != distance)
		return false;
	put_jump(jump, stub, ret);
	*site = (struct patch_site){ .ret = ret,
				     .resume = (uint64_t)(uintptr_t)(stub + 16),
				     .nr = w->nr, .text = (uint8_t)text };
	if (write_text(mem, code, jump))
		return false;
	site->live = true;
	if (n == taken[w->kind])
		taken[w->kind]++;
	return true;
}

static void add_missing(const struct text *text, const char *call)
{
	char *dst;
	size_t n;

	if (nr_missing == NR_MISSING)
		return;
	dst = missing[nr_missing++];
	n = strlen(text->name) > 24 ? 24 : strlen(text->name);
	memcpy(dst, text->name, n);
	memcpy(dst + n, ": ", 2);
	memcpy(dst + n + 2, call, strlen(call) + 1);
}

/*
 * The header is written: what is missing from now on is lost. Where one site is gone, sigaction()'s
 * may be: from then on a handler may come unseen.
 */
static void lose(const struct text *text, const char *call, uint64_t count, bool tell)
{
	lock_note_handler();
	recorder_lost("site", call, count);
	if (tell)
		config_warn("no system call to patch in ", text->name, ": ", call,
			    "; its changes are not captured", NULL);
}

/* The next instruction from @at on, or NULL. For two bytes memmem() takes six times as long. */
static uint8_t *find_syscall(uint8_t *at, uint8_t *end)
{
	while (++at < end && (at = memchr(at, SYSCALL_OPCODE[1], (size_t)(end - at)))) {
		if (at[-1] == SYSCALL_OPCODE[0])
			return at - 1;
	}
	return NULL;
}

static void patch_text(int mem, unsigned int text)
{
	uint8_t *at = (uint8_t *)(uintptr_t)texts[text].start;
	uint8_t *end = (uint8_t *)(uintptr_t)texts[text].end;
	unsigned int needed = texts[text].is_loader ? IN_LOADER : IN_LIBC;
	bool told = false;
	uint8_t *hit;
	size_t i;
	int k;

	/* The two bytes of the instruction, then what stands in front of them. */
	for (at += JUMP_BYTES; (hit = find_syscall(at, end)); at = hit + 2) {
		k = find_wanted(hit - JUMP_BYTES);
		if (k >= 0 && patch_site(mem, hit - JUMP_BYTES, &wanted[k], text)) {
			nr_found[text][k]++;
			if (wanted[k].nr >= 0 && !texts[text].is_loader)
				has_nr[wanted[k].nr] = true;
		}
	}
	for (i = 0; i < NR_WANTED; i++) {
		if (!(wanted[i].needed & needed) || nr_found[text][i])
			continue;
		if (started)
			lose(&texts[text], wanted[i].name, 1, !told);
		else
			add_missing(&texts[text], wanted[i].name);
		told = true;
	}
}

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* libc.so.6, libc-2.31.so; ld-linux-x86-64.so.2, ld-2.31.so. */
static bool is_wanted_name(const char *name, bool *ret_is_loader)
{
	*ret_is_loader = starts_with(name, "ld-linux-x86-64.so") || starts_with(name, "ld-2.");
	return *ret_is_loader || !strcmp(name, "libc.so.6") || starts_with(name, "libc-2.");
}

/*
 * A text of interest. Where there was one before it has been unmapped, and is mapped again: the same
 * file at the same place, most likely, and nothing is written there yet.
 * Return: its index in texts, -1 if it is none.
 */
static int note_text(uint64_t start, uint64_t end, const char *path)
{
	const char *name = strrchr(path, '/');
	bool is_loader;
	unsigned int i;

	if (!name || !is_wanted_name(++name, &is_loader) || strlen(name) >= sizeof(texts[0].name) ||
	    end - start < 2 * SITE_BYTES)
		return -1;
	for (i = 0; i < nr_texts; i++) {
		if (texts[i].start == start && texts[i].end == end)
			break;
	}
	if (i == NR_TEXTS)
		return -1;
	if (i == nr_texts)
		nr_texts++;
	texts[i] = (struct text){ .start = start, .end = end, .is_loader = is_loader };
	memcpy(texts[i].name, name, strlen(name));
	memset(nr_found[i], 0, sizeof(nr_found[i]));
	return (int)i;
}

static int open_mem(void)
{
	return sys_open("/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
}

static int visit(const struct vma_desc *desc, void *ctx)
{
	(void)ctx;
	if (desc->vm_flags & VM_EXEC && desc->inode && desc->name)
		note_text(desc->vm_start, desc->vm_end, desc->name);
	return 0;
}

static void find_vector_state(void)
{
	uint32_t a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) ||
	    !__get_cpuid_count(0xd, 1, &a, &b, &c, &d) || !(a & bit_XSAVEC))
		return;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	patch_vector_mask = low & XSTATE_VECTORS;
}

/* Without any of these there is nothing to claim, whatever else was patched. */
static bool has_needed(void)
{
	unsigned int i;
	size_t k;

	for (i = 0; i < nr_texts; i++) {
		for (k = 0; k < NR_WANTED; k++) {
			if (wanted[k].needed & (IN_LIBC | IN_LOADER) && nr_found[i][k])
				return true;
		}
	}
	return false;
}

bool patch_init(bool signals)
{
	int mem = open_mem();
	unsigned int i;

	with_signals = signals;
	find_vector_state();
	kmaps_walk(0, ~0ull, visit, NULL);
	for (i = 0; i < nr_texts; i++)
		patch_text(mem, i);
	if (mem >= 0)
		sys_close(mem);
	started = true;
	return has_needed();
}

void patch_note_text(uint64_t start, uint64_t end, const char *name)
{
	int text = taken[KIND_PLAIN] ? note_text(start, end, name) : -1, mem;

	if (text < 0)
		return;
	mem = open_mem();
	patch_text(mem, (unsigned int)text);
	if (mem >= 0)
		sys_close(mem);
}

/* Is the jump gone, though its text is still there? */
static bool is_lost(const struct patch_site *site, const char *stub)
{
	uint8_t now[SITE_BYTES], jump[JUMP_BYTES];

	put_jump(jump, stub, site->ret);
	/* Where the text was unmapped there is nothing, or something else. */
	return sys_read_user(now, (const void *)(uintptr_t)(site->ret - SITE_BYTES), SITE_BYTES) ==
		       SITE_BYTES &&
	       !memcmp(now + JUMP_BYTES, SYSCALL_OPCODE, 2) && memcmp(now, jump, JUMP_BYTES);
}

static const char *call_name(int32_t nr)
{
	size_t i = 0;

	while (wanted[i].nr != nr)
		i++;
	return wanted[i].name;
}

void patch_check(void)
{
	static bool told;
	enum kind kind;
	unsigned int n;

	for (kind = 0; kind < NR_KINDS; kind++) {
		for (n = 0; n < taken[kind]; n++) {
			struct patch_site *site = &patch_sites[pools[kind].first + n];

			if (!site->live ||
			    !is_lost(site, pools[kind].stubs + (size_t)n * pools[kind].stride))
				continue;
			site->live = false;
			if (site->nr >= 0)
				has_nr[site->nr] = false;
			lose(&texts[site->text], call_name(site->nr), 1, !told);
			told = true;
		}
	}
}

bool patch_has(long nr)
{
	return nr >= 0 && nr < (long)(sizeof(has_nr) / sizeof(has_nr[0])) && has_nr[nr];
}

bool patch_libc_text(uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t inside = (uint64_t)(uintptr_t)next.exit_;
	unsigned int i;

	for (i = 0; i < nr_texts; i++) {
		if (inside >= texts[i].start && inside < texts[i].end) {
			*ret_start = texts[i].start;
			*ret_end = texts[i].end;
			return true;
		}
	}
	return false;
}

const char *patch_missing(unsigned int index)
{
	return index < nr_missing ? missing[index] : NULL;
}

void patch_put(struct jsonw *w, const char *key)
{
	unsigned int i;
	size_t k;

	jsonw_array(w, key);
	for (i = 0; i < nr_texts; i++) {
		jsonw_object(w, NULL);
		jsonw_str(w, "text", texts[i].name);
		jsonw_hex(w, "start", texts[i].start);
		jsonw_hex(w, "end", texts[i].end);
		jsonw_object(w, "sites");
		for (k = 0; k < NR_WANTED; k++) {
			if (nr_found[i][k])
				jsonw_num(w, wanted[k].name, nr_found[i][k]);
		}
		jsonw_object_end(w);
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}
