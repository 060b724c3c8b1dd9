/* SPDX-License-Identifier: MIT */
/*
 * elfutils' libdwfl behind symbols.h, with one session for each module: at different times different
 * modules can stand at one address, which a single session does not allow.
 */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "json.h"
#include "out.h"
#include "symtab.h"
#include "table.h"

enum { MAX_INLINE = 32 };

struct symbol_module {
	bool is_tried;
	Dwfl *dwfl;
	Dwfl_Module *mod;
	struct symtab symtab;
	Dwarf_Die *last_cu;		/* found by asking all, with its bias */
	Dwarf_Addr last_bias;
	const char *note;		/* why there are no symbols */
	struct table of_ip;		/* address -> struct symbol * */
};

struct symbols {
	const struct stacks *stacks;
	bool enabled;
	struct symbol_module *modules;
	size_t nr_modules, cap_modules;
	struct symbol_module none;	/* addresses outside all modules */
};

static char *debuginfo_path;

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debuginfo_path,
};

struct symbols *symbols_new(const struct stacks *stacks, bool enabled)
{
	struct symbols *s = alloc_zeroed(sizeof(*s));

	s->stacks = stacks;
	s->enabled = enabled;
	table_init(&s->none.of_ip, sizeof(struct symbol *));
	return s;
}

static void symbol_free(struct symbol *sym)
{
	size_t i;

	for (i = 0; i < sym->nr_frames; i++) {
		alloc_free(sym->frames[i].function);
		alloc_free(sym->frames[i].file);
	}
	alloc_free(sym->frames);
	alloc_free(sym);
}

static void module_fini(struct symbol_module *m)
{
	size_t i;

	for (i = 0; i < m->of_ip.cap; i++) {
		uint64_t ip;
		struct symbol **sym = table_at(&m->of_ip, i, &ip);

		if (sym)
			symbol_free(*sym);
	}
	table_fini(&m->of_ip);
	symtab_fini(&m->symtab);
	if (m->dwfl)
		dwfl_end(m->dwfl);
}

void symbols_free(struct symbols *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->nr_modules; i++)
		module_fini(&s->modules[i]);
	module_fini(&s->none);
	alloc_free(s->modules);
	alloc_free(s);
}

/* NULL if @mod is the file the trace saw, else what is wrong with it. */
static const char *check_build_id(Dwfl_Module *mod, const char *wanted)
{
	const unsigned char *bits;
	GElf_Addr addr;
	char hex[2 * 64 + 1] = "";
	int i, n = dwfl_module_build_id(mod, &bits, &addr);

	for (i = 0; i < n && i < 64; i++)
		snprintf(hex + 2 * i, 3, "%02x", bits[i]);
	if (!wanted)
		return *hex ? "the trace has no build id to compare" : NULL;
	return strcmp(hex, wanted) ? "the file has another build id now" : NULL;
}

/* Only regular files: a trace may name a device or a FIFO. */
static int open_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void module_open(struct symbol_module *m, const struct module *mod)
{
	int fd = open_module(mod->path);

	m->is_tried = true;
	if (fd < 0) {
		m->note = *mod->path == '/' ? "the file can't be opened" : NULL;
		return;
	}
	m->dwfl = dwfl_begin(&callbacks);
	if (m->dwfl)
		m->mod = dwfl_report_elf(m->dwfl, mod->path, mod->path, fd, mod->base, true);
	if (!m->mod) {
		m->note = "not a usable ELF file";
		close(fd);
		return;
	}
	dwfl_report_end(m->dwfl, NULL, NULL);
	m->note = check_build_id(m->mod, mod->build_id);
	if (m->note)
		m->mod = NULL;
	else
		symtab_init(&m->symtab, m->mod);
}

static struct symbol_module *module_of(struct symbols *s, uint32_t index)
{
	if (index == STACKS_NO_MODULE)
		return &s->none;
	while (s->nr_modules <= index) {
		s->modules = alloc_grow(s->modules, s->nr_modules, &s->cap_modules,
					sizeof(*s->modules));
		s->modules[s->nr_modules] = (struct symbol_module){ 0 };
		table_init(&s->modules[s->nr_modules++].of_ip, sizeof(struct symbol *));
	}
	if (s->enabled && !s->modules[index].is_tried)
		module_open(&s->modules[index], &s->stacks->modules[index]);
	return &s->modules[index];
}

static char *demangled(const char *name)
{
	char *text, *copy;

	if (!name)
		return NULL;
	text = cplus_demangle(name, DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI);
	copy = alloc_string(text ? text : name);
	free(text);
	return copy;
}

static const char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attr));

	return name ? name : dwarf_diename(die);
}

static void add_frame(struct symbol *sym, const char *function, const char *file, int line)
{
	struct symbol_frame *f = &sym->frames[sym->nr_frames++];

	f->function = demangled(function);
	f->file = file ? alloc_string(file) : NULL;
	f->line = line;
}

/* The place from which an inlined function was called. */
static void call_site(Dwarf_Die *die, Dwarf_Die *cu, const char **file, int *line)
{
	Dwarf_Attribute attr;
	Dwarf_Files *files;
	Dwarf_Word n;
	size_t nr;

	*file = NULL;
	*line = 0;
	if (!dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attr), &n))
		*line = n;
	if (!dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attr), &n) &&
	    !dwarf_getsrcfiles(cu, &files, &nr))
		*file = dwarf_filesrc(files, n, NULL, NULL);
}

/*
 * The compilation unit of @addr. Its index, .debug_aranges, is left out by some compilers: then every
 * unit is asked, the one that was right last time first.
 */
static Dwarf_Die *find_cu(struct symbol_module *m, uint64_t addr, Dwarf_Addr *bias)
{
	Dwarf_Die *cu = dwfl_module_addrdie(m->mod, addr, bias);

	if (cu)
		return cu;
	if (m->last_cu && dwarf_haspc(m->last_cu, addr - m->last_bias) > 0) {
		*bias = m->last_bias;
		return m->last_cu;
	}
	while ((cu = dwfl_module_nextcu(m->mod, cu, bias))) {
		if (dwarf_haspc(cu, addr - *bias) <= 0)
			continue;
		m->last_cu = cu;
		m->last_bias = *bias;
		return cu;
	}
	return NULL;
}

static void find_line(Dwarf_Die *cu, Dwarf_Addr addr, const char **file, int *line)
{
	Dwarf_Line *src = dwarf_getsrc_die(cu, addr);

	*line = 0;
	*file = src ? dwarf_linesrc(src, NULL, NULL) : NULL;
	if (src)
		(void)dwarf_lineno(src, line);
}

/* Frames of @addr, from the innermost inlined function out. */
static void describe(struct symbol_module *m, uint64_t addr, struct symbol *sym)
{
	const char *name = symtab_find(&m->symtab, addr), *file = NULL;
	Dwarf_Die *scopes = NULL, *cu;
	Dwarf_Addr bias = 0;
	int i, nr = 0, line = 0;

	sym->frames = alloc_array(MAX_INLINE + 1, sizeof(*sym->frames));
	cu = find_cu(m, addr, &bias);
	if (cu) {
		find_line(cu, addr - bias, &file, &line);
		nr = dwarf_getscopes(cu, addr - bias, &scopes);
	}
	for (i = 0; i < nr && sym->nr_frames < MAX_INLINE; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag == DW_TAG_subprogram && !name)
			name = die_name(&scopes[i]);
		if (tag == DW_TAG_subprogram)
			break;
		if (tag != DW_TAG_inlined_subroutine)
			continue;
		add_frame(sym, die_name(&scopes[i]), file, line);
		call_site(&scopes[i], cu, &file, &line);
	}
	if (name || file)
		add_frame(sym, name, file, line);
	free(scopes);
}

const struct symbol *symbols_get(struct symbols *s, const struct stack_node *node)
{
	struct symbol_module *m = module_of(s, node->module);
	bool is_new;
	struct symbol **slot = table_put(&m->of_ip, node->ip, &is_new), *sym;

	if (!is_new)
		return *slot;
	*slot = sym = alloc_zeroed(sizeof(*sym));
	sym->offset = node->ip;
	if (node->module == STACKS_NO_MODULE)
		return sym;
	sym->path = s->stacks->modules[node->module].path;
	sym->offset = node->ip - s->stacks->modules[node->module].base;
	if (m->mod)
		describe(m, node->ip - 1, sym);
	return sym;
}

Dwfl_Module *symbols_open_module(struct symbols *s, uint32_t module, const char **ret_note)
{
	const struct symbol_module *m = module_of(s, module);

	*ret_note = m->note;
	return m->mod;
}

static void print_place(const struct symbol *sym, FILE *out)
{
	if (sym->path)
		out_name(out, out_base_name(sym->path));
	fprintf(out, "%s0x%" PRIx64, sym->path ? "+" : "", sym->offset);
}

static void print_frame(const struct symbol *sym, const struct symbol_frame *f, bool is_inlined,
			FILE *out)
{
	if (f && f->function) {
		out_name(out, f->function);
		fputs("  ", out);
	}
	if (f && f->file) {
		out_name(out, f->file);
		fprintf(out, ":%d  ", f->line);
	}
	if (is_inlined)
		fputs("(inlined)", out);
	else
		print_place(sym, out);
	fputc('\n', out);
}

void symbols_print_stack(struct symbols *s, uint32_t stack, const char *indent, unsigned int max,
			 FILE *out)
{
	const struct stack_node *node = stacks_node(s->stacks, stack);
	unsigned int n = 0;

	if (!node)
		fprintf(out, "%s(no stack)\n", indent);
	for (; node; node = stacks_node(s->stacks, node->parent)) {
		const struct symbol *sym;
		size_t i;

		if (max && n == max) {
			fprintf(out, "%s…\n", indent);
			return;
		}
		if (!node->ip) {
			fprintf(out, "%s(%s)\n", indent, node->parent ?
				"frames may be missing here" : "the stack was cut off here");
			continue;
		}
		sym = symbols_get(s, node);
		for (i = 0; i < sym->nr_frames || !i; i++, n++) {
			fprintf(out, "%s#%-2u ", indent, n);
			print_frame(sym, sym->nr_frames ? &sym->frames[i] : NULL,
				    i + 1 < sym->nr_frames, out);
		}
	}
}

struct json_t *symbols_json_stack(struct symbols *s, uint32_t stack)
{
	const struct stack_node *node = stacks_node(s->stacks, stack);
	struct json_t *list = js_array();
	bool gap = false;

	for (; node; node = stacks_node(s->stacks, node->parent)) {
		const struct symbol *sym;
		size_t i;

		if (!node->ip) {
			gap = true;
			continue;
		}
		sym = symbols_get(s, node);
		for (i = 0; i < sym->nr_frames || !i; i++) {
			const struct symbol_frame *f = sym->nr_frames ? &sym->frames[i] : NULL;
			struct json_t *obj = js_object();

			js_set_hex(obj, "ip", node->ip);
			if (gap)
				js_set_bool(obj, "gap", true);
			gap = false;
			if (sym->path) {
				js_set_str(obj, "module", sym->path);
				js_set_hex(obj, "offset", sym->offset);
			}
			if (f && f->function)
				js_set_str(obj, "function", f->function);
			if (f && f->file) {
				js_set_str(obj, "file", f->file);
				js_set_u64(obj, "line", f->line > 0 ? f->line : 0);
			}
			if (i + 1 < sym->nr_frames)
				js_set_bool(obj, "inlined", true);
			js_append(list, obj);
		}
	}
	return list;
}

void symbols_print_notes(const struct symbols *s, FILE *out)
{
	size_t i;

	for (i = 0; i < s->nr_modules; i++) {
		if (!s->modules[i].note)
			continue;
		fputs("no symbols for ", out);
		out_name(out, s->stacks->modules[i].path);
		fprintf(out, ": %s\n", s->modules[i].note);
	}
}
