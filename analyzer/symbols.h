/* SPDX-License-Identifier: MIT */
/*
 * From addresses to functions, files and lines.
 *
 * A module's file is used only if it is a regular file whose build id is the one in the trace;
 * otherwise a frame stays module+offset, and the reason is kept. Answers are cached, files are
 * opened when first needed.
 */
#ifndef VMTRACE_ANALYZER_SYMBOLS_H
#define VMTRACE_ANALYZER_SYMBOLS_H

#include <stdio.h>

#include "stacks.h"

struct Dwfl_Module;
struct json_t;
struct symbols;

struct symbol_frame {
	char *function;			/* demangled, NULL: unknown */
	char *file;			/* NULL: unknown */
	int line;			/* 0: unknown */
};

/* One address: its function and, in front of it, what the compiler inlined there. */
struct symbol {
	const char *path;		/* of the module, NULL: none was loaded there */
	uint64_t offset;		/* link-time address in the module, or the address itself */
	struct symbol_frame *frames;	/* innermost first */
	size_t nr_frames;		/* 0: nothing is known but the module */
};

/* @enabled false: no file is opened. @stacks must outlive it. */
struct symbols *symbols_new(const struct stacks *stacks, bool enabled);
void symbols_free(struct symbols *symbols);

/* Valid until symbols_free(). */
const struct symbol *symbols_get(struct symbols *symbols, const struct stack_node *node);

/*
 * The file of a module, by its index in the stacks; NULL if it can't be used, with @ret_note saying why
 * unless nothing is to be opened.
 */
struct Dwfl_Module *symbols_open_module(struct symbols *symbols, uint32_t module,
					const char **ret_note);

/* One line a frame, innermost first, each beginning with @indent; at most @max (0: all). */
void symbols_print_stack(struct symbols *symbols, uint32_t stack, const char *indent,
			 unsigned int max, FILE *out);

/* [{"ip","module","offset","function","file","line"}…], innermost first. */
struct json_t *symbols_json_stack(struct symbols *symbols, uint32_t stack);

/* Why modules that were asked for have no symbols: one line each. */
void symbols_print_notes(const struct symbols *symbols, FILE *out);

#endif
