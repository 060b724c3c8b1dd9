/* SPDX-License-Identifier: MIT */
/* Steps outwards by rule until a frame is met that the last stack has in the same state. */
#include "walk.h"

#include <stddef.h>

#include "cfi.h"

#include "no_heap.h"

#define WORD WALK_WORD

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
	ret->ip = walk_read(cfa - WORD);
	ret->sp = cfa;
	ret->bp = at->bp;
	ret->bp_slot = 0;
	if (bp_slot != cfa) {
		if (__builtin_expect(bp_slot < at->sp, false))
			return false;
		ret->bp = walk_read(bp_slot);
		ret->bp_slot = bp_slot;
	}
	return true;
}

/*
 * Of the words that prove frames[0] to frames[nr - 1] the last one that is no longer what it was.
 * Return: how many there are up to and with that one, 0 if all are as they were.
 */
static inline uint32_t find_changed(const struct walk *w, uint32_t nr)
{
	uint32_t i = nr ? w->frames[nr - 1].nr_words : 0;

	for (; i; i--) {
		if (walk_read(w->words[i - 1].addr) != w->words[i - 1].value)
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

void walk_forget(struct walk *w)
{
	w->nr = 0;
	paths_forget(&w->paths);
	w->generation = cfi_generation();
}

uint64_t walk_key_by_bp(const struct walk_frame *from, uintptr_t end)
{
	struct walk_frame at = *from, next;
	uint64_t key = WALK_FIRST_KEY(from), rule;
	int i;

	for (i = 0; i < WALK_KEY_FRAMES; i++) {
		rule = cfi_rule(at.ip);
		if (rule & (CFI_NOT_SIMPLE | CFI_BOTTOM) || !step(&at, rule, end, &next))
			break;
		at = next;
		key = WALK_NEXT_KEY(key, at.ip);
	}
	return key;
}

void walk_remember(struct walk *w, uint64_t key, uint32_t id)
{
	const struct walk_frame *frame = w->nr ? &w->frames[w->nr - 1] : NULL;

	/* The innermost frame's own word is not needed: that frame is given. */
	if (frame)
		paths_keep(&w->paths, key, frame, w->words, w->nr > 1 ? frame[-1].nr_words : 0, id);
}

int walk_take(struct walk *w, const struct walk_frame *from, uintptr_t end)
{
	struct walk_frame *at = w->fresh;
	uint32_t kept;
	int nr;

	if (__builtin_expect(w->generation != cfi_generation(), false))
		walk_forget(w);
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

int walk_partly(const struct walk_frame *from, uintptr_t end, void **ips, int max, uint64_t *ret_rule)
{
	struct walk_frame at = *from, next;
	int nr = 0, steps;
	uint64_t rule = 0;

	for (steps = 0; nr < max && steps < WALK_MAX; steps++) {
		rule = cfi_rule(at.ip);
		if (!(rule & CFI_OWN))
			ips[nr++] = (void *)at.ip;
		if (rule & (CFI_NOT_SIMPLE | CFI_BOTTOM) || !step(&at, rule, end, &next))
			break;
		at = next;
	}
	*ret_rule = rule;
	return nr;
}

/* Frame @k is complete but for what follows from the frame further out. */
static inline void link_outwards(struct walk *w, uint32_t k)
{
	struct walk_frame *frame = &w->frames[k], *outer = frame - 1;
	uint16_t nr = k ? outer->nr_words : 0;

	if (k && !outer->bp_slot)
		frame->needs_bp |= outer->needs_bp;
	w->words[nr++] = (struct path_word){ frame->sp - WORD, frame->ip };
	if (frame->needs_bp && frame->bp_slot)
		w->words[nr++] = (struct path_word){ frame->bp_slot, frame->bp };
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
