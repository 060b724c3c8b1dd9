/* SPDX-License-Identifier: MIT */
/* An array of nodes and an open-addressed hash from (parent, ip) to node. */
#include "stacks.h"

#include <string.h>

#include "arena.h"
#include "recorder.h"
#include "walk.h"

#include "no_heap.h"

#define TABLE_FIRST 4096u	/* slots; doubled when half of them are taken */

struct node {
	uint64_t ip;
	uint32_t parent;
};

static struct node *nodes;	/* by id; 0 is no node */
static uint32_t *table;		/* ids, 0: free */
static uint32_t nr_nodes, max_nodes, table_mask;

bool stacks_init(void)
{
	/* A 256th of the region for nodes: a million in the usual one. Untouched pages cost nothing. */
	uint64_t bytes = (arena_end() - arena_start()) / 256;

	for (max_nodes = 1024; max_nodes * 2 * sizeof(*nodes) <= bytes; max_nodes *= 2)
		;
	table_mask = TABLE_FIRST - 1;
	nodes = arena_alloc((size_t)max_nodes * sizeof(*nodes));
	table = arena_alloc(TABLE_FIRST * sizeof(*table));
	nr_nodes = 0;
	return nodes && table;
}

static uint32_t hash(uint32_t parent, uint64_t ip)
{
	uint64_t h = (ip ^ (uint64_t)parent << 40 ^ parent) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 52);
}

/* The slot of (parent, ip), or the free one where it belongs. */
static uint32_t *find(uint32_t parent, uint64_t ip)
{
	uint32_t i = hash(parent, ip) & table_mask;

	while (table[i] && (nodes[table[i]].ip != ip || nodes[table[i]].parent != parent))
		i = (i + 1) & table_mask;
	return &table[i];
}

/* Room for @more nodes. A table spread over untouched memory would cost a page for each node. */
static bool reserve(uint32_t more)
{
	uint32_t size = table_mask + 1, i, *bigger;

	if (nr_nodes + more >= max_nodes)
		return false;
	while (size / 2 < nr_nodes + more)
		size *= 2;
	if (size == table_mask + 1)
		return true;
	bigger = arena_alloc((size_t)size * sizeof(*table));
	if (!bigger)
		return false;
	table = bigger;
	table_mask = size - 1;
	for (i = 1; i <= nr_nodes; i++)
		*find(nodes[i].parent, nodes[i].ip) = i;
	return true;
}

/* Take the newest nodes back: in the opposite order, so that no hash chain is torn. */
static void forget(uint32_t keep)
{
	for (; nr_nodes > keep; nr_nodes--)
		*find(nodes[nr_nodes].parent, nodes[nr_nodes].ip) = 0;
}

void stacks_reset(void)
{
	forget(0);
}

/* Make nodes for @ips, outermost (last) first, under @parent, and tell the trace. */
static uint32_t add_chain(uint32_t parent, void *const *ips, int nr, bool cut)
{
	uint32_t known = nr_nodes;
	struct jsonw *w;

	if (!reserve((uint32_t)nr + 1)) {
		recorder_lost("event", "stacks", 1);
		return 0;
	}
	w = recorder_writer();
	jsonw_event(w, "stack");
	jsonw_num(w, "id", nr_nodes + 1);
	jsonw_num(w, "parent", parent);
	jsonw_array(w, "ips");
	for (nr += cut; nr; nr--) {
		uint64_t ip = cut ? 0 : (uint64_t)(uintptr_t)ips[nr - 1];

		cut = false;
		nodes[++nr_nodes] = (struct node){ .ip = ip, .parent = parent };
		*find(parent, ip) = nr_nodes;
		jsonw_hex(w, NULL, ip);
		parent = nr_nodes;
	}
	jsonw_array_end(w);
	if (recorder_commit(w))
		return parent;
	/* The trace doesn't know them: they have no ids. */
	forget(known);
	return 0;
}

uint32_t stacks_intern(void *const *ips, int nr, bool cut)
{
	uint32_t parent = 0, id;

	if (nr <= 0)
		return 0;
	if (cut) {
		id = *find(0, 0);
		if (!id)
			return add_chain(0, ips, nr, true);
		parent = id;
	}
	for (; nr; nr--) {
		id = *find(parent, (uint64_t)(uintptr_t)ips[nr - 1]);
		if (!id)
			return add_chain(parent, ips, nr, false);
		parent = id;
	}
	return parent;
}

bool stacks_equal(uint32_t id, void *const *ips, int nr, bool cut)
{
	int i;

	for (i = 0; i < nr; i++) {
		if (!id || nodes[id].ip != (uint64_t)(uintptr_t)ips[i])
			return false;
		id = nodes[id].parent;
	}
	/* A frame may also be missing before the last one: only the outermost says that it was cut. */
	return cut ? id && !nodes[id].ip && !nodes[id].parent : !id;
}

bool stacks_continue(uint32_t id, uint32_t outer, struct walk_frame *fresh, int nr)
{
	const struct walk_frame *end = fresh + nr;

	for (; fresh < end; fresh++) {
		fresh->node = id;
		if (__builtin_expect(fresh->is_own, false))
			continue;
		if (!id || nodes[id].ip != fresh->ip)
			return false;
		id = nodes[id].parent;
	}
	return id == outer;
}

void stacks_innermost(uint32_t id, uint64_t ret_ips[2])
{
	ret_ips[0] = nodes[id].ip;
	ret_ips[1] = nodes[nodes[id].parent].ip;
}
