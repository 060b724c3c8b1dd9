/* SPDX-License-Identifier: MIT */
/*
 * The loader's tables as the ELF specification and the x86-64 psABI have them. What is read is what
 * the loader itself has just worked with.
 */
#include "bind.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include "modules.h"
#include "sys.h"

#include "no_heap.h"

/* Of one module; a member is NULL or 0 where there is no such thing. */
struct tables {
	uintptr_t base, start, end;
	ElfW(Sym) *symbols;
	const char *strings;
	const uint32_t *gnu_hash;
	const ElfW(Rela) *relocations, *calls;
	size_t nr_relocations, nr_calls;
};

static struct job {
	const char *companion;
	const struct bind *binds;
	size_t nr;
	bool is_behind;
	struct tables library;
	int mem;
} job;

static void read_dynamic(struct tables *t, const ElfW(Dyn) *d)
{
	for (; d->d_tag != DT_NULL; d++) {
		uintptr_t at = d->d_un.d_ptr;

		if (d->d_tag == DT_SYMTAB)
			t->symbols = (ElfW(Sym) *)at;
		else if (d->d_tag == DT_STRTAB)
			t->strings = (const char *)at;
		else if (d->d_tag == DT_GNU_HASH)
			t->gnu_hash = (const uint32_t *)at;
		else if (d->d_tag == DT_RELA)
			t->relocations = (const ElfW(Rela) *)at;
		else if (d->d_tag == DT_JMPREL)
			t->calls = (const ElfW(Rela) *)at;
		else if (d->d_tag == DT_RELASZ)
			t->nr_relocations = d->d_un.d_val / sizeof(ElfW(Rela));
		else if (d->d_tag == DT_PLTRELSZ)
			t->nr_calls = d->d_un.d_val / sizeof(ElfW(Rela));
	}
}

/* Return: false for what the loader has not relocated: the vdso. */
static bool read_tables(struct tables *t, const struct dl_phdr_info *info)
{
	int i;

	memset(t, 0, sizeof(*t));
	t->base = info->dlpi_addr;
	t->start = UINTPTR_MAX;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = t->base + ph->p_vaddr;

		if (ph->p_type == PT_DYNAMIC)
			read_dynamic(t, (const ElfW(Dyn) *)at);
		if (ph->p_type != PT_LOAD)
			continue;
		if (at < t->start)
			t->start = at;
		if (at + ph->p_memsz > t->end)
			t->end = at + ph->p_memsz;
	}
	return t->symbols && t->strings && (uintptr_t)t->strings >= t->start;
}

static bool in_library(uintptr_t at)
{
	return at >= job.library.start && at < job.library.end;
}

/* The function that @library itself defines by that name, or NULL. */
static ElfW(Sym) *find_symbol(const struct tables *library, const char *name)
{
	const uint32_t *head = library->gnu_hash;	/* buckets, first symbol, bloom words */
	const uint32_t *buckets = head + 4 + (size_t)head[2] * sizeof(ElfW(Addr)) / sizeof(*head);
	const uint32_t *chains = buckets + head[0];
	uint32_t hash = 5381, i;
	const char *c;

	for (c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	i = head[0] ? buckets[hash % head[0]] : 0;
	for (; i >= head[1] && i; i++) {
		ElfW(Sym) *sym = &library->symbols[i];

		if ((chains[i - head[1]] | 1) == (hash | 1) && sym->st_shndx != SHN_UNDEF &&
		    ELF64_ST_TYPE(sym->st_info) == STT_FUNC &&
		    !strcmp(library->strings + sym->st_name, name))
			return sym;
		if (chains[i - head[1]] & 1)
			break;
	}
	return NULL;
}

static bool write_word(void *at, uintptr_t value)
{
	return sys_pwrite(job.mem, &value, sizeof(value), (off_t)(uintptr_t)at) == sizeof(value);
}

/* Those of the library that the process uses; NULL in @next for the others. */
static size_t choose(void)
{
	size_t i, nr = 0;

	for (i = 0; i < job.nr; i++) {
		ElfW(Sym) *sym = find_symbol(&job.library, job.binds[i].name);
		void *function = sym ? (void *)(job.library.base + sym->st_value) : NULL;

		/* The executable may have its own. Nothing fails here: that would allocate. */
		if (function && job.binds[i].hook &&
		    dlsym(RTLD_DEFAULT, job.binds[i].name) != function)
			function = NULL;
		*job.binds[i].next = function;
		nr += function && job.binds[i].hook;
	}
	return nr;
}

/* The order is that in which the loader looks symbols up. */
static int find_library(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct tables *t = &job.library;

	(void)size;
	(void)ctx;
	if (!read_tables(t, info))
		return 0;
	if (!job.is_behind) {
		job.is_behind = modules_is_vmtrace((uintptr_t)t->strings);
		return 0;
	}
	return t->gnu_hash && find_symbol(t, job.companion) && choose();
}

static const struct bind *find_bind(const char *name)
{
	size_t i;

	for (i = 0; i < job.nr; i++) {
		if (*job.binds[i].next && !strcmp(job.binds[i].name, name))
			return &job.binds[i];
	}
	return NULL;
}

static bool is_slot(const ElfW(Rela) *r)
{
	unsigned int type = ELF64_R_TYPE(r->r_info);

	return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT || type == R_X86_64_64;
}

/* The library's: what is bound to our exported symbols, and what is to be bound at its first call. */
static bool keep_own_calls(const ElfW(Rela) *r, size_t nr)
{
	const struct tables *t = &job.library;

	for (; nr; r++, nr--) {
		const ElfW(Sym) *sym = &t->symbols[ELF64_R_SYM(r->r_info)];
		uintptr_t *slot = (uintptr_t *)(t->base + r->r_offset);
		const struct bind *b = is_slot(r) ? find_bind(t->strings + sym->st_name) : NULL;

		if (b && (in_library(*slot) || modules_is_vmtrace(*slot)) &&
		    !write_word(slot, (uintptr_t)*b->next))
			return false;
	}
	return true;
}

static bool redefine(void)
{
	size_t i;

	for (i = 0; i < job.nr; i++) {
		ElfW(Sym) *sym;

		if (!*job.binds[i].next || !job.binds[i].hook)
			continue;
		sym = find_symbol(&job.library, job.binds[i].name);
		if (!write_word(&sym->st_value, (uintptr_t)job.binds[i].hook - job.library.base))
			return false;
	}
	return true;
}

/* What is bound to one of the functions; what is not bound yet finds the hook by itself. */
static void rebind(const struct tables *t, const ElfW(Rela) *r, size_t nr)
{
	for (; nr; r++, nr--) {
		uintptr_t *slot = (uintptr_t *)(t->base + r->r_offset);
		const struct bind *b;

		if (!is_slot(r) || !in_library(*slot))
			continue;
		b = find_bind(t->strings + t->symbols[ELF64_R_SYM(r->r_info)].st_name);
		if (b && b->hook && *slot == (uintptr_t)*b->next)
			(void)write_word(slot, (uintptr_t)b->hook);
	}
}

static int rebind_module(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct tables t;

	(void)size;
	(void)ctx;
	if (!read_tables(&t, info) || t.base == job.library.base ||
	    modules_is_vmtrace((uintptr_t)t.strings))
		return 0;
	rebind(&t, t.relocations, t.nr_relocations);
	rebind(&t, t.calls, t.nr_calls);
	return 0;
}

bool bind_hooks(const char *companion, const struct bind *binds, size_t nr)
{
	const struct tables *t = &job.library;
	bool ok;

	job = (struct job){ .companion = companion, .binds = binds, .nr = nr };
	if (!dl_iterate_phdr(find_library, NULL))
		return true;
	job.mem = sys_open("/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
	ok = job.mem >= 0 && keep_own_calls(t->relocations, t->nr_relocations) &&
	     keep_own_calls(t->calls, t->nr_calls) && redefine();
	if (ok)
		dl_iterate_phdr(rebind_module, NULL);
	if (job.mem >= 0)
		sys_close(job.mem);
	return ok;
}
