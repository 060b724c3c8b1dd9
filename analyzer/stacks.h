/* SPDX-License-Identifier: MIT */
/*
 * The stack tree of a trace and the modules its addresses belong to.
 *
 * A node is one frame; its parent is its caller. Ids are given out in order by the recorder, a
 * parent always before its children, so that following parents ends whatever the trace says. A node
 * keeps the module that was loaded at its address when it was defined: later the address may belong
 * to another one.
 */
#ifndef VMTRACE_ANALYZER_STACKS_H
#define VMTRACE_ANALYZER_STACKS_H

#include "record.h"

#define STACKS_NO_MODULE UINT32_MAX

struct module {
	char *path, *build_id;		/* build_id: lower-case hex or NULL */
	char *soname;			/* or NULL */
	uint64_t base;			/* load bias */
	uint64_t start, end;		/* of its first and last segment */
	struct rec_range relro;
	bool own, exec_stack, has_relro;
};

struct stack_node {
	uint64_t ip;			/* a return address; 0: the stack was cut off here */
	uint32_t parent;		/* 0: outermost */
	uint32_t module;		/* index or STACKS_NO_MODULE */
};

struct loaded;				/* a segment of a module that is loaded now */

struct stacks {
	struct stack_node *nodes;	/* nodes[id - 1] */
	size_t nr_nodes, cap_nodes;
	struct module *modules;
	size_t nr_modules, cap_modules;
	struct loaded *loaded;		/* by address */
	size_t nr_loaded, cap_loaded;
};

void stacks_init(struct stacks *stacks);
void stacks_fini(struct stacks *stacks);
void stacks_add_module(struct stacks *stacks, const struct rec_module *m);
void stacks_add(struct stacks *stacks, const struct rec_stack *st);

/*
 * The first module loaded now whose segments reach into the pages [start, end), or NULL.
 * @ret_flags: VM_READ|VM_WRITE|VM_EXEC of its segments there; 0 between them.
 */
const struct module *stacks_module_in(const struct stacks *stacks, uint64_t start, uint64_t end,
				      uint64_t *ret_flags);

/* Index of the module loaded now at @addr, with its segment's flags, or STACKS_NO_MODULE. */
uint32_t stacks_module_at(const struct stacks *stacks, uint64_t addr, uint64_t *ret_flags);

/* Node @id, or NULL for 0 and for ids that were never defined. */
const struct stack_node *stacks_node(const struct stacks *stacks, uint32_t id);

#endif
