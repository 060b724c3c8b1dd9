/* SPDX-License-Identifier: MIT */
/* Steps outwards by rule until a frame is met that the last stack has in the same state. */
#include "walk.h"

#include <stddef.h>

#include "cfi.h"

#include "no_heap.h"

#define WORD sizeof(uintptr_t)
#define FIRST_SETS 128u
#define SET_WORDS 64u		/* for the stacks of a set, on average */
#define KEY_FRAMES 3
#define FIRST_KEY(from) ((from)->sp ^ (from)->ip << 20)
#define NEXT_KEY(key, ip) (((key) ^ (ip)) * 0x9e3779b97f4a7c15ull)

static inline uintptr_t read_word(uintptr_t addr)
{
	return *(const volatile uintptr_t *)addr;
}

/* The caller of @at by its rule. Return: false if that lies outside of the stack. */
static inline bool step(const struct walk_frame *at, uint64_t rule, uintptr_t end,
			struct walk_frame *ret)
{
	uintptr_t base = rule & CFI_OF_BP ? at->bp : at->sp;
	uintptr_t cfa = base + CFI_CFA_WORDS(rule) * WORD;
	uintptr_t bp_slot = cfa - CFI_BP_WORDS(rule) * WORD;

	/* By a frame pointer that is none it might be anywhere. */
	if (__builtin_expect(cfa <= at->sp || cfa > end || base > end || cfa % WORD, false))
		return false;
	ret->ip = read_word(cfa - WORD);
	ret->sp = cfa;
	ret->bp = at->bp;
	ret->bp_slot = 0;
	if (bp_slot != cfa) {
		if (__builtin_expect(bp_slot < at->sp, false))
			return false;
		ret->bp = read_word(bp_slot);
		ret->bp_slot = bp_slot;
	}
	return true;
}

static uint32_t nr_sets(unsigned int level)
{
	return FIRST_SETS << 2 * (level - 1);
}

static uint32_t nr_words(unsigned int level)
{
	return nr_sets(level) * SET_WORDS;
}

size_t walk_paths_bytes(unsigned int level)
{
	return nr_sets(level) * (sizeof(struct walk_keys) + WALK_WAYS * sizeof(struct walk_path)) +
	       nr_words(level) * sizeof(struct walk_word);
}

void walk_use_paths(struct walk *w, void *memory, unsigned int level)
{
	w->paths = NULL;
	__asm__ volatile("" ::: "memory");
	w->path_words = memory;
	w->max_path_words = nr_words(level);
	w->path_mask = nr_sets(level) - 1;
	w->nr_path_words = 0;
	w->nr_replaced = 0;
	w->level = level;
	w->is_small = false;
	__asm__ volatile("" ::: "memory");
	w->keys = (struct walk_keys *)(void *)(w->path_words + nr_words(level));
	w->paths = (struct walk_path *)(void *)(w->keys + nr_sets(level));
}

static __attribute__((noinline)) void forget_paths(struct walk *w)
{
	uint32_t i, nr = w->paths ? (w->path_mask + 1) * WALK_WAYS : 0;

	for (i = 0; i < nr; i++)
		w->paths[i].id = 0;
	w->nr_path_words = 0;
}

/*
 * Of the words that prove frames[0] to frames[nr - 1] the last one that is no longer what it was.
 * Return: how many there are up to and with that one, 0 if all are as they were.
 */
static inline uint32_t find_changed(const struct walk *w, uint32_t nr)
{
	uint32_t i = nr ? w->frames[nr - 1].nr_words : 0;

	for (; i; i--) {
		if (read_word(w->words[i - 1].addr) != w->words[i - 1].value)
			break;
	}
	return i;
}

/* Is frames[*kept - 1] in this state, and are its callers what they were? Takes off what they aren't. */
static inline bool is_as_it_was(const struct walk *w, const struct walk_frame *at, uint32_t *kept)
{
	const struct walk_frame *frame;
	uint32_t changed;

	while (*kept && w->frames[*kept - 1].sp < at->sp)
		--*kept;
	if (!*kept)
		return false;
	frame = &w->frames[*kept - 1];
	if (at->ip != frame->ip || at->sp != frame->sp || (frame->needs_bp && at->bp != frame->bp))
		return false;
	changed = find_changed(w, *kept - 1);
	if (__builtin_expect(!changed, true))
		return true;
	while (*kept && w->frames[*kept - 1].nr_words >= changed)
		--*kept;
	return false;
}

/* Rules were forgotten: what was found by them goes, too. */
static __attribute__((noinline)) void forget(struct walk *w)
{
	w->nr = 0;
	forget_paths(w);
	w->generation = cfi_generation();
}

/* The key's frames where some are found by rbp; the first ones are stepped through again. */
static __attribute__((noinline)) uint64_t find_key_by_bp(const struct walk_frame *from, uintptr_t end)
{
	struct walk_frame at = *from, next;
	uint64_t key = FIRST_KEY(from), rule;
	int i;

	for (i = 0; i < KEY_FRAMES; i++) {
		rule = cfi_rule(at.ip);
		if (rule & (CFI_NOT_SIMPLE | CFI_BOTTOM) || !step(&at, rule, end, &next))
			break;
		at = next;
		key = NEXT_KEY(key, at.ip);
	}
	return key;
}

/* Enough of the innermost frames to tell most stacks apart. Nothing is proved here. */
static inline uint64_t find_key(const struct walk_frame *from, uintptr_t end)
{
	uintptr_t ip = from->ip, sp = from->sp;
	uint64_t key = FIRST_KEY(from), rule;
	int i;

	for (i = 0; i < KEY_FRAMES; i++) {
		rule = cfi_rule(ip);
		if (__builtin_expect(rule & (CFI_OF_BP | CFI_NOT_SIMPLE | CFI_BOTTOM), false))
			return find_key_by_bp(from, end);
		sp += CFI_CFA_WORDS(rule) * WORD;
		if (__builtin_expect(sp > end, false))
			break;
		ip = read_word(sp - WORD);
		key = NEXT_KEY(key, ip);
	}
	return key;
}

static inline bool path_holds(const struct walk *w, const struct walk_path *path)
{
	const struct walk_word *word = &w->path_words[path->first_word], *end = word + path->nr_words;
	uintptr_t changed = 0;

	/* Two at a time, and no branch for each. */
	for (; end - word >= 2; word += 2)
		changed |= (read_word(word[0].addr) ^ word[0].value) |
			   (read_word(word[1].addr) ^ word[1].value);
	if (word < end)
		changed |= read_word(word->addr) ^ word->value;
	return !changed;
}

uint32_t walk_recall(struct walk *w, const struct walk_frame *from, uintptr_t end, uint64_t *ret_key)
{
	const struct walk_path *path;
	uint64_t key;
	uint32_t set;
	int way;

	if (__builtin_expect(w->generation != cfi_generation(), false))
		forget(w);
	key = find_key(from, end);
	*ret_key = key;
	if (__builtin_expect(!w->paths, false))
		return 0;
	set = key >> 32 & w->path_mask;
	for (way = 0; way < WALK_WAYS; way++) {
		if (w->keys[set].key[way] != key)
			continue;
		path = &w->paths[set * WALK_WAYS + (uint32_t)way];
		if (path->id && path->ip == from->ip && path->sp == from->sp &&
		    (!path->needs_bp || path->bp == from->bp) && path_holds(w, path))
			return path->id;
	}
	return 0;
}

/* A free one, or the one that was kept first. */
static struct walk_path *victim(struct walk_path *set)
{
	struct walk_path *oldest = set, *path;

	for (path = set; path < set + WALK_WAYS; path++) {
		if (!path->id)
			return path;
		if (path->turn < oldest->turn)
			oldest = path;
	}
	return oldest;
}

void walk_remember(struct walk *w, uint64_t key, uint32_t id)
{
	struct walk_path *path;
	const struct walk_frame *frame = w->nr ? &w->frames[w->nr - 1] : NULL;
	uint32_t nr, i, first, set;

	if (!frame || !w->paths)
		return;
	/* The innermost frame's own word is not needed: that frame is given. */
	nr = w->nr > 1 ? frame[-1].nr_words : 0;
	set = key >> 32 & w->path_mask;
	path = victim(&w->paths[set * WALK_WAYS]);
	if (path->id && ++w->nr_replaced > (w->path_mask + 1) * WALK_WAYS)
		w->is_small = true;
	/* The words of the one that was here will do, if they are as many. */
	first = path->id && path->nr_words == nr ? path->first_word : w->nr_path_words;
	path->id = 0;
	w->keys[set].key[path - &w->paths[set * WALK_WAYS]] = key;
	if (first == w->nr_path_words) {
		if (nr > w->max_path_words - first) {
			w->is_small = true;
			forget_paths(w);
			first = 0;
		}
		w->nr_path_words += nr;
	}
	__asm__ volatile("" ::: "memory");
	*path = (struct walk_path){ .ip = frame->ip, .sp = frame->sp, .bp = frame->bp,
				    .nr_words = (uint16_t)nr, .needs_bp = frame->needs_bp,
				    .first_word = first, .turn = w->turn++ };
	for (i = 0; i < nr; i++)
		w->path_words[first + i] = w->words[i];
	__asm__ volatile("" ::: "memory");
	path->id = id;
}

int walk_take(struct walk *w, const struct walk_frame *from, uintptr_t end)
{
	struct walk_frame *at = w->fresh;
	uint32_t kept;
	int nr;

	if (__builtin_expect(w->generation != cfi_generation(), false))
		forget(w);
	kept = w->nr;
	at->ip = from->ip;
	at->sp = from->sp;
	at->bp = from->bp;
	at->bp_slot = 0;
	for (nr = 0; nr < WALK_MAX - 1; nr++, at++) {
		uint64_t rule;

		if (is_as_it_was(w, at, &kept)) {
			w->nr = kept;
			return nr;
		}
		rule = cfi_rule(at->ip);
		at->needs_bp = rule & CFI_OF_BP;
		at->is_own = rule & CFI_OWN;
		if (__builtin_expect(rule & (CFI_NOT_SIMPLE | CFI_BOTTOM), false)) {
			if (rule & CFI_NOT_SIMPLE)
				break;
			w->nr = 0;
			return nr + 1;
		}
		if (!step(at, rule, end, at + 1))
			break;
	}
	return WALK_GIVES_UP;
}

int walk_partly(const struct walk_frame *from, uintptr_t end, void **ips, int max)
{
	struct walk_frame at = *from, next;
	int nr = 0, steps;
	uint64_t rule;

	for (steps = 0; nr < max && steps < WALK_MAX; steps++) {
		rule = cfi_rule(at.ip);
		if (!(rule & CFI_OWN))
			ips[nr++] = (void *)at.ip;
		if (rule & (CFI_NOT_SIMPLE | CFI_BOTTOM) || !step(&at, rule, end, &next))
			break;
		at = next;
	}
	return nr;
}

/* Frame @k is complete but for what follows from the frame further out. */
static inline void link_outwards(struct walk *w, uint32_t k)
{
	struct walk_frame *frame = &w->frames[k], *outer = frame - 1;
	uint16_t nr = k ? outer->nr_words : 0;

	if (k && !outer->bp_slot)
		frame->needs_bp |= outer->needs_bp;
	w->words[nr++] = (struct walk_word){ frame->sp - WORD, frame->ip };
	if (frame->needs_bp && frame->bp_slot)
		w->words[nr++] = (struct walk_word){ frame->bp_slot, frame->bp };
	frame->nr_words = nr;
	frame->depth = (uint16_t)((k ? outer->depth : 0) + !frame->is_own);
}

void walk_keep(struct walk *w, int nr)
{
	uint32_t k = w->nr;

	if (k + (uint32_t)nr > WALK_MAX)
		return;
	/* The frame met was reached by another way: its rbp may have been found elsewhere. */
	if (k && nr) {
		w->nr = --k;
		w->frames[k].bp = w->fresh[nr].bp;
		w->frames[k].bp_slot = w->fresh[nr].bp_slot;
		link_outwards(w, k++);
	}
	while (nr--) {
		w->frames[k] = w->fresh[nr];
		link_outwards(w, k++);
	}
	w->nr = k;
}
