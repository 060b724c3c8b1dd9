/* SPDX-License-Identifier: MIT */
/*
 * The SIGSYS handler: reads the call out of the interrupted registers, hands it to dispatch() and
 * puts the result back. What can't be done from inside a signal handler is done on the saved
 * state: masks and the alternate stack are restored from it at the end; clones that share memory
 * begin in registers copied out of it.
 */
#include "sud.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "arena.h"
#include "capture.h"
#include "dispatch.h"
#include "lock.h"
#include "patch.h"
#include "sys.h"
#include "task.h"
#include "thread.h"

#include "no_heap.h"

#define PR_DISPATCH 59		/* PR_SET_SYSCALL_USER_DISPATCH, and below: linux/prctl.h of 5.11 */
#define PR_DISPATCH_ON 1
#define SELECTOR_ALLOW 0
#define SELECTOR_BLOCK 1
#define CODE_USER_DISPATCH 2	/* si_code SYS_USER_DISPATCH */
#define SIGSYS_BIT (1ull << (SIGSYS - 1))
#define KERNEL_SIGSET_SIZE 8
#define RED_ZONE 128

struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	uint64_t flags;
	void (*restorer)(void);
	uint64_t mask;
};

/* A task that goes on in the program's registers. sud_clone() knows the first member. */
struct sud_task {
	greg_t regs[18];
	enum { TASK_THREAD, TASK_UNKNOWN_TLS, TASK_FORKED, TASK_VFORKED, TASK_PARENT } kind;
	uint32_t stack;
};

static bool on;
static uint64_t text_start, text_end;
static struct kernel_sigaction program_action;	/* SIGSYS as the program set it */

void sud_sigreturn(uint64_t sp) __attribute__((noreturn));
long sud_clone(const uint64_t nr_and_args[7], struct sud_task *child, struct sud_task *parent);
void sud_begin(struct sud_task *task);

bool sud_is_on(void)
{
	return on;
}

void sud_pause(void)
{
	tls.selector = SELECTOR_ALLOW;
}

void sud_resume(void)
{
	if (on)
		tls.selector = SELECTOR_BLOCK;
}

static long arm(void)
{
	long err = sys_call(SYS_prctl, PR_DISPATCH, PR_DISPATCH_ON, (long)text_start,
			    (long)(text_end - text_start), (long)&tls.selector, 0);

	if (!err)
		tls.selector = SELECTOR_BLOCK;
	return err;
}

void sud_arm(void)
{
	if (on)
		arm();
}

/* Return: 0, -EFAULT, leaving @dst as it is. */
static long write_user(uint64_t dst, const void *src, size_t len)
{
	return !dst || sys_write_user((void *)dst, src, len) == len ? 0 : -EFAULT;
}

long sud_sigprocmask(const uint64_t arg[6])
{
	uint64_t set;

	if (!arg[1] || arg[3] != KERNEL_SIGSET_SIZE)
		return sys_forward(SYS_rt_sigprocmask, (long)arg[0], (long)arg[1], (long)arg[2],
				(long)arg[3], 0, 0);
	if (sys_read_user(&set, (const void *)arg[1], sizeof(set)) != sizeof(set))
		return -EFAULT;
	if (arg[0] != SIG_UNBLOCK)
		set &= ~SIGSYS_BIT;
	return sys_forward(SYS_rt_sigprocmask, (long)arg[0], (long)&set, (long)arg[2], (long)arg[3], 0, 0);
}

/* The mask that holds again once our handler returns. */
static long mask_of_context(const uint64_t arg[6], ucontext_t *uc)
{
	uint64_t mask, set;

	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	if (arg[3] != KERNEL_SIGSET_SIZE)
		return -EINVAL;
	if (arg[1]) {
		if (sys_read_user(&set, (const void *)arg[1], sizeof(set)) != sizeof(set))
			return -EFAULT;
		if (arg[0] != SIG_BLOCK && arg[0] != SIG_UNBLOCK && arg[0] != SIG_SETMASK)
			return -EINVAL;
	}
	if (write_user(arg[2], &mask, sizeof(mask)))
		return -EFAULT;
	if (!arg[1])
		return 0;
	mask = arg[0] == SIG_BLOCK ? mask | set : arg[0] == SIG_UNBLOCK ? mask & ~set : set;
	mask &= ~(SIGSYS_BIT | 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1));
	memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
	return 0;
}

long sud_sigaction(const uint64_t arg[6])
{
	struct kernel_sigaction action, old = program_action;

	if (arg[3] != KERNEL_SIGSET_SIZE)
		return -EINVAL;
	if (arg[1] && sys_read_user(&action, (const void *)arg[1], sizeof(action)) != sizeof(action))
		return -EFAULT;
	if (arg[0] != SIGSYS) {
		action.mask &= ~SIGSYS_BIT;
		return sys_forward(SYS_rt_sigaction, (long)arg[0], arg[1] ? (long)&action : 0,
				(long)arg[2], (long)arg[3], 0, 0);
	}
	if (write_user(arg[2], &old, sizeof(old)))
		return -EFAULT;
	if (arg[1])
		program_action = action;
	return 0;
}

/* A SIGSYS that is not ours: a seccomp trap, or sent. */
static void forward(int sig, siginfo_t *info, void *context)
{
	const struct kernel_sigaction by_default = { 0 };
	uintptr_t handler = (uintptr_t)program_action.handler;

	if (handler == (uintptr_t)SIG_IGN && info->si_code <= 0)
		return;
	if (handler > (uintptr_t)SIG_IGN) {
		sys_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&program_action.mask, 0,
			 KERNEL_SIGSET_SIZE, 0, 0);
		program_action.handler(sig, info, context);
		return;
	}
	/* Comes to pass when we return. */
	sys_call(SYS_rt_sigaction, SIGSYS, (long)&by_default, 0, KERNEL_SIGSET_SIZE, 0, 0);
	sys_call(SYS_tgkill, sys_getpid(), sys_gettid(), SIGSYS, 0, 0, 0);
}

/* The kernel takes the alternate stack from the saved state again: change it there too. */
static long sigaltstack_of_context(const uint64_t arg[6], ucontext_t *uc)
{
	long ret = sys_forward(SYS_sigaltstack, (long)arg[0], (long)arg[1], 0, 0, 0, 0);

	if (!ret && arg[0])
		sys_call(SYS_sigaltstack, 0, (long)&uc->uc_stack, 0, 0, 0, 0);
	return ret;
}

/* Never given back: it is in use until its task has left for good, which nobody sees. */
static struct sud_task *task_new(void)
{
	struct lock_state state;
	struct sud_task *task;

	lock_take(&state);
	task = arena_alloc(sizeof(*task));
	lock_drop(&state);
	return task;
}

/* On the stack that the task will go on with, below what it uses. */
void sud_begin(struct sud_task *task)
{
	switch (task->kind) {
	case TASK_THREAD:
		(void)thread_begin_task();
		sud_arm();
		break;
	case TASK_VFORKED:
		sud_arm();
		break;
	case TASK_UNKNOWN_TLS:
		/* Where ours would be is anything: its calls go unseen. */
		break;
	case TASK_FORKED:
		task_fork_child();
		break;
	case TASK_PARENT:
		tls.vfork_child = false;
		sud_resume();
		capture_fork("vfork", task->regs[REG_RAX], task->stack);
		break;
	}
}

struct clone_request {
	uint64_t flags, sp, block;
};

static bool read_request(long nr, const uint64_t arg[6], struct clone_request *ret)
{
	uint64_t words[8];

	if (nr == SYS_vfork) {
		*ret = (struct clone_request){ CLONE_VM | CLONE_VFORK, 0, 0 };
	} else if (nr == SYS_clone) {
		*ret = (struct clone_request){ arg[0], arg[1], arg[4] };
	} else if (nr == SYS_clone3 &&
		   sys_read_user(words, (const void *)arg[0], sizeof(words)) == sizeof(words)) {
		*ret = (struct clone_request){ words[0], words[5] ? words[5] + words[6] : 0,
						words[7] };
	} else {
		return false;
	}
	return ret->sp || ret->flags & CLONE_VM;
}

/* Thread-local storage that libc has made: its block holds its own address, twice. */
static bool is_libc_tls(uint64_t block)
{
	uint64_t words[3];

	return sys_read_user(words, (const void *)block, sizeof(words)) == sizeof(words) &&
	       words[0] == block && words[2] == block;
}

/* A clone whose child does not simply return from this handler's copy. */
static long clone_task(long nr, const uint64_t arg[6], const struct clone_request *request,
		       const greg_t *regs)
{
	const uint64_t call[7] = { (uint64_t)nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5] };
	bool shares = request->flags & CLONE_VM, suspends = request->flags & CLONE_VFORK;
	struct sud_task init = { .stack = capture_stack_of_task() }, *child, *parent = NULL;
	long ret;

	memcpy(init.regs, regs, sizeof(init.regs));
	init.kind = !shares ? TASK_FORKED : suspends ? TASK_VFORKED : TASK_THREAD;
	if (init.kind == TASK_THREAD && request->flags & CLONE_SETTLS && !is_libc_tls(request->block))
		init.kind = TASK_UNKNOWN_TLS;
	if (request->sp) {
		init.regs[REG_RSP] = (greg_t)request->sp;
		child = (struct sud_task *)((request->sp - RED_ZONE - sizeof(*child)) & ~63ull);
		if (write_user((uint64_t)child, &init, sizeof(init)))
			return -EFAULT;
	} else {
		child = task_new();
		parent = task_new();
		if (!child || !parent)
			return -ENOMEM;
		*child = *parent = init;
		parent->kind = TASK_PARENT;
	}
	if (task_shares_block(request->flags))
		thread_note_shared();
	if (!shares)
		task_fork_prepare();
	tls.vfork_child = shares && suspends;
	sud_pause();
	ret = sud_clone(call, child, parent);
	sud_resume();
	tls.vfork_child = false;
	if (!shares)
		task_fork_parent();
	if (!(request->flags & CLONE_THREAD))
		capture_fork(nr == SYS_clone3 ? "clone3" : "clone", ret, init.stack);
	return ret;
}

static long emulate(long nr, const uint64_t arg[6], ucontext_t *uc)
{
	struct clone_request request;

	switch (nr) {
	case SYS_rt_sigreturn:
		sud_sigreturn((uint64_t)uc->uc_mcontext.gregs[REG_RSP]);
	case SYS_rt_sigprocmask:
		return mask_of_context(arg, uc);
	case SYS_sigaltstack:
		return sigaltstack_of_context(arg, uc);
	default:
		if (read_request(nr, arg, &request))
			return clone_task(nr, arg, &request, uc->uc_mcontext.gregs);
		return dispatch(nr, arg, DISPATCH_RAW);
	}
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	const uint64_t arg[6] = { (uint64_t)regs[REG_RDI], (uint64_t)regs[REG_RSI],
				  (uint64_t)regs[REG_RDX], (uint64_t)regs[REG_R10],
				  (uint64_t)regs[REG_R8], (uint64_t)regs[REG_R9] };
	uintptr_t outer = tls.raw_ip;
	int err = errno;

	if (info->si_code != CODE_USER_DISPATCH) {
		forward(sig, info, context);
		return;
	}
	tls.raw_ip = (uintptr_t)regs[REG_RIP];
	regs[REG_RAX] = emulate(regs[REG_RAX], arg, uc);
	tls.raw_ip = outer;
	/* As the instruction leaves them. */
	regs[REG_RCX] = regs[REG_RIP];
	regs[REG_R11] = regs[REG_EFL];
	errno = err;
}

int sud_init(void)
{
	static const char gadget[] = { 0x0f, 0x05, (char)0xc3 };	/* syscall; ret */
	const uint64_t sigsys = SIGSYS_BIT;
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	long err;

	if (!patch_libc_text(&text_start, &text_end))
		return -ENOENT;
	sys_gadget = memmem((void *)text_start, text_end - text_start, gadget, sizeof(gadget));
	if (!sys_gadget)
		return -ENOENT;
	sys_call(SYS_rt_sigaction, SIGSYS, 0, (long)&program_action, KERNEL_SIGSET_SIZE, 0, 0);
	action.sa_sigaction = on_sigsys;
	if (sigaction(SIGSYS, &action, NULL))
		return -errno;
	sys_call(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&sigsys, 0, KERNEL_SIGSET_SIZE, 0, 0);
	err = arm();
	if (err) {
		sys_call(SYS_rt_sigaction, SIGSYS, (long)&program_action, 0, KERNEL_SIGSET_SIZE, 0, 0);
		return (int)err;
	}
	on = true;
	return 0;
}
