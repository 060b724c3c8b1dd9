/* SPDX-License-Identifier: MIT */
/* An array of nodes and an open-addressed hash from (parent, ip) to node. */
#include "stacks.h"

#include <string.h>

#include "arena.h"
#include "recorder.h"
#include "walk.h"

#include "no_heap.h"

#define TABLE_FIRST 4096u	/* slots; doubled when half of them are taken */
#define DESCEND_FRAMES 16	/* at a time */

struct node {
	uint64_t ip;
	uint32_t parent;
	uint32_t hash;		/* of all its frames, so that those further in have theirs before they are found */
};

/* Replaced by a larger one, never changed in size: who reads without the lock has all of one. */
struct table {
	uint32_t mask;
	uint32_t ids[];		/* 0: free */
};

static struct node *nodes;	/* by id; 0 is no node */
static struct table *table;
static uint32_t nr_nodes, max_nodes;

static struct table *table_new(uint32_t size)
{
	struct table *t = arena_alloc(sizeof(*t) + size * sizeof(t->ids[0]));

	if (t)
		t->mask = size - 1;
	return t;
}

bool stacks_init(void)
{
	/* A 256th of the region for nodes: a million in the usual one. Untouched pages cost nothing. */
	uint64_t bytes = (arena_end() - arena_start()) / 256;

	for (max_nodes = 1024; max_nodes * 2 * sizeof(*nodes) <= bytes; max_nodes *= 2)
		;
	nodes = arena_alloc((size_t)max_nodes * sizeof(*nodes));
	table = table_new(TABLE_FIRST);
	nr_nodes = 0;
	return nodes && table;
}

static inline uint32_t hash_inside(uint32_t outer, uint64_t ip)
{
	uint64_t h = (ip ^ (uint64_t)outer << 32 ^ outer) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 52);
}

/* The slot of (parent, ip), or the free one where it belongs. Context: any. */
static inline uint32_t *find(struct table *t, uint32_t parent, uint64_t ip, uint32_t hash)
{
	uint32_t i = hash & t->mask, id;

	while ((id = __atomic_load_n(&t->ids[i], __ATOMIC_ACQUIRE)) &&
	       (nodes[id].ip != ip || nodes[id].parent != parent))
		i = (i + 1) & t->mask;
	return &t->ids[i];
}

static uint32_t lookup(uint32_t parent, uint64_t ip)
{
	return *find(__atomic_load_n(&table, __ATOMIC_ACQUIRE), parent, ip,
		     hash_inside(nodes[parent].hash, ip));
}

/* Known to others from the second store on. */
static void insert(struct table *t, uint32_t id)
{
	const struct node *node = &nodes[id];

	__atomic_store_n(find(t, node->parent, node->ip, node->hash), id, __ATOMIC_RELEASE);
}

/* Room for @more nodes. A table spread over untouched memory would cost a page for each node. */
static bool reserve(uint32_t more)
{
	uint32_t size = table->mask + 1, i;
	struct table *bigger;

	if (nr_nodes + more >= max_nodes)
		return false;
	while (size / 2 < nr_nodes + more)
		size *= 2;
	if (size == table->mask + 1)
		return true;
	bigger = table_new(size);
	if (!bigger)
		return false;
	for (i = 1; i <= nr_nodes; i++)
		insert(bigger, i);
	__atomic_store_n(&table, bigger, __ATOMIC_RELEASE);
	return true;
}

void stacks_reset(void)
{
	memset(table->ids, 0, (table->mask + 1) * sizeof(table->ids[0]));
	nr_nodes = 0;
}

/* Make nodes for @ips, outermost (last) first, under @parent, once the trace has them. */
static uint32_t add_chain(uint32_t parent, void *const *ips, int nr, bool cut)
{
	uint32_t id = nr_nodes, last = nr_nodes + (uint32_t)nr + cut;
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
		nodes[++id] = (struct node){ .ip = ip, .parent = parent,
					     .hash = hash_inside(nodes[parent].hash, ip) };
		jsonw_hex(w, NULL, ip);
		parent = id;
	}
	jsonw_array_end(w);
	if (!recorder_commit(w))
		return 0;
	while (nr_nodes < last)
		insert(table, ++nr_nodes);
	return last;
}

uint32_t stacks_intern(uint32_t parent, void *const *ips, int nr, bool cut)
{
	uint32_t id;

	if (nr <= 0)
		return parent;
	if (cut) {
		id = lookup(0, 0);
		if (!id)
			return add_chain(0, ips, nr, true);
		parent = id;
	}
	for (; nr; nr--) {
		id = lookup(parent, (uint64_t)(uintptr_t)ips[nr - 1]);
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

/*
 * Most of what is read here is in no near cache, and each node is known only when the one further out is.
 * But where they will be is known before: all are asked for together.
 */
bool stacks_descend(uint32_t outer, struct walk_frame *fresh, int nr)
{
	struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
	uint32_t hashes[DESCEND_FRAMES], hash;
	int i, last;

	while (nr) {
		last = nr > DESCEND_FRAMES ? nr - DESCEND_FRAMES : 0;
		hash = nodes[outer].hash;
		for (i = nr - 1; i >= last; i--) {
			if (!fresh[i].is_own)
				hash = hash_inside(hash, fresh[i].ip);
			hashes[i - last] = hash;
			__builtin_prefetch(&t->ids[hash & t->mask]);
		}
		for (i = nr - 1; i >= last; i--)
			__builtin_prefetch(&nodes[__atomic_load_n(&t->ids[hashes[i - last] & t->mask],
								  __ATOMIC_RELAXED)]);
		for (i = nr - 1; i >= last; i--) {
			if (!fresh[i].is_own) {
				outer = *find(t, outer, fresh[i].ip, hashes[i - last]);
				if (!outer)
					return false;
			}
			fresh[i].node = outer;
		}
		nr = last;
	}
	return true;
}

void stacks_innermost(uint32_t id, uint64_t ret_ips[2])
{
	ret_ips[0] = nodes[id].ip;
	ret_ips[1] = nodes[nodes[id].parent].ip;
}
