/* SPDX-License-Identifier: MIT */
/* A table of classes by id, and a hash with open addressing over it. */
#include "page_classes.h"

#include <string.h>

#include "arena.h"
#include "jsonw.h"
#include "recorder.h"
#include "sys.h"

#include "no_heap.h"

#define CLASSES_MAX 4096u
#define SLOTS (CLASSES_MAX * 2)
#define CLASSES_AHEAD 128u	/* put in place before a scan; few programs have 60 */
#define LINE_MAX 256u		/* bytes of one line; the longest has 160 */

static struct table {
	struct page_class list[CLASSES_MAX];	/* list[id - 1] */
	uint16_t slots[SLOTS];			/* ids; 0: free */
} *table;
static unsigned int nr_classes;

void page_classes_reset(void)
{
	if (table)
		memset(table->slots, 0, sizeof(table->slots));
	nr_classes = 0;
}

bool page_classes_prepare(void)
{
	unsigned int nr = nr_classes + CLASSES_AHEAD;

	if (!table)
		table = arena_alloc(sizeof(*table));
	if (!table)
		return false;
	sys_touch(table->list, (nr < CLASSES_MAX ? nr : CLASSES_MAX) * sizeof(*table->list));
	sys_touch(table->slots, sizeof(table->slots));
	return true;
}

static unsigned int hash(const struct page_class *c)
{
	uint64_t h = c->kpageflags * 0x9e3779b97f4a7c15ull;

	h = (h ^ (h >> 32) ^ c->pagemap >> 51 ^ (uint64_t)c->is_huge << 1 ^ c->mapcount << 13 ^
	     c->swap_type) * 0x9e3779b97f4a7c15ull;
	return (unsigned int)(h >> 32) & (SLOTS - 1);
}

/* Into a buffer of its own: the line of the runs is being written meanwhile. */
static bool tell(const struct page_class *c, uint32_t id)
{
	char buf[LINE_MAX];
	struct jsonw w;

	jsonw_init(&w, buf, sizeof(buf));
	jsonw_event(&w, "page_class");
	jsonw_num(&w, "t", (int64_t)recorder_now());
	jsonw_num(&w, "id", id);
	jsonw_hex(&w, "pagemap", c->pagemap);
	if (c->has_flags)
		jsonw_hex(&w, "kpageflags", c->kpageflags);
	if (c->has_count)
		jsonw_num(&w, "mapcount", (int64_t)c->mapcount);
	if (c->has_huge)
		jsonw_bool(&w, "huge", c->is_huge);
	if (c->has_swap_type)
		jsonw_num(&w, "swap_type", c->swap_type);
	return recorder_commit(&w);
}

uint32_t page_classes_id(const struct page_class *class)
{
	unsigned int slot = hash(class);
	uint32_t id;

	for (; (id = table->slots[slot]); slot = (slot + 1) & (SLOTS - 1)) {
		if (page_class_equal(&table->list[id - 1], class))
			return id;
	}
	if (nr_classes == CLASSES_MAX || !tell(class, nr_classes + 1))
		return PAGE_CLASS_UNTOLD;
	table->list[nr_classes++] = *class;
	table->slots[slot] = (uint16_t)nr_classes;
	return nr_classes;
}
