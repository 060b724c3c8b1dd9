/* SPDX-License-Identifier: MIT */
/*
 * heap_wrong: frees a block twice, and addresses that are no blocks: one inside of a block, one on the
 * stack. Only for an allocator that survives it (careless_heap.c). Listed as in heap_list.h.
 */
#include "heap_list.h"

static void *volatile twice, *volatile inside, *volatile on_stack;

int main(void)
{
	char local[64];
	char *block;

	list_section("twice", "exact");
	twice = list_alloc(malloc(100), 100, 0);
	list_free(twice);
	free(twice);
	list_free(twice);
	free(twice);
	list_section("inside", "exact");
	block = list_alloc(malloc(200), 200, 0);
	inside = block + 16;
	list_free(inside);
	free(inside);
	list_free(block);
	free(block);
	list_section("stack", "exact");
	on_stack = local;
	list_free(on_stack);
	free(on_stack);
	list_section("end", "among");
	list_write("heap.list");
	return 0;
}
