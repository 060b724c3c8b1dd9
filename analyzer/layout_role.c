/* SPDX-License-Identifier: MIT */
#include "layout_role.h"

#include <ctype.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc.h"
#include "out.h"

static const char deleted[] = " (deleted)";

#define ARENA_BYTES (64ull << 20)	/* glibc's HEAP_MAX_SIZE on 64 bits, and its alignment */

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static bool ends(const char *s, const char *with)
{
	size_t n = strlen(s), m = strlen(with);

	return n >= m && !strcmp(s + n - m, with);
}

bool layout_is_deleted(const char *name)
{
	return ends(name, deleted) && !begins(name, "/memfd:") && !begins(name, "/SYSV") &&
	       !begins(name, "/dev/zero") && !begins(name, "/[aio]") &&
	       !begins(name, "/secretmem") && !begins(name, "/anon_hugepage");
}

/* Numbers in a name are pids, counters, times: "job-4711.tmp" becomes "job-*.tmp". */
static void blot_numbers(char *s)
{
	char *to = s;
	bool in_number = false;

	for (; *s; s++) {
		bool is_digit = isdigit((unsigned char)*s);

		if (!is_digit)
			*to++ = *s;
		else if (!in_number)
			*to++ = '*';
		in_number = is_digit;
	}
	*to = '\0';
}

/* Files that live for a run only; what stands in their names means nothing to the next one. */
static bool is_temporary(const char *path)
{
	return begins(path, "/tmp/") || begins(path, "/var/tmp/") || begins(path, "/dev/shm/") ||
	       begins(path, "/run/") || begins(path, "/proc/");
}

/* "/tmp/ccXJ4s2b.s" becomes "/tmp/" + "*.s": a random name keeps its folder and extension. */
static void blot_random(char *path)
{
	char *base = (char *)out_base_name(path), *dot = strrchr(base, '.'), *c;
	bool has_upper = false, has_lower = false, has_digit = false;

	for (c = base; *c && c != dot; c++) {
		has_upper |= isupper((unsigned char)*c);
		has_lower |= islower((unsigned char)*c);
		has_digit |= isdigit((unsigned char)*c);
	}
	if (c - base < 6 || has_upper + has_lower + has_digit < 2) {
		blot_numbers(base);
		return;
	}
	*base = '*';
	memmove(base + 1, dot ? dot : base + strlen(base), dot ? strlen(dot) + 1 : 1);
}

static char *file_name(const char *name)
{
	char *path = alloc_string(name);

	if (layout_is_deleted(path))
		path[strlen(path) - (sizeof(deleted) - 1)] = '\0';
	if (is_temporary(path))
		blot_random(path);
	return path;
}

/* "/memfd:name (deleted)" */
static char *memfd_name(const char *name)
{
	char *s = alloc_string(name + strlen("/memfd:"));

	if (ends(s, deleted))
		s[strlen(s) - (sizeof(deleted) - 1)] = '\0';
	blot_numbers(s);
	return s;
}

static enum layout_section section_of(const struct module *m, const struct vma *vma,
				      uint64_t segments)
{
	if (segments & VM_EXEC)
		return LAYOUT_TEXT;
	if (!segments)
		return LAYOUT_HOLE;
	if (!(segments & VM_WRITE))
		return LAYOUT_RODATA;
	if (!vma->file_id && !vma->inode)
		return LAYOUT_BSS;
	if (m->has_relro && vma->vm_start < m->relro.end && !(vma->vm_flags & VM_WRITE))
		return LAYOUT_RELRO;
	return LAYOUT_DATA;
}

static enum layout_role role_of_module(const struct trace *tr, const struct module *m)
{
	const char *name = out_base_name(m->soname ? m->soname : m->path);

	if (tr->header.exe && !strcmp(m->path, tr->header.exe))
		return LAYOUT_PROGRAM;
	return begins(name, "ld-linux") || begins(name, "ld-musl") ? LAYOUT_LOADER :
								      LAYOUT_LIBRARY;
}

static bool in_module(const struct trace *tr, const struct vma *vma, struct layout_kind *kind)
{
	uint64_t segments;
	const struct module *m = stacks_module_in(&tr->stacks, vma->vm_start, vma->vm_end, &segments);

	if (!m)
		return false;
	kind->module = m;
	kind->role = role_of_module(tr, m);
	kind->section = section_of(m, vma, segments);
	kind->name = alloc_string(kind->role == LAYOUT_PROGRAM ? "" :
				  out_base_name(m->soname ? m->soname : m->path));
	return true;
}

bool layout_is_arena(const struct vma *vma, const struct layout_maker *maker)
{
	const struct mm_call *call = &maker->call;
	uint64_t heap = vma->vm_start & ~(ARENA_BYTES - 1);

	return maker->origin == TRACE_ORIGIN_LIBC && call->op == MM_MMAP && !call->arg[2] &&
	       call->arg[3] & MAP_NORESERVE && vma->vm_end <= heap + ARENA_BYTES &&
	       (call->arg[1] == ARENA_BYTES || call->arg[1] == 2 * ARENA_BYTES);
}

static enum layout_role role_of_anonymous(const struct vma *vma, const struct layout_maker *maker,
					  bool from_malloc)
{
	if (maker && maker->call.op == MM_MMAP && maker->call.arg[3] & MAP_STACK)
		return vma->vm_flags & (VM_READ | VM_WRITE) ? LAYOUT_THREAD_STACK :
							     LAYOUT_THREAD_GUARD;
	if (vma->vm_flags & VM_EXEC)
		return LAYOUT_JIT;
	if (maker && layout_is_arena(vma, maker))
		return LAYOUT_ARENA;
	return from_malloc ? LAYOUT_MALLOC_MMAP : LAYOUT_ANONYMOUS;
}

struct layout_kind layout_kind_of(struct trace *tr, const struct vma *vma,
				  const struct layout_maker *maker, bool from_malloc)
{
	const char *name = vma_name(&tr->replay.mm, vma);
	struct layout_kind kind = { .section = LAYOUT_NO_SECTION };

	if (begins(name, "[v")) {
		kind.role = LAYOUT_VDSO;
		kind.name = alloc_string(name);
		return kind;
	}
	if (!strcmp(name, "[heap]") || !strcmp(name, "[stack]"))
		kind.role = *++name == 'h' ? LAYOUT_HEAP : LAYOUT_STACK;
	else if (in_module(tr, vma, &kind))
		return kind;
	else if (begins(name, "/memfd:"))
		kind.role = LAYOUT_MEMFD;
	else if (begins(name, "/SYSV") || begins(name, "/dev/shm/") || begins(name, "/dev/zero"))
		kind.role = LAYOUT_SHM;
	else if (vma->inode || *name == '/')
		kind.role = LAYOUT_FILE;
	else
		kind.role = role_of_anonymous(vma, maker, from_malloc);
	if (kind.role == LAYOUT_MEMFD)
		kind.name = memfd_name(name);
	else if (kind.role == LAYOUT_FILE || begins(name, "/dev/shm/"))
		kind.name = file_name(name);
	else
		kind.name = alloc_string("");
	return kind;
}

char *layout_flags(uint64_t vm_flags)
{
	/* Words as in smaps. */
	static const struct { uint64_t flag; char word[3]; } words[] = {
		{ VM_GROWSDOWN, "gd" }, { VM_LOCKED, "lo" }, { VM_LOCKONFAULT, "lf" },
		{ VM_DONTCOPY, "dc" }, { VM_NORESERVE, "nr" }, { VM_HUGETLB, "ht" },
		{ VM_WIPEONFORK, "wf" }, { VM_DONTDUMP, "dd" }, { VM_HUGEPAGE, "hg" },
		{ VM_NOHUGEPAGE, "nh" }, { VM_MERGEABLE, "mg" }, { VM_SEALED, "sl" },
		{ VM_DROPPABLE, "dp" },
	};
	char text[3 * sizeof(words) / sizeof(words[0]) + 1] = "";
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(vm_flags & words[i].flag))
			continue;
		if (*text)
			strcat(text, " ");
		strcat(text, words[i].word);
	}
	return alloc_string(text);
}
