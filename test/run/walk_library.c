/* SPDX-License-Identifier: MIT */
/* A library that allocates, directly and through its caller: in two variants at the same addresses. */
#include <stdlib.h>

void walk_library(void (*call)(int), int depth);

void walk_library(void (*call)(int), int depth)
{
#ifdef LARGE
	char room[500];

	__asm__ volatile("" :: "r"(room) : "memory");
#endif
	free(malloc(100));
	call(depth);
	__asm__ volatile("" ::: "memory");
}
