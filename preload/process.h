/* SPDX-License-Identifier: MIT */
/* Who we are: what the header says of the process, and what the shadow must know of it. */
#ifndef VMTRACE_PROCESS_H
#define VMTRACE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <vmtrace/mm.h>

#include "jsonw.h"

/* Keep what can be read only now. @argv, @envp as the constructor got them. Context: startup. */
void process_init(int argc, char **argv, char **envp);

/* Segment addresses, limits, sysctls into the shadow. Context: startup, fork child. */
void process_fill_mm(struct mm *mm);

/**
 * process_update_limits() - Resource limits as they are now, into the shadow.
 *
 * Setting them is no call of the map, and others may do it too (prlimit(2)); so they are asked for
 * when a call has failed that may have hit one. Context: hook path.
 * Return: whether one has changed.
 */
bool process_update_limits(struct mm *mm);

/* {"as", "data", "stack", "memlock"} */
void process_put_limits(struct jsonw *w, const char *key, const struct mm *mm);

/* The members of the header that describe the process: exe, argv, kernel, limits, mm, auxv. */
void process_put(struct jsonw *w, const struct mm *mm);

#endif
