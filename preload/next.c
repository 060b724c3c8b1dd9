/* SPDX-License-Identifier: MIT */
/* One table filled by dlsym(). */
#include "next.h"

#include <dlfcn.h>
#include <stdbool.h>

#include "no_heap.h"

struct next next;

void next_resolve(void)
{
	static bool done;

	if (done)
		return;
	/* dlsym() may allocate: those blocks come from hooks_heap.c's bootstrap pool. */
#define RESOLVE(member, symbol, type, params) \
	*(void **)(void *)&next.member = dlsym(RTLD_NEXT, symbol);
	NEXT_SYMBOLS(RESOLVE)
#undef RESOLVE
	done = true;
}
