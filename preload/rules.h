/* SPDX-License-Identifier: MIT */
/*
 * Which of the kernel's rules hold here: found by trying, because stable releases move them and
 * the release number says nothing about it.
 *
 * A row of scratch pages is mapped far from the program, a few system calls are made in it for each
 * rule, and then one look at the result tells them all. Nothing of it stays mapped.
 */
#ifndef VMTRACE_RULES_H
#define VMTRACE_RULES_H

#include <stdint.h>

/**
 * rules_probe() - The rules (enum mm_rule) that are the kernel's.
 *
 * What can't be tried (no address space left, a call refused) is as in MM_RULES_DEFAULT. Wants
 * kmaps_init() to have been called.
 *
 * Context: startup, while the process has one thread.
 */
uint32_t rules_probe(void);

/** rules_task_size() - Where user space ends, in bytes: 2^47 or 2^56, less a page. */
uint64_t rules_task_size(void);

/** rules_settings() - Those of the machine and its settings. Context: startup, fork child. */
uint32_t rules_settings(void);

#endif
