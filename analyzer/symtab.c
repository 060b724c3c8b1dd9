/* SPDX-License-Identifier: MIT */
#include "symtab.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

enum { LOOK_BACK = 64 };		/* symbols that begin inside another one */

struct symtab_function {
	GElf_Addr start, end;		/* end == start: no size */
	const char *name;
	unsigned char rank;		/* 0 global, 1 weak, 2 local */
};

static int compare(const void *a, const void *b)
{
	const struct symtab_function *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->name, y->name);
}

void symtab_init(struct symtab *t, Dwfl_Module *mod)
{
	int i, nr = dwfl_module_getsymtab(mod);

	*t = (struct symtab){ 0 };
	for (i = 1; i < nr; i++) {
		unsigned char bind, type;
		GElf_Word section;
		GElf_Addr addr;
		GElf_Sym sym;
		const char *name = dwfl_module_getsym_info(mod, i, &sym, &addr, &section, NULL, NULL);

		type = GELF_ST_TYPE(sym.st_info);
		bind = GELF_ST_BIND(sym.st_info);
		if (!name || !*name || section == SHN_UNDEF ||
		    (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC))
			continue;
		t->list = alloc_grow(t->list, t->nr, &t->cap, sizeof(*t->list));
		t->list[t->nr++] = (struct symtab_function){
			.start = addr, .end = addr + sym.st_size, .name = name,
			.rank = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2,
		};
	}
	if (t->nr)
		qsort(t->list, t->nr, sizeof(*t->list), compare);
}

void symtab_fini(struct symtab *t)
{
	alloc_free(t->list);
	*t = (struct symtab){ 0 };
}

/* Index of the first function that starts above @addr. */
static size_t above(const struct symtab *t, GElf_Addr addr)
{
	size_t lo = 0, hi = t->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->list[mid].start > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* The first of those that start where @i does and suit: better names stand in front. */
static const char *first_name(const struct symtab *t, size_t i, GElf_Addr addr)
{
	size_t first = i;

	while (first && t->list[first - 1].start == t->list[i].start)
		first--;
	while (t->list[first].end <= addr && t->list[first].end != t->list[first].start)
		first++;
	return t->list[first].name;
}

const char *symtab_find(const struct symtab *t, GElf_Addr addr)
{
	size_t i = above(t, addr), steps;

	for (steps = 0; i-- && steps < LOOK_BACK; steps++) {
		const struct symtab_function *f = &t->list[i];

		if (addr < f->end)
			return first_name(t, i, addr);
		/* Assembly without a size: nothing with one lies in between. */
		if (f->end == f->start && !steps)
			return first_name(t, i, addr);
	}
	return NULL;
}
