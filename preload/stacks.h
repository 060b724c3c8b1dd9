/* SPDX-License-Identifier: MIT */
/*
 * Call stacks, interned as a tree: equal stacks are one id, shared outer frames are shared nodes.
 *
 * Nodes never change once they have an id, so that a thread may compare a stack with an interned
 * one, and find known ones, without a lock.
 */
#ifndef VMTRACE_STACKS_H
#define VMTRACE_STACKS_H

#include <stdbool.h>
#include <stdint.h>

struct walk_frame;

/* Room for nodes in the arena. Return: false without memory. Context: startup. */
bool stacks_init(void);
/* Forget everything: a fork child's trace begins with no nodes. */
void stacks_reset(void);

/**
 * stacks_intern() - The id of a stack, writing `stack` events for nodes that are new.
 * @parent: the stack that these frames are inside of, 0: they are all.
 * @ips: innermost first, NULL where frames may be missing. @cut: the outermost frame is not the stack's end.
 *
 * Context: under the capture lock.
 * Return: the id, 0 for an empty stack or a full table (which is counted).
 */
uint32_t stacks_intern(uint32_t parent, void *const *ips, int nr, bool cut);

/* Is @id exactly this stack? Context: any. */
bool stacks_equal(uint32_t id, void *const *ips, int nr, bool cut);

/**
 * stacks_descend() - Find the nodes of frames inside of @outer, and set them.
 * @fresh: innermost first; vmtrace's own are no part of the stack.
 *
 * Context: any.
 * Return: false if one of them is not known yet.
 */
bool stacks_descend(uint32_t outer, struct walk_frame *fresh, int nr);

/* The two innermost return addresses of @id; 0 where there is none. Context: any. */
void stacks_innermost(uint32_t id, uint64_t ret_ips[2]);

#endif
