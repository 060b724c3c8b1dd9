/* SPDX-License-Identifier: MIT */
/* From the unwinder's frames to a stack id, with a cache per thread in front of the tree. */
#include "capture.h"

#include <signal.h>
#include <sys/syscall.h>

#include "config.h"
#include "lock.h"
#include "modules.h"
#include "stacks.h"
#include "sys.h"
#include "thread.h"
#include "unwind.h"

#include "no_heap.h"

#define UNWIND_ROOM 14336	/* bytes of stack that the unwinder may need */

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

static uint32_t intern(struct thread *t, void *const *ips, int nr, bool cut)
{
	struct lock_state state;
	uint32_t id;

	/* Before the lock: it asks the loader. */
	thread_gate_enter(t);
	modules_refresh();
	thread_gate_leave(t);
	lock_take(&state);
	id = stacks_intern(ips, nr, cut);
	lock_drop(&state);
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

bool capture_find_code(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end)
{
	const struct vma *vma;
	struct lock_state state;

	if (tls.locked)
		return false;
	lock_take(&state);
	vma = vma_lookup(&capture_mm, addr);
	if (vma && (vma->vm_flags & (VM_READ | VM_EXEC)) == (VM_READ | VM_EXEC)) {
		*ret_start = vma->vm_start;
		*ret_end = vma->vm_end;
	} else {
		vma = NULL;
	}
	lock_drop(&state);
	return vma;
}

static int unwind(struct thread *t, void **ips, int max, bool *ret_cut)
{
	int nr;

	thread_gate_enter(t);
	tls.unwinding = true;
	nr = unwind_stack(ips, max, ret_cut);
	tls.unwinding = false;
	thread_gate_leave(t);
	return nr;
}

/* Apart from its caller, so that the room for frames is taken only where there is room. */
static __attribute__((noinline)) uint32_t take_stack(struct thread *t)
{
	void *ips[UNWIND_MAX];
	uint64_t hash;
	uint32_t id, i;
	bool cut;
	int nr;

	nr = unwind(t, ips, (int)config.stacks, &cut);
	if (!t)
		return intern(NULL, ips, nr, cut);
	hash = hash_stack(ips, nr);
	i = hash & (THREAD_STACKS - 1);
	if (t->stacks[i].id && t->stacks[i].hash == hash &&
	    stacks_equal(t->stacks[i].id, ips, nr, cut))
		return t->stacks[i].id;
	id = intern(t, ips, nr, cut);
	t->stacks[i].hash = hash;
	t->stacks[i].id = id;
	return id;
}

uint32_t capture_stack(void)
{
	struct thread *t;

	if (!config.stacks || tls.unwinding)
		return 0;
	t = thread_self();
	return t && is_tight(t) ? 0 : take_stack(t);
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
	nr = unwind(t, ips, 2, &cut);
	for (i = 0; i < nr; i++)
		ret_ips[i] = (uint64_t)(uintptr_t)ips[i];
}
