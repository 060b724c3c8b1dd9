/* SPDX-License-Identifier: MIT */
/*
 * Linear probing at a load of at most 3/4; removal shifts the entries behind the hole back, so that
 * there are no tombstones and a table that breathes does not decay.
 */
#include "table.h"

#include <string.h>

#include "alloc.h"

enum { TABLE_MIN = 64 };

static size_t stride(const struct table *t)
{
	return sizeof(uint64_t) + t->value_size;
}

static unsigned char *slot(const struct table *t, size_t i)
{
	return t->slots + i * stride(t);
}

static uint64_t slot_key(const struct table *t, size_t i)
{
	uint64_t key;

	memcpy(&key, slot(t, i), sizeof(key));
	return key;
}

/* Where @key would stand if it were alone: a mixer that spreads aligned addresses. */
static size_t home(const struct table *t, uint64_t key)
{
	key ^= key >> 32;
	key *= 0x9fb21c651e98df25ull;
	key ^= key >> 28;
	return key & (t->cap - 1);
}

void table_init(struct table *t, size_t value_size)
{
	*t = (struct table){ .value_size = value_size };
}

void table_fini(struct table *t)
{
	alloc_free(t->slots);
	alloc_free(t->used);
	t->slots = t->used = NULL;
	t->nr = t->cap = 0;
}

static size_t probe(const struct table *t, uint64_t key)
{
	size_t i = home(t, key);

	while (t->used[i] && slot_key(t, i) != key)
		i = (i + 1) & (t->cap - 1);
	return i;
}

static void grow(struct table *t)
{
	struct table old = *t;
	size_t i;

	t->cap = old.cap ? 2 * old.cap : TABLE_MIN;
	t->slots = alloc_array(t->cap, stride(t));
	t->used = alloc_array(t->cap, 1);
	for (i = 0; i < old.cap; i++) {
		size_t to;

		if (!old.used[i])
			continue;
		to = probe(t, slot_key(&old, i));
		memcpy(slot(t, to), slot(&old, i), stride(t));
		t->used[to] = 1;
	}
	table_fini(&old);
}

void *table_find(const struct table *t, uint64_t key)
{
	size_t i;

	if (!t->nr)
		return NULL;
	i = probe(t, key);
	return t->used[i] ? slot(t, i) + sizeof(key) : NULL;
}

void *table_put(struct table *t, uint64_t key, bool *ret_is_new)
{
	size_t i;

	if (t->nr >= t->cap / 4 * 3)
		grow(t);
	i = probe(t, key);
	*ret_is_new = !t->used[i];
	if (!t->used[i]) {
		memset(slot(t, i), 0, stride(t));
		memcpy(slot(t, i), &key, sizeof(key));
		t->used[i] = 1;
		t->nr++;
	}
	return slot(t, i) + sizeof(key);
}

bool table_remove(struct table *t, uint64_t key, void *ret_value)
{
	size_t hole, i, mask = t->cap - 1;

	if (!t->nr)
		return false;
	hole = probe(t, key);
	if (!t->used[hole])
		return false;
	if (ret_value)
		memcpy(ret_value, slot(t, hole) + sizeof(key), t->value_size);
	for (i = (hole + 1) & mask; t->used[i]; i = (i + 1) & mask) {
		size_t from_home = (i - home(t, slot_key(t, i))) & mask;

		/* An entry may move back as long as it does not pass its home. */
		if (from_home < ((i - hole) & mask))
			continue;
		memcpy(slot(t, hole), slot(t, i), stride(t));
		hole = i;
	}
	t->used[hole] = 0;
	t->nr--;
	return true;
}

void *table_at(const struct table *t, size_t i, uint64_t *ret_key)
{
	if (!t->used[i])
		return NULL;
	*ret_key = slot_key(t, i);
	return slot(t, i) + sizeof(*ret_key);
}
