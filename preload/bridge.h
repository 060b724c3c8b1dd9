/* SPDX-License-Identifier: MIT */
/*
 * Over a place where the unwinder ends although the stack does not: from a frame whose code has no
 * unwind information to one further out from where it can go on.
 *
 * Two kinds of such places are known:
 *
 *     a stack was switched          compiled code whose frame pointer is a register like any other
 *
 *     F calls switch ─┐              interpreter ◀─ saved by the compiled function's first push
 *                     ▼                  ⋮                                  ▲
 *     other stack: switch calls G    compiled code calls G                  │ found by looking up
 *     bp still F's                   bp anything                        sp ─┘ from where it ends
 *
 * Nothing is believed because it looks like an address: a slot is read only through the kernel, a
 * return address lies in executable memory behind a call, a frame is linked to one further out. What
 * is passed over nevertheless is said.
 */
#ifndef VMTRACE_BRIDGE_H
#define VMTRACE_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#define BRIDGE_FRAMES 2
#define BRIDGE_WORDS 64		/* of the stack, read at once */

/* Registers of a frame: @ip is a return address, @sp what it is once that was popped. */
struct bridge_frame {
	uintptr_t ip, sp, bp;
};

struct bridge {
	enum {
		BRIDGE_NEXT,		/* the caller, on the same stack */
		BRIDGE_SWITCH,		/* the caller, on another one */
		BRIDGE_GAP,		/* frames between may be missing */
	} kind;
	uintptr_t ips[BRIDGE_FRAMES];	/* of the frames found, innermost first */
	int nr;
	struct bridge_frame next;	/* the outermost of them: to go on from */
};

/*
 * The executable and readable mapping that holds @addr. Return: false if there is none. Given by
 * who knows the map.
 */
typedef bool bridge_code_fn(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end);

/* One walk over one stack: what was asked of the kernel and the map meanwhile. */
struct bridge_walk {
	bridge_code_fn *find_code;
	int pid;
	uintptr_t code_start, code_end;		/* the mapping asked for last */
	uintptr_t words_start, words_end;	/* addresses of @words */
	uintptr_t words[BRIDGE_WORDS];
};

void bridge_begin(struct bridge_walk *walk, bridge_code_fn *find_code);

/* Is @ret behind a call in executable memory? Context: as bridge_cross(). */
bool bridge_is_return(struct bridge_walk *walk, uintptr_t ret);

/**
 * bridge_cross() - Go on from a frame that can't be unwound.
 * @at: that frame.
 *
 * Context: hook path, and what the walk's function needs besides. It costs a few system calls where
 * the stack is switched, and seldom any from frame to frame: what was found out about a return
 * address is kept.
 * Return: false if nothing was found that can be believed, with @ret in any state.
 */
bool bridge_cross(struct bridge_walk *walk, const struct bridge_frame *at, struct bridge *ret);

/* Facts about return addresses, found out once; any may be forgotten. */
enum bridge_fact {
	BRIDGE_IS_RETURN = 1,
	BRIDGE_HAS_INFO = 2,	/* unwind information */
	BRIDGE_HAS_NO_INFO = 4,
	BRIDGE_IS_BOTTOM = 8,	/* the unwind information says that nothing is above it */
	BRIDGE_IS_SWITCH = 16,	/* behind a call to what switches stacks, in a frame of known size */
};

unsigned int bridge_facts(uintptr_t ret);
void bridge_learn(uintptr_t ret, unsigned int facts);
/* Code came or went. */
void bridge_forget(void);

#endif
