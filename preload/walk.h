/* SPDX-License-Identifier: MIT */
/*
 * The call stack of a thread, as far as it differs from those before.
 *
 *     outermost                                             innermost
 *     frames[0]  frames[1] … frames[common - 1]  ◀─ fresh[nr - 1] … fresh[0]
 *     └──────── as it was: proved ───────────┘  └── stepped through by rule ──┘
 *
 * A frame's caller is a function of the frame's ip, stack pointer and (if the code around it uses one)
 * frame pointer, and of the one or two words of the stack at which the rule (cfi.h) looks. So where a
 * frame is in the state in which it was, and all words that its callers were found by are what they
 * were, its callers are what they were. Each of those words is read again each time.
 *
 * Whole stacks that were met lately are kept as well, and proved in the same way: from one found by its
 * innermost frames all words are read again.
 *
 * What can't be proved so is not walked: the caller has another unwinder for it.
 */
#ifndef VMTRACE_WALK_H
#define VMTRACE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cfi.h"
#include "paths.h"

#define WALK_MAX 512	/* frames */
#define WALK_GIVES_UP -1
#define WALK_FORGETS UINT32_MAX	/* the generation of what is no longer true */

struct walk_frame {
	uintptr_t ip;		/* return address into the frame's code */
	uintptr_t sp;		/* once returned to; the word below holds the ip */
	uintptr_t bp;		/* rbp there, garbage where no caller needs it */
	uintptr_t bp_slot;	/* where that came from, 0: it was not changed further in */
	uint32_t node;		/* the caller's: what it calls the stack up to here */
	uint16_t nr_words;	/* words to prove of this frame and those further out */
	uint16_t depth;		/* of the stack up to here, vmtrace's frames not counted */
	bool needs_bp;		/* a frame from here outwards is found by rbp */
	bool is_own;		/* vmtrace's code */
};

struct walk {
	uint32_t generation;	/* of the rules, with which all was found */
	volatile uint32_t nr;	/* frames; written last, so that a jump out of here leaves a whole */

	struct paths paths;	/* whole stacks */

	struct walk_frame frames[WALK_MAX];
	struct path_word words[2 * WALK_MAX];
	struct walk_frame fresh[WALK_MAX];
};

/* The innermost frame: the caller of the function whose __builtin_frame_address(0) this is. */
static inline void walk_from(struct walk_frame *ret, const void *frame)
{
	const uintptr_t *words = (const uintptr_t *)frame;

	ret->ip = words[1];
	ret->sp = (uintptr_t)(words + 2);
	ret->bp = words[0];
}

#define WALK_WORD sizeof(uintptr_t)
#define WALK_KEY_FRAMES 3
#define WALK_FIRST_KEY(from) ((from)->sp ^ (from)->ip << 20)
#define WALK_NEXT_KEY(key, ip) (((key) ^ (ip)) * 0x9e3779b97f4a7c15ull)

/* Rules were forgotten: what was found by them goes, too. */
void walk_forget(struct walk *w);
/* The key where some of its frames are found by rbp. */
uint64_t walk_key_by_bp(const struct walk_frame *from, uintptr_t end);

static inline uintptr_t walk_read(uintptr_t addr)
{
	return *(const path_stack_word *)addr;
}

/* Enough of the innermost frames to tell most stacks apart. Nothing is proved here. */
static inline uint64_t walk_key(const struct walk_frame *from, uintptr_t end)
{
	uintptr_t ip = from->ip, sp = from->sp;
	uint64_t key = WALK_FIRST_KEY(from), rule;
	int i;

	for (i = 0; i < WALK_KEY_FRAMES; i++) {
		rule = cfi_rule(ip);
		if (__builtin_expect(rule & (CFI_OF_BP | CFI_NOT_SIMPLE | CFI_BOTTOM), false))
			return walk_key_by_bp(from, end);
		sp += CFI_CFA_WORDS(rule) * WALK_WORD;
		if (__builtin_expect(sp > end, false))
			break;
		ip = walk_read(sp - WALK_WORD);
		key = WALK_NEXT_KEY(key, ip);
	}
	return key;
}

/**
 * walk_recall() - Is this a stack that was met before?
 * @w, @from, @end: as for walk_take().
 * @ret_key: what walk_remember() wants to know of it if not.
 *
 * Context: as walk_take().
 * Return: its id, or 0.
 */
static inline uint32_t walk_recall(struct walk *w, const struct walk_frame *from, uintptr_t end,
				   uint64_t *ret_key)
{
	uint32_t id;

	if (__builtin_expect(w->generation != cfi_generation(), false))
		walk_forget(w);
	id = paths_guess(&w->paths, from->ip, from->sp, from->bp);
	if (id)
		return id;
	*ret_key = walk_key(from, end);
	return paths_find(&w->paths, *ret_key, from->ip, from->sp, from->bp);
}

/* The stack found by walk_take() and kept by walk_keep() is called @id, not 0. */
void walk_remember(struct walk *w, uint64_t key, uint32_t id);

/**
 * walk_take() - Find the frames of a stack.
 * @w:    the thread's.
 * @from: ip, sp and bp of the innermost frame.
 * @end:  where the stack's memory ends: nothing above is read.
 *
 * Leaves w->nr at the frames, outermost first, that are as they were, and those further in in w->fresh,
 * innermost first. Of the latter node and depth are not set.
 *
 * Context: any; no lock, no system call. Not from within itself.
 * Return: number of fresh frames, or WALK_GIVES_UP.
 */
int walk_take(struct walk *w, const struct walk_frame *from, uintptr_t end);

/**
 * walk_partly() - The frames that can be found by rule alone, innermost first, vmtrace's left out.
 * @ret_rule: of the last one.
 *
 * Context: as walk_take(). Return: how many.
 */
int walk_partly(const struct walk_frame *from, uintptr_t end, void **ips, int max, uint64_t *ret_rule);

/**
 * walk_keep() - Append the fresh frames, whose nodes the caller has set, for the next time.
 * Context: as walk_take(), whose result @nr is.
 */
void walk_keep(struct walk *w, int nr);

#endif
