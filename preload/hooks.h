/* SPDX-License-Identifier: MIT */
/* What all interposed symbols share: visibility, and the step from -errno to errno. */
#ifndef VMTRACE_HOOKS_H
#define VMTRACE_HOOKS_H

#include <errno.h>

#include "sys.h"

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

/* errno is set on failure only, as libc's wrappers do. */
static inline long hook_result(long ret)
{
	if (sys_is_err(ret)) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

#endif
