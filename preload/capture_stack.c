/* SPDX-License-Identifier: MIT */
/*
 * From frames to a stack id. Most stacks are walked by rule, from the last one's frames on; what can't
 * be, goes to the unwinder. In front of the tree of stacks each thread has a table of its own.
 */
#include "capture.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "arena.h"
#include "cfi.h"
#include "config.h"
#include "lock.h"
#include "modules.h"
#include "stacks.h"
#include "sys.h"
#include "thread.h"
#include "unwind.h"

#include "no_heap.h"

#define UNWIND_ROOM 14336	/* bytes of stack that the unwinder may need */

static uintptr_t stack_end;	/* of the main thread, where the kernel has put it */

static uint64_t hash_stack(void *const *ips, int nr)
{
	uint64_t h = (uint64_t)nr;
	int i;

	for (i = 0; i < nr; i++) {
		h = (h ^ (uint64_t)(uintptr_t)ips[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

static uint32_t intern(struct thread *t, uint32_t parent, void *const *ips, int nr, bool cut)
{
	struct lock_state state;
	int err = errno;
	uint32_t id;

	/* Before the lock: it asks the loader. */
	if (thread_gate_enter(t)) {
		modules_refresh();
		thread_gate_leave(t);
	}
	lock_take(&state);
	id = stacks_intern(parent, ips, nr, cut);
	lock_drop(&state);
	errno = err;
	return id;
}

/*
 * Is there too little room on a signal handler's stack of its own (sigaltstack(2))? The kernel is
 * asked only at addresses where the thread's ordinary stack was not seen yet.
 */
static bool is_tight(struct thread *t)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	stack_t alt;

	if (sp >= t->stack_low && sp <= t->stack_high)
		return false;
	if (!sys_call(SYS_sigaltstack, 0, (long)&alt, 0, 0, 0, 0) && alt.ss_flags & SS_ONSTACK)
		return sp - (uintptr_t)alt.ss_sp < UNWIND_ROOM;
	if (!t->stack_high || sp > t->stack_high)
		t->stack_high = sp;
	if (!t->stack_low || sp < t->stack_low)
		t->stack_low = sp;
	return false;
}

/* The mapping of @addr, if it has these flags. */
static bool find_vma_with(uint64_t flags, uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end)
{
	const struct vma *vma;
	struct lock_state state;

	if (tls.locked)
		return false;
	lock_take(&state);
	vma = vma_lookup(&capture_mm, addr);
	if (vma && (vma->vm_flags & flags) == flags) {
		*ret_start = vma->vm_start;
		*ret_end = vma->vm_end;
	} else {
		vma = NULL;
	}
	lock_drop(&state);
	return vma;
}

bool capture_find_code(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end)
{
	return find_vma_with(VM_READ | VM_EXEC, addr, ret_start, ret_end);
}

static bool find_mapping(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end)
{
	return find_vma_with(VM_READ, addr, ret_start, ret_end);
}

/* What can be read of the stack for sure: on one that is not the thread's own, the rest of the page. */
static uintptr_t readable_end(const struct thread *t, uintptr_t sp)
{
	return t && thread_is_on_own_stack(t, sp) ? t->own_high : (sp | (MM_PAGE_SIZE - 1)) + 1;
}

/*
 * By rule alone if the unwinder can't be used now, or must not see what is behind the last frame found
 * so. @t may be NULL, without memory.
 */
static int unwind(struct thread *t, const struct walk_frame *from, void **ips, int max, bool *ret_cut)
{
	int nr, err = errno;
	uint64_t rule;

	nr = walk_partly(from, readable_end(t, from->sp), ips, max, &rule);
	if (rule & CFI_MALFORMED || !thread_gate_enter(t)) {
		*ret_cut = true;
		return nr;
	}
	tls.unwinding = true;
	nr = unwind_stack(ips, max, ret_cut);
	tls.unwinding = false;
	thread_gate_leave(t);
	errno = err;
	return nr;
}

/* The id of a stack, innermost frame first. */
static uint32_t name(struct thread *t, void *const *ips, int nr, bool cut)
{
	uint64_t hash;
	uint32_t id, i;

	if (!t)
		return intern(NULL, 0, ips, nr, cut);
	hash = hash_stack(ips, nr);
	i = hash & (THREAD_STACKS - 1);
	if (t->stacks[i].id && t->stacks[i].hash == hash &&
	    stacks_equal(t->stacks[i].id, ips, nr, cut))
		return t->stacks[i].id;
	id = intern(t, 0, ips, nr, cut);
	t->stacks[i].hash = hash;
	t->stacks[i].id = id;
	return id;
}

/* Apart from its caller, so that the room for frames is taken only where there is room. */
static __attribute__((noinline)) uint32_t unwind_and_name(struct thread *t, const struct walk_frame *from)
{
	void *ips[UNWIND_MAX];
	bool cut;
	int nr = unwind(t, from, ips, (int)config.stacks, &cut);

	return name(t, ips, nr, cut);
}

/*
 * The stack that the thread at @sp runs on, if that is the one it has for its whole life: the main
 * thread's, or the one at whose end its thread descriptor lies. What is between two frames there is
 * mapped. A stack of the program's own making may be gone when it is read again.
 */
static __attribute__((noinline)) bool find_own_stack(struct thread *t, uintptr_t sp)
{
	uintptr_t descriptor = thread_descriptor();
	const struct vma *vma;
	struct lock_state state;
	bool found = false;

	if (tls.locked || thread_is_in_other_process())
		return false;
	lock_take(&state);
	vma = find_vma(&capture_mm, sp);
	if (vma && sp < stack_end && stack_end <= vma->vm_end && stack_end >= vma->vm_start) {
		t->own_low = sp < vma->vm_start ? sp : vma->vm_start;
		t->own_high = stack_end;
		found = true;
	} else if (vma && vma->vm_start <= sp && sp < descriptor && descriptor < vma->vm_end) {
		t->own_low = vma->vm_start;
		t->own_high = descriptor;
		found = true;
	}
	lock_drop(&state);
	return found;
}

/* A stack that is too deep: its innermost frames, of the last stack and the fresh ones. */
static __attribute__((noinline)) uint32_t name_cut(struct thread *t, int nr_fresh)
{
	const struct walk *w = &t->walk;
	void *ips[UNWIND_MAX];
	uint32_t k;
	int nr = 0, i;

	for (i = 0; i < nr_fresh && nr < (int)config.stacks; i++) {
		if (!w->fresh[i].is_own)
			ips[nr++] = (void *)w->fresh[i].ip;
	}
	for (k = w->nr; k && nr < (int)config.stacks; k--) {
		if (!w->frames[k - 1].is_own)
			ips[nr++] = (void *)w->frames[k - 1].ip;
	}
	return name(t, ips, nr, true);
}

/* Fresh frames that the tree of stacks doesn't have. Return: false if the trace can't take them. */
static __attribute__((noinline)) bool add_fresh(struct thread *t, uint32_t outer, int nr_fresh)
{
	void *ips[WALK_MAX];
	int nr = 0, i;

	for (i = 0; i < nr_fresh; i++) {
		if (!t->walk.fresh[i].is_own)
			ips[nr++] = (void *)t->walk.fresh[i].ip;
	}
	return intern(t, outer, ips, nr, false) && stacks_descend(outer, t->walk.fresh, nr_fresh);
}

/* Room for the stacks that the thread comes by: a little at first, more when that was full. */
static __attribute__((noinline)) void grow_paths(struct paths *p)
{
	struct lock_state state;
	void *memory;

	lock_take(&state);
	memory = arena_alloc(paths_bytes(p->level + 1));
	lock_drop(&state);
	if (memory)
		paths_use(p, memory, p->level + 1);
	else
		p->level = PATHS_LEVELS;	/* That was all. */
}

/* What walk_take() has found. Return: its id, 0: the trace can't take it. */
static uint32_t name_walked(struct thread *t, uint64_t key, int nr_fresh)
{
	struct walk *w = &t->walk;
	const struct walk_frame *outer = w->nr ? &w->frames[w->nr - 1] : NULL;
	uint32_t node = outer ? outer->node : 0, depth = outer ? outer->depth : 0;
	int i;

	for (i = 0; i < nr_fresh; i++)
		depth += !w->fresh[i].is_own;
	if (__builtin_expect(depth > config.stacks, false))
		return name_cut(t, nr_fresh);
	if (nr_fresh) {
		if (__builtin_expect(!stacks_descend(node, w->fresh, nr_fresh), false) &&
		    !add_fresh(t, node, nr_fresh))
			return 0;
		node = w->fresh[0].node;
		walk_keep(w, nr_fresh);
	}
	if (__builtin_expect(!w->paths.level || (w->paths.is_small && w->paths.level < PATHS_LEVELS), false))
		grow_paths(&w->paths);
	walk_remember(w, key, node);
	return node;
}

/* Return: false if it can't be walked. */
static bool walk_new(struct thread *t, const struct walk_frame *from, uint64_t key, uint32_t *ret_id)
{
	int nr = walk_take(&t->walk, from, t->own_high);

	if (__builtin_expect(nr == WALK_GIVES_UP, false))
		return false;
	*ret_id = name_walked(t, key, nr);
	return true;
}

static inline bool walk(struct thread *t, const struct walk_frame *from, uint32_t *ret_id)
{
	uint64_t key;

	if (__builtin_expect(!thread_is_on_own_stack(t, from->sp), false) && !find_own_stack(t, from->sp))
		return false;
	*ret_id = walk_recall(&t->walk, from, t->own_high, &key);
	return *ret_id || walk_new(t, from, key, ret_id);
}

static uint32_t unwound(struct thread *t, const struct walk_frame *from)
{
	return t && is_tight(t) ? 0 : unwind_and_name(t, from);
}

uint32_t capture_stack_new(struct thread *t, const struct walk_frame *from, uint64_t key)
{
	uint32_t id;

	return walk_new(t, from, key, &id) ? id : unwound(t, from);
}

uint32_t capture_stack_from(struct thread *t, const struct walk_frame *from)
{
	uint32_t id;

	if (!config.stacks || tls.unwinding)
		return 0;
	return t && !tls.raw_ip && walk(t, from, &id) ? id : unwound(t, from);
}

uint32_t capture_stack(void)
{
	struct walk_frame from;

	/* Our own frames are walked through, and left out. */
	walk_from(&from, __builtin_frame_address(0));
	return capture_stack_from(thread_self(), &from);
}

void capture_stack_init(uintptr_t end)
{
	stack_end = end;
	cfi_init(find_mapping);
	unwind_init(capture_find_code, end);
}

uint32_t capture_stack_of_task(void)
{
	uint32_t stack;

	if (!capture_is_on() || tls.locked || tls.vfork_child)
		return 0;
	tls.depth++;
	stack = capture_stack();
	tls.depth--;
	return stack;
}

void capture_innermost(uint32_t stack, uint64_t ret_ips[2])
{
	struct walk_frame from;
	struct thread *t;
	void *ips[UNWIND_MAX];
	int nr, i;
	bool cut;

	ret_ips[0] = ret_ips[1] = 0;
	if (stack) {
		stacks_innermost(stack, ret_ips);
		return;
	}
	t = thread_self();
	if (tls.unwinding || (t && is_tight(t)))
		return;
	walk_from(&from, __builtin_frame_address(0));
	nr = unwind(t, &from, ips, 2, &cut);
	for (i = 0; i < nr; i++)
		ret_ips[i] = (uint64_t)(uintptr_t)ips[i];
}
