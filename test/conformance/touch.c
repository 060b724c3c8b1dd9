/* SPDX-License-Identifier: MIT */
/*
 * Ways to touch a byte: see touch.h.
 *
 * The CPU's own accesses are two instructions whose address the signal handler knows: it moves the
 * interrupted thread on to where failure is returned.
 */
#include "touch.h"

#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "steps.h"

int touch_load(uint64_t addr);
int touch_store(uint64_t addr);
extern const char touch_first[], touch_last[], touch_failed[];

/* Adding nothing is a write that leaves the byte as it is. */
__asm__(".text\n"
	".globl touch_load, touch_store, touch_first, touch_last, touch_failed\n"
	"touch_first:\n"
	"touch_load: movb (%rdi), %al\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"touch_store: lock addb $0, (%rdi)\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"touch_last:\n"
	"touch_failed: movl $-1, %eax\n"
	"	ret\n");

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t ip = uc->uc_mcontext.gregs[REG_RIP];

	(void)info;
	if (ip >= (greg_t)touch_first && ip < (greg_t)touch_last)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)touch_failed;
	else
		signal(sig, SIG_DFL);
}

void touch_init(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static bool vm_writev(uint64_t addr)
{
	char byte = 0;
	struct iovec from = { &byte, 1 }, to = { (void *)addr, 1 };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1;
}

/* As a debugger sets a breakpoint: the byte that is there. */
static bool write_mem(uint64_t addr)
{
	char byte;

	return pread(objects.mem, &byte, 1, (off_t)addr) == 1 &&
	       pwrite(objects.mem, &byte, 1, (off_t)addr) == 1;
}

bool touch(uint64_t addr, enum touch_how how)
{
	switch (how) {
	case TOUCH_LOAD:
		return !touch_load(addr);
	case TOUCH_STORE:
		return !touch_store(addr);
	case TOUCH_KERNEL_READ:
		return pwrite(objects.sink, (void *)addr, 1, 0) == 1;
	case TOUCH_KERNEL_WRITE:
		return read(objects.zero, (void *)addr, 1) == 1;
	case TOUCH_MEM:
		return write_mem(addr);
	default:
		return vm_writev(addr);
	}
}

const char *touch_text(enum touch_how how)
{
	static const char *const texts[TOUCH_NR] = {
		[TOUCH_LOAD] = "load(%#lx)", [TOUCH_STORE] = "store(%#lx)",
		[TOUCH_KERNEL_READ] = "pwrite(sink, %#lx, 1, 0)",
		[TOUCH_KERNEL_WRITE] = "read(zero, %#lx, 1)",
		[TOUCH_VM_WRITEV] = "process_vm_writev(self, %#lx, 1)",
		[TOUCH_MEM] = "pwrite(/proc/self/mem, %#lx, 1)",
	};

	return texts[how];
}
