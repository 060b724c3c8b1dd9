/* SPDX-License-Identifier: MIT */
/*
 * The hash table against an array indexed by the key.
 */
#include "table.h"

#include <stdlib.h>

#include "check.h"

enum { KEYS = 512, STEPS = 200000 };

static void test_empty(void)
{
	struct table t;

	table_init(&t, 8);
	CHECK_EQ(table_find(&t, 5) == NULL, true);
	CHECK_EQ(table_remove(&t, 5, NULL), false);
	table_fini(&t);
}

/* Keys 16 bytes apart as addresses are, and with equal low bits as hostile ones may be. */
static uint64_t key_of(unsigned int i)
{
	return i % 2 ? 0x7f0000000000 + 16ull * i : (uint64_t)i << 40;
}

static void test_random_steps(void)
{
	uint64_t model[KEYS] = { 0 };
	size_t live = 0;
	struct table t;
	unsigned int seed = 1;
	int step;

	table_init(&t, 8);
	for (step = 1; step <= STEPS; step++) {
		unsigned int i = rand_r(&seed) % KEYS;
		uint64_t *value, removed = 0;
		bool is_new = false;

		if (rand_r(&seed) % 2) {
			value = table_put(&t, key_of(i), &is_new);
			CHECK_EQ(is_new, !model[i]);
			live += is_new;
			*value = model[i] = step;
		} else {
			CHECK_EQ(table_remove(&t, key_of(i), &removed), model[i] != 0);
			CHECK_EQ(removed, model[i]);
			live -= model[i] != 0;
			model[i] = 0;
		}
		CHECK_EQ(t.nr, live);
		i = rand_r(&seed) % KEYS;
		value = table_find(&t, key_of(i));
		CHECK_EQ(value ? *value : 0, model[i]);
		if (check_status())
			break;
	}
	table_fini(&t);
}

int main(void)
{
	test_empty();
	test_random_steps();
	return check_status();
}
