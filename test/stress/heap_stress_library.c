/* SPDX-License-Identifier: MIT */
/* What heap_stress loads and unloads: it allocates when it comes, when it is used, and when it goes. */
#include <stdlib.h>
#include <string.h>

static void *block;

void *heap_stress_use(void);

void *heap_stress_use(void)
{
	return malloc(333);
}

__attribute__((constructor)) static void come(void)
{
	block = malloc(777);
}

__attribute__((destructor)) static void go(void)
{
	free(block);
	free(strdup("farewell"));
}
