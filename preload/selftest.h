/* SPDX-License-Identifier: MIT */
/* Does each kind of call arrive? Tried at start, as the program and as libc would make it. */
#ifndef VMTRACE_SELFTEST_H
#define VMTRACE_SELFTEST_H

#include "config.h"

struct jsonw;

/* Context: startup, before recording; the calls are counted, not recorded. */
void selftest_run(enum config_tier tier);

/* The header's member `capture`. */
void selftest_put(struct jsonw *w, enum config_tier tier);

#endif
