/* SPDX-License-Identifier: MIT */
/* syscall(2) itself: what programs reach the kernel with when libc has no name for it. */
#include <stdarg.h>
#include <unistd.h>

#include "dispatch.h"
#include "hooks.h"

EXPORT long syscall(long nr, ...)
{
	uint64_t arg[6];
	va_list ap;
	int i;

	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(ap, uint64_t);
	va_end(ap);
	return hook_result(dispatch(nr, arg, DISPATCH_BY_NUMBER));
}
