/* SPDX-License-Identifier: MIT */
/*
 * What a frame of a call stack is called, in words that survive a rebuild, and what kind of code it is:
 * the program's, or the libraries' below it that only pass a request on.
 */
#ifndef VMTRACE_ANALYZER_FRAME_NAME_H
#define VMTRACE_ANALYZER_FRAME_NAME_H

#include "symbols.h"

/* "libc.so.6"; @m NULL: "(no module)". */
const char *frame_module_name(const struct module *m);

/* Whether that is the name of libc or of the loader. */
bool frame_is_libc(const char *module);

/* "malloc (libc.so.6)", or the module alone; symbol versions don't matter. Allocated. */
char *frame_text(const struct symbol *sym, const char *module);

/* Whether the function @frame "function (module)" hands out heap memory, or belongs to what does. */
bool frame_is_malloc(const char *frame);

/* Whether it asks for memory on behalf of its caller: that, libc, or the C++ library. */
bool frame_is_support(const char *frame);

#endif
