/* SPDX-License-Identifier: MIT */
/*
 * Random programs: a sequence of numbered steps, each of which changes the address space, touches
 * memory, or changes what the next ones meet (files, limits, processes).
 *
 * Every step draws from a generator seeded by (seed, salt, step) alone, so that steps can be left
 * out when a failure is minimised. What earlier steps left behind (attachments, descriptors, the
 * window) is state: a step whose predecessor was left out does something else, or nothing.
 *
 * The same steps are made in two ways. The runner says how a call reaches the kernel (make) and
 * may want to see each call of a step that makes thousands (bulk).
 */
#ifndef VMTRACE_TEST_GENERATOR_H
#define VMTRACE_TEST_GENERATOR_H

#include <sys/types.h>

#include "vmtrace/mm.h"

#define STEP_TEXT_MAX 512
#define TOUCHES_MAX 8
#define NR_ATTACHED 8
#define NR_FLOATING 24
#define NR_UFFDS 2

enum step_kind {
	STEP_CALL,	/* a call the model knows */
	STEP_TOUCH,	/* page faults */
	STEP_FORK,	/* left to the runner */
	STEP_SPAWN,	/* vfork(2), posix_spawn(3), by step number; left to the runner, too */
	STEP_LIMIT,	/* a resource limit was set */
	STEP_OTHER,	/* nothing the model needs to know: a file was truncated, ... */
};

enum touch_how {
	TOUCH_LOAD, TOUCH_STORE,		/* by the CPU */
	TOUCH_KERNEL_READ, TOUCH_KERNEL_WRITE,	/* pwrite(2) from it, read(2) into it */
	TOUCH_VM_WRITEV,			/* process_vm_writev(2) */
	TOUCH_MEM,				/* by /proc/self/mem, which asks for no permission */
	TOUCH_NR,
};

struct touch {
	uint64_t addr;
	enum touch_how how;
	bool failed;
};

struct step {
	enum step_kind kind;
	struct mm_call call;		/* STEP_CALL */
	struct vma_file file;
	struct mm_range range;		/* process_madvise()'s */
	bool wants_file;		/* the line at call.ret says what is behind it */
	bool volatile_result;		/* success depends on more than the program */
	uint64_t start, end;		/* STEP_TOUCH: where stacks may have grown */
	struct touch touch[TOUCHES_MAX];
	unsigned int nr_touches;
	int resource;			/* STEP_LIMIT */
	uint64_t limit;
	const char *what;		/* STEP_OTHER, as it would be written */
};

struct generator;

/* Makes a call, by whatever way. Return: as the kernel has it, -errno on failure; brk: the break. */
typedef long generator_make(struct generator *g, enum mm_op op, long nr, const uint64_t arg[6]);

/* Shows one of the many calls of one step. */
typedef void generator_bulk(struct generator *g, struct step *s);

struct generator {
	/* The runner's. */
	generator_make *make;
	generator_bulk *bulk;
	uint64_t seed, salt;
	unsigned int id;		/* which window it lives in */
	bool is_main;			/* may change what belongs to the whole process */
	bool forks, limits;
	uint64_t crowd_step;		/* where some seeds fill the map up to its limit */
	void *runner;

	uint64_t rng;
	uint64_t window, stacks;
	uint64_t brk_low, brk, start_stack;
	unsigned int nr_seals;
	uint64_t attached[NR_ATTACHED], floating[NR_FLOATING], floating_len[NR_FLOATING];
	unsigned int nr_attached, nr_floating;
	uint64_t aio_ring;
	int uffd[NR_UFFDS];		/* -1: not open */
	bool uffd_used[NR_UFFDS];	/* something was registered with it */
	int limited;			/* resource with a limit, or -1 */
	uint64_t limit_before;
	bool crowded;
	bool forking;			/* soon, once no userfaultfd is open */
};

/** objects_init() - Open the files, segments and handlers all generators share. Return: 0, -errno. */
int objects_init(void);
void objects_fini(void);

/** objects_forked() - In the child: open what stands for the process itself. */
void objects_forked(void);

/** generator_init() - @id keeps generators of one process apart. The runner's fields are zeroed. */
void generator_init(struct generator *g, uint64_t seed, unsigned int id);

/** generator_step() - Make step @nr. Some steps can't be made yet: they are STEP_OTHER, unnamed. */
void generator_step(struct generator *g, uint64_t nr, struct step *ret_step);

/** step_text() - The step as a line of C, without newline. Return: @buf. */
const char *step_text(const struct step *s, char buf[STEP_TEXT_MAX]);

const char *op_name(enum mm_op op);

#endif
