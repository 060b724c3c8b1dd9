/* SPDX-License-Identifier: MIT */
/* Who we are: what the header says of the process, and what the shadow must know of it. */
#ifndef VMTRACE_PROCESS_H
#define VMTRACE_PROCESS_H

#include <stdint.h>
#include <vmtrace/mm.h>

#include "jsonw.h"

/* Keep what can be read only now. @argv, @envp as the constructor got them. Context: startup. */
void process_init(int argc, char **argv, char **envp);

/* Segment addresses, limits, sysctls into the shadow. Context: startup, fork child. */
void process_fill_mm(struct mm *mm);

/* The members of the header that describe the process: exe, argv, kernel, limits, mm, auxv. */
void process_put(struct jsonw *w, const struct mm *mm);

#endif
