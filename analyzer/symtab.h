/* SPDX-License-Identifier: MIT */
/*
 * The functions of a module by address: libdwfl's own search goes through all symbols each time.
 */
#ifndef VMTRACE_ANALYZER_SYMTAB_H
#define VMTRACE_ANALYZER_SYMTAB_H

#include <stddef.h>
#include <elfutils/libdwfl.h>

struct symtab_function;

struct symtab {
	struct symtab_function *list;	/* by address */
	size_t nr, cap;
};

/* Names belong to @mod, which must outlive the table. */
void symtab_init(struct symtab *symtab, Dwfl_Module *mod);
void symtab_fini(struct symtab *symtab);

/**
 * symtab_find() - The function that contains @addr, biased as @mod's addresses are.
 *
 * Of several names for one address the global one, then the first by alphabet; a symbol without a
 * size reaches to the next one. Return: NULL if there is none.
 */
const char *symtab_find(const struct symtab *symtab, GElf_Addr addr);

#endif
