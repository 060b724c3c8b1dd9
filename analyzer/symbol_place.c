/* SPDX-License-Identifier: MIT */
#include "symbol_place.h"

#include <elfutils/libdwfl.h>
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* libdwfl looks for sections that are in the file; .bss is in none, so all are gone through. */
static void find_section(struct symbol_place *place, Dwfl_Module *mod, uint64_t addr)
{
	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(mod, &bias);
	Elf_Scn *scn = NULL;
	size_t names;
	char *flag = place->section_flags;

	if (!elf || elf_getshdrstrndx(elf, &names))
		return;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr mem, *sh = gelf_getshdr(scn, &mem);
		const char *name;

		/* Thread-local .tbss has an address, but takes no room there. */
		if (!sh || !(sh->sh_flags & SHF_ALLOC) || addr - bias - sh->sh_addr >= sh->sh_size ||
		    (sh->sh_flags & SHF_TLS && sh->sh_type == SHT_NOBITS))
			continue;
		name = elf_strptr(elf, names, sh->sh_name);
		place->section = alloc_string(name ? name : "");
		if (sh->sh_flags & SHF_WRITE)
			*flag++ = 'W';
		*flag++ = 'A';
		if (sh->sh_flags & SHF_EXECINSTR)
			*flag++ = 'X';
		*flag = '\0';
		return;
	}
}

static void find_symbol(struct symbol_place *place, Dwfl_Module *mod, uint64_t addr)
{
	GElf_Off offset;
	GElf_Sym sym;
	const char *name = dwfl_module_addrinfo(mod, addr, &offset, &sym, NULL, NULL, NULL);
	char *text;

	/* What ends below the address is only its neighbour. */
	if (!name || (sym.st_size && offset >= sym.st_size))
		return;
	text = cplus_demangle(name, DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI);
	place->name = alloc_string(text ? text : name);
	free(text);
	place->offset = offset;
	place->size = sym.st_size;
}

void symbol_place_init(struct symbol_place *place, struct symbols *symbols, uint32_t module,
		       uint64_t addr)
{
	Dwfl_Module *mod;

	*place = (struct symbol_place){ 0 };
	mod = symbols_open_module(symbols, module, &place->note);
	if (!mod)
		return;
	find_section(place, mod, addr);
	find_symbol(place, mod, addr);
}

void symbol_place_fini(struct symbol_place *place)
{
	alloc_free(place->section);
	alloc_free(place->name);
}
