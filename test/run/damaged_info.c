/* SPDX-License-Identifier: MIT */
/* Allocates through a library (walk_library.c) whose unwind information may be damaged. */
#include <dlfcn.h>
#include <stdio.h>

#define TIMES 100

static void nothing(int depth)
{
	(void)depth;
}

int main(int argc, char **argv)
{
	void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	void (*walk)(void (*call)(int), int depth);
	int i;

	if (!handle) {
		fprintf(stderr, "%s\n", argc > 1 ? dlerror() : "no library given");
		return 2;
	}
	*(void **)&walk = dlsym(handle, "walk_library");
	for (i = 0; i < TIMES; i++)
		walk(nothing, i);
	return 0;
}
