/* SPDX-License-Identifier: MIT */
/*
 * A hash table from 64-bit keys to values of one size, with open addressing: for what is
 * counted per call stack, thread, or address. Memory is proportional to the entries there are.
 */
#ifndef VMTRACE_ANALYZER_TABLE_H
#define VMTRACE_ANALYZER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	size_t value_size;		/* bytes, a multiple of 8 */
	size_t nr, cap;			/* entries, slots (a power of two) */
	unsigned char *slots;		/* key, value, key, value, … */
	unsigned char *used;		/* one byte a slot */
};

void table_init(struct table *table, size_t value_size);
void table_fini(struct table *table);

/* The value of @key or NULL. Valid until the next table_put() or table_remove(). */
void *table_find(const struct table *table, uint64_t key);

/* The value of @key, zeroed if it is new. */
void *table_put(struct table *table, uint64_t key, bool *ret_is_new);

/* Remove @key; its value is copied to @ret_value if that is not NULL. Return: whether it was there. */
bool table_remove(struct table *table, uint64_t key, void *ret_value);

/* Entry in slot @i < table->cap, or NULL if the slot is free. */
void *table_at(const struct table *table, size_t i, uint64_t *ret_key);

#endif
