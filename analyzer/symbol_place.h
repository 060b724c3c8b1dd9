/* SPDX-License-Identifier: MIT */
/*
 * What an address of a module is, code or data: its section and its symbol. For single addresses;
 * call stacks go through symbols.h.
 */
#ifndef VMTRACE_ANALYZER_SYMBOL_PLACE_H
#define VMTRACE_ANALYZER_SYMBOL_PLACE_H

#include "symbols.h"

/* Strings are allocated; NULL where nothing is known. */
struct symbol_place {
	char *section;
	char section_flags[4];		/* as readelf has them: "AX", "WA" */
	char *name;			/* demangled */
	uint64_t offset, size;		/* in the symbol; its size, 0 if it has none */
	const char *note;		/* why the file was not looked at */
};

/* @module: index in the symbols' stacks. Opens its file, if that is allowed and is the same one. */
void symbol_place_init(struct symbol_place *place, struct symbols *symbols, uint32_t module,
		       uint64_t addr);
void symbol_place_fini(struct symbol_place *place);

#endif
