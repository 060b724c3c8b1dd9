/* SPDX-License-Identifier: MIT */
/*
 * A call stack in words that survive a rebuild: what of it identifies the code that asked.
 *
 * Frames are "function (module)", without offset and line. Inside libc and the loader only the
 * function that was called from outside is told, for the ones within change with each version; what
 * runs before main or a thread's function is left out, and so are repetitions (recursion).
 */
#ifndef VMTRACE_ANALYZER_LAYOUT_SITE_H
#define VMTRACE_ANALYZER_LAYOUT_SITE_H

#include "layout.h"

/* Return: the site's index in @program, LAYOUT_NO_SITE for no stack. */
uint32_t layout_site_of(struct layout_program *program, struct trace *trace, uint32_t stack);

#endif
