/* SPDX-License-Identifier: MIT */
/* Records are appended; one that is as long as the one it replaces takes its place. */
#include "paths.h"

#include "walk.h"

#include "no_heap.h"

#define FIRST_SETS 128u
#define SET_UNITS 72u	/* for the records of a set, on average */
#define UNIT sizeof(struct path_unit)
#define PLACE_MAX UINT16_MAX
#define HEAD_UNITS (sizeof(struct path) / UNIT)

static uint32_t nr_sets(unsigned int level)
{
	return FIRST_SETS << 4 * (level - 1);
}

static uint32_t nr_units(unsigned int level)
{
	return nr_sets(level) * SET_UNITS;
}

size_t paths_bytes(unsigned int level)
{
	return nr_sets(level) * sizeof(struct path_set) + PATHS_GUESSES * sizeof(uint32_t) +
	       nr_units(level) * UNIT;
}

/* The first unit is nobody's: an empty way leads there, and it is no stack. */
static void use_all_units(struct paths *p)
{
	p->nr_units = HEAD_UNITS;
}

void paths_use(struct paths *p, void *memory, unsigned int level)
{
	p->sets = NULL;
	p->units = (struct path_unit *)memory;
	p->max_units = nr_units(level);
	p->mask = nr_sets(level) - 1;
	p->nr_replaced = 0;
	p->level = level;
	p->is_small = false;
	use_all_units(p);
	p->guesses = (uint32_t *)(void *)(p->units + nr_units(level));
	__asm__ volatile("" ::: "memory");
	p->sets = (struct path_set *)(void *)(p->guesses + PATHS_GUESSES);
}

void paths_forget(struct paths *p)
{
	uint32_t set, i;

	for (set = 0; p->sets && set <= p->mask; set++) {
		for (i = 0; i < PATHS_WAYS; i++)
			p->sets[set].at[i] = 0;
	}
	for (i = 0; p->sets && i < PATHS_GUESSES; i++)
		p->guesses[i] = 0;
	use_all_units(p);
}

/* A free way, or any. */
static int victim(struct paths *p, const struct path_set *set)
{
	int way;

	for (way = 0; way < PATHS_WAYS; way++) {
		if (!set->at[way])
			return way;
	}
	if (++p->nr_replaced > (p->mask + 1) * PATHS_WAYS)
		p->is_small = true;
	return (int)(p->nr_replaced % PATHS_WAYS);
}

/* Where a record of @nr words goes. Return: its unit. */
static uint32_t place(struct paths *p, uint32_t old, uint32_t nr)
{
	uint32_t units = (uint32_t)(HEAD_UNITS + (nr * (sizeof(uintptr_t) + sizeof(uint16_t)) + UNIT - 1) / UNIT);
	uint32_t unit;

	if (old && paths_at(p, old)->nr_words == nr)
		return old;
	if (units > p->max_units - p->nr_units) {
		p->is_small = true;
		paths_forget(p);
	}
	unit = p->nr_units;
	p->nr_units += units;
	return unit;
}

void paths_keep(struct paths *p, uint64_t key, const struct walk_frame *frame,
		const struct path_word *words, uint32_t nr, uint32_t id)
{
	uint32_t nr_kept = (nr + 3) & ~3u, unit, i;
	struct path_set *set;
	struct path *path;
	uint16_t *places;
	int way;

	if (!p->sets || (nr && words[0].addr - frame->sp > PLACE_MAX * sizeof(uintptr_t)))
		return;
	set = &p->sets[key >> 32 & p->mask];
	way = victim(p, set);
	unit = place(p, set->at[way], nr_kept);
	set->at[way] = 0;
	path = paths_at(p, unit);
	path->id = 0;
	__asm__ volatile("" ::: "memory");
	path->ip = frame->ip;
	path->sp = frame->sp;
	path->bp = frame->bp;
	path->nr_words = (uint16_t)nr_kept;
	path->needs_bp = frame->needs_bp;
	places = path_places(path);
	for (i = 0; i < nr_kept; i++) {
		const struct path_word *word = &words[i < nr ? i : nr - 1];

		path->values[i] = word->value;
		places[i] = (uint16_t)((word->addr - frame->sp) / sizeof(uintptr_t));
	}
	set->tag[way] = (uint32_t)key;
	__asm__ volatile("" ::: "memory");
	path->id = id;
	set->at[way] = unit;
	paths_note(p, unit);
}
