/* SPDX-License-Identifier: MIT */
/*
 * Interned names: a trie over two bits of the hash a level, so that nothing is ever moved or
 * resized. A name that ends up below another has the same leading hash bits, no more.
 */
#include "names.h"

#include <errno.h>
#include <string.h>

struct name_node {
	struct name_node *child[4];
	uint64_t hash;
	char text[];
};

static uint64_t hash_name(const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3ull;
	return h ^ (h >> 32);
}

int mm_intern(struct mm *mm, const char *name, const char **ret_name)
{
	struct name_node **slot = (struct name_node **)&mm->names, *node;
	size_t len = name ? strlen(name) : 0;
	uint64_t hash, bits;

	if (!len) {
		*ret_name = NULL;
		return 0;
	}
	hash = bits = hash_name(name, len);
	for (; (node = *slot); bits >>= 2) {
		if (node->hash == hash && strlen(node->text) == len &&
		    !memcmp(node->text, name, len)) {
			*ret_name = node->text;
			return 0;
		}
		slot = &node->child[bits & 3];
	}
	node = mm->mem->alloc(mm->mem->ctx, sizeof(*node) + len + 1);
	if (!node)
		return -ENOMEM;
	node->hash = hash;
	memcpy(node->text, name, len);
	*slot = node;
	*ret_name = node->text;
	return 0;
}
