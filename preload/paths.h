/* SPDX-License-Identifier: MIT */
/*
 * Whole call stacks that a thread came by lately, each with the words of the stack that prove it.
 *
 *     key of the innermost frames ─▶ set: 4 tags, 4 places ─▶ record: frame, id, (address, value)…
 *
 *     ip, stack pointer, the last two stacks ─▶ the record that was right the last time
 *
 * The second way reads nothing but the record, and is tried first while it is mostly right: a program
 * comes by its stacks in the same order again and again. A set is met by one comparison, and what is read
 * of a record lies together: most records are not in the nearest cache when they are wanted.
 */
#ifndef VMTRACE_PATHS_H
#define VMTRACE_PATHS_H

#include <emmintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATHS_WAYS 4
#define PATHS_GUESSES 8192	/* of a thread: 32 KiB */
#define PATHS_LEVELS 2	/* sizes of the memory for them */
#define PATHS_LUCK_MAX 64	/* right guesses that make up for as many wrong ones */
#define PATHS_LUCK_OUT -512	/* stacks found without guessing, before it is tried again… */
#define PATHS_LUCK_IN 16	/* …with so much luck */

struct walk_frame;

/* A word of the stack, as it was. */
struct path_word {
	uintptr_t addr, value;
};

struct path {
	uintptr_t ip, sp, bp;	/* of the innermost frame */
	volatile uint32_t id;	/* the user's name for it; 0: it is being written */
	uint16_t nr_words;	/* a multiple of 4: the last one may be there more than once */
	bool needs_bp;
	uintptr_t values[];	/* and their places behind them: uint16_t, words above sp */
};

struct path_set {
	uint32_t tag[PATHS_WAYS];	/* the key's lower half */
	volatile uint32_t at[PATHS_WAYS];	/* record, in units of 16 bytes; 0: none */
} __attribute__((aligned(16)));

/* What lies on the stack may be of any type. */
typedef uintptr_t __attribute__((may_alias)) path_stack_word;

struct path_unit {
	uint64_t half[2];
};

/* All 0: none yet, and no room. */
struct paths {
	struct path_set *volatile sets;
	struct path_unit *units;
	uint32_t *guesses;	/* PATHS_GUESSES records */
	uint64_t history;	/* the records of the last two stacks */
	uint32_t mask;		/* sets, less one */
	int luck;		/* < 0: don't guess */
	uint32_t max_units, nr_units;
	uint32_t nr_replaced;
	unsigned int level;	/* of that memory, from 1; 0: there is none yet */
	bool is_small;		/* more would be used */
};

/**
 * paths_bytes() - Memory for one of PATHS_LEVELS sizes, from 1.
 * paths_use() - Take it into use.
 * @memory: zeroed, aligned to 16 bytes; not given back.
 */
size_t paths_bytes(unsigned int level);
void paths_use(struct paths *p, void *memory, unsigned int level);

/**
 * paths_keep() - Remember a stack.
 * @key: of its innermost frames.
 * @frame: the innermost one.
 * @words: what proves all others, above its sp. A stack longer than 2^16 words is not kept.
 *
 * Context: any, not from within itself. A jump out of it leaves the record there or not.
 */
void paths_keep(struct paths *p, uint64_t key, const struct walk_frame *frame,
		const struct path_word *words, uint32_t nr, uint32_t id);

void paths_forget(struct paths *p);

static inline struct path *paths_at(const struct paths *p, uint32_t unit)
{
	return (struct path *)(void *)&p->units[unit];
}

static inline uint16_t *path_places(struct path *path)
{
	return (uint16_t *)(void *)(path->values + path->nr_words);
}

static inline bool path_holds(const struct path *path, uintptr_t ip, uintptr_t sp, uintptr_t bp)
{
	const path_stack_word *stack = (const path_stack_word *)path->sp;
	const uintptr_t *value = path->values, *end = value + path->nr_words;
	const uint16_t *place = (const uint16_t *)(const void *)end;
	uintptr_t changed = 0;

	if (path->ip != ip || path->sp != sp || (path->needs_bp && path->bp != bp))
		return false;
	/* Several at a time, and no branch for each. */
	for (; value < end; value += 4, place += 4)
		changed |= (stack[place[0]] ^ value[0]) | (stack[place[1]] ^ value[1]) |
			   (stack[place[2]] ^ value[2]) | (stack[place[3]] ^ value[3]);
	return !changed;
}

static inline uint32_t *paths_guess_at(const struct paths *p, uintptr_t ip, uintptr_t sp)
{
	uint64_t hash = ((ip ^ sp << 20) * 0x9e3779b97f4a7c15ull ^ p->history) * 0x9e3779b97f4a7c15ull;

	return &p->guesses[(hash >> 40) % PATHS_GUESSES];
}

static inline void paths_note(struct paths *p, uint32_t unit)
{
	p->history = p->history << 32 | unit;
}

/*
 * Return: the id of the stack that came by here the last time, if all its words are what they were, or 0.
 */
static inline uint32_t paths_guess(struct paths *p, uintptr_t ip, uintptr_t sp, uintptr_t bp)
{
	const struct path *path;
	uint32_t unit;

	if (__builtin_expect(!p->sets, false))
		return 0;
	if (p->luck < 0) {
		if (!++p->luck)
			p->luck = PATHS_LUCK_IN;
		return 0;
	}
	unit = *paths_guess_at(p, ip, sp);
	path = paths_at(p, unit);
	if (__builtin_expect(path_holds(path, ip, sp, bp), true)) {
		p->luck += p->luck < PATHS_LUCK_MAX;
		paths_note(p, unit);
		return path->id;
	}
	if (--p->luck < 0)
		p->luck = PATHS_LUCK_OUT;
	return 0;
}

/* The same by the innermost frames' key. */
static inline uint32_t paths_find(struct paths *p, uint64_t key, uintptr_t ip, uintptr_t sp,
				  uintptr_t bp)
{
	const struct path_set *set = p->sets;
	const struct path *path;
	unsigned int found;
	uint32_t unit;
	__m128i equal;

	if (__builtin_expect(!set, false))
		return 0;
	set += key >> 32 & p->mask;
	equal = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)(const void *)set->tag),
				_mm_set1_epi32((int)(uint32_t)key));
	found = (unsigned int)_mm_movemask_ps(_mm_castsi128_ps(equal));
	for (; found; found &= found - 1) {
		unit = set->at[__builtin_ctz(found)];
		path = paths_at(p, unit);
		if (path_holds(path, ip, sp, bp)) {
			*paths_guess_at(p, ip, sp) = unit;
			paths_note(p, unit);
			return path->id;
		}
	}
	return 0;
}

#endif
