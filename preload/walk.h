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

#define WALK_MAX 512	/* frames */
#define WALK_GIVES_UP -1
#define WALK_FORGETS UINT32_MAX	/* the generation of what is no longer true */
#define WALK_WAYS 4
#define WALK_LEVELS 3		/* sizes of the memory for whole stacks */

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

struct walk_word {
	uintptr_t addr, value;
};

/* Hashes of innermost frames: in one cache line, for most are not the one looked for. */
struct walk_keys {
	uint64_t key[WALK_WAYS];
};

/* A whole stack: its innermost frame, and the words that prove all others. */
struct walk_path {
	uintptr_t ip, sp, bp;
	uint32_t id;		/* the caller's name for it; 0: none is kept here */
	uint32_t turn;		/* the least was kept first */
	uint32_t first_word;
	uint16_t nr_words;
	bool needs_bp;
};

struct walk {
	uint32_t generation;	/* of the rules, with which all was found */
	volatile uint32_t nr;	/* frames; written last, so that a jump out of here leaves a whole */

	/* Whole stacks, in sets of WALK_WAYS, and their words. */
	struct walk_keys *keys;
	struct walk_path *paths;
	struct walk_word *path_words;
	uint32_t path_mask;		/* sets, less one */
	uint32_t max_path_words, nr_path_words;
	uint32_t turn, nr_replaced;
	unsigned int level;		/* of that memory, from 1; 0: there is none yet */
	bool is_small;			/* more would be used */

	struct walk_frame frames[WALK_MAX];
	struct walk_word words[2 * WALK_MAX];
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

/**
 * walk_recall() - Is this a stack that was met before?
 * @w, @from, @end: as for walk_take().
 * @ret_key: what walk_remember() wants to know of it if not.
 *
 * Context: as walk_take().
 * Return: its id, or 0.
 */
uint32_t walk_recall(struct walk *w, const struct walk_frame *from, uintptr_t end, uint64_t *ret_key);

/**
 * walk_paths_bytes() - Memory for whole stacks, of one of WALK_LEVELS sizes, from 1.
 * walk_use_paths() - Take it into use.
 * @memory: zeroed, aligned to 16 bytes; not given back.
 */
size_t walk_paths_bytes(unsigned int level);
void walk_use_paths(struct walk *w, void *memory, unsigned int level);

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
 * Context: as walk_take(). Return: how many.
 */
int walk_partly(const struct walk_frame *from, uintptr_t end, void **ips, int max);

/**
 * walk_keep() - Append the fresh frames, whose nodes the caller has set, for the next time.
 * Context: as walk_take(), whose result @nr is.
 */
void walk_keep(struct walk *w, int nr);

#endif
