/* SPDX-License-Identifier: MIT */
/* Page faults of all kinds, survived: an access that fails is reported, not deadly. */
#ifndef VMTRACE_TEST_TOUCH_H
#define VMTRACE_TEST_TOUCH_H

#include "generator.h"

/** touch_init() - Catch SIGSEGV and SIGBUS. */
void touch_init(void);

/** touch() - One byte at @addr. Return: whether it worked. */
bool touch(uint64_t addr, enum touch_how how);

const char *touch_text(enum touch_how how);

#endif
