/* SPDX-License-Identifier: MIT */
/*
 * What a vma is for, from what the trace knows of it: its name, the module around it, the call that
 * mapped it.
 */
#ifndef VMTRACE_ANALYZER_LAYOUT_ROLE_H
#define VMTRACE_ANALYZER_LAYOUT_ROLE_H

#include "layout.h"
#include "layout_pieces.h"
#include "report.h"

struct layout_kind {
	enum layout_role role;
	enum layout_section section;
	char *name;			/* allocated; "" for none */
	const struct module *module;	/* of the first three roles, else NULL */
};

/**
 * layout_kind_of() - Role, section and name of @vma as it is now.
 * @maker:      NULL: it was there at start.
 * @from_malloc: the maker's stack leads through libc's malloc.
 */
struct layout_kind layout_kind_of(struct trace *trace, const struct vma *vma,
				  const struct layout_maker *maker, bool from_malloc);

/*
 * Whether @vma is in one of glibc's arenas: PROT_NONE and NORESERVE, one or two heaps long, by libc,
 * which only new_heap() maps.
 */
bool layout_is_arena(const struct vma *vma, const struct layout_maker *maker);

/* VM_* bits that matter, as the two-letter words of smaps' VmFlags; allocated. */
char *layout_flags(uint64_t vm_flags);

/* Whether the kernel marks @name as a file that is gone, other than those that never had a name. */
bool layout_is_deleted(const char *name);

#endif
