/* SPDX-License-Identifier: MIT */
/*
 * System calls made by instructions outside libc where a dispatcher has the hardest time: signal
 * masks and handlers, alternate stacks, children that share the stack. Prints what it sees: the
 * output must be the same whoever makes the calls.
 */
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES 65536
#define NR_THREADS 8
#define NR_ROUNDS 50

static __attribute__((always_inline)) inline long raw(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 0;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void *raw_map(size_t bytes)
{
	return (void *)raw(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void say(const char *what, long value)
{
	printf("%s %ld\n", what, value);
	fflush(stdout);
}

static void wait_for(long pid)
{
	int status = 0;

	raw(SYS_wait4, pid, (long)&status, 0, 0, 0);
	say("child ended with", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void fork_raw(void)
{
	long pid = raw(SYS_fork, 0, 0, 0, 0, 0);

	if (!pid) {
		raw_map(8192);
		_exit(3);
	}
	wait_for(pid);
}

static void vfork_raw(void)
{
	volatile long kept = 77;
	long pid = raw(SYS_vfork, 0, 0, 0, 0, 0);

	if (!pid) {
		kept = 78;
		raw_map(4096);
		raw(SYS_exit_group, 4, 0, 0, 0, 0);
	}
	say("vfork shares", kept);
	wait_for(pid);
}

/* A child of its own on a stack of its own, sharing the memory: the function never returns. */
static long clone_on(char *stack, long flags, long (*fn)(void))
{
	long *top = (long *)(void *)(stack + STACK_BYTES) - 2, ret;

	top[0] = (long)fn;
	__asm__ volatile("xor %%r10d, %%r10d\n\txor %%r8d, %%r8d\n\tsyscall\n\t"
			 "test %%rax, %%rax\n\tjnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\tmov (%%rsp), %%rcx\n\tand $-16, %%rsp\n\tcall *%%rcx\n\t"
			 "mov %%rax, %%rdi\n\tmov $60, %%eax\n\tsyscall\n1:"
			 : "=a"(ret) : "0"(SYS_clone), "D"(flags), "S"(top), "d"(0)
			 : "rcx", "r8", "r10", "r11", "memory");
	return ret;
}

static long vm_child(void)
{
	raw_map(3 * 4096);
	return 5;
}

static void clone_raw(void)
{
	char *stack = raw_map(STACK_BYTES);

	wait_for(clone_on(stack, CLONE_VM | CLONE_VFORK | SIGCHLD, vm_child));
	wait_for(clone_on(stack, SIGCHLD, vm_child));
	raw(SYS_munmap, (long)stack, STACK_BYTES, 0, 0, 0);
}

static int nr_sharing;

static long sharing_child(void)
{
	int i;

	__atomic_fetch_add(&nr_sharing, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&nr_sharing, __ATOMIC_SEQ_CST) <= NR_THREADS)
		;
	for (i = 0; i < NR_ROUNDS; i++) {
		char *p = raw_map(4096 * 4);

		p[0] = 1;
		raw(SYS_mprotect, (long)p, 4096, PROT_READ, 0, 0);
		raw(SYS_munmap, (long)p, 4096 * 4, 0, 0, 0);
	}
	return 6;
}

/* Processes that share even thread-local storage with their parent, all at once. */
static void sharing_raw(void)
{
	long pids[NR_THREADS];
	int i;

	for (i = 0; i < NR_THREADS; i++)
		pids[i] = clone_on(raw_map(STACK_BYTES), CLONE_VM | SIGCHLD, sharing_child);
	sharing_child();
	for (i = 0; i < NR_THREADS; i++)
		wait_for(pids[i]);
}

/* Runs on thread-local storage that libc knows nothing of. */
__attribute__((used, noreturn)) static void own_tls_child(void)
{
	int i;

	for (i = 0; i < NR_ROUNDS; i++)
		raw(SYS_getppid, 0, 0, 0, 0, 0);
	for (;;)
		raw(SYS_exit, 0, 0, 0, 0, 0);
}

/* Its block holds zeros, or anything. */
static void own_tls(void)
{
	static volatile int tid;
	const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			   CLONE_SYSVSEM | CLONE_SETTLS | CLONE_CHILD_CLEARTID;
	int fill;

	for (fill = 0; fill < 256; fill += 90) {
		char *area = raw_map(2 * STACK_BYTES), *block = area + STACK_BYTES * 3 / 2;
		long ret, i, changed = 0;

		tid = 1;
		memset(area, fill, 2 * STACK_BYTES);
		register long r10 __asm__("r10") = (long)&tid;
		register long r8 __asm__("r8") = (long)block;

		__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\t"
				 "xor %%ebp, %%ebp\n\tcall own_tls_child\n1:"
				 : "=a"(ret)
				 : "0"(SYS_clone), "D"(flags), "S"(area + STACK_BYTES), "d"(0),
				   "r"(r10), "r"(r8)
				 : "rcx", "r11", "memory");
		say("made", ret > 0);
		while (ret > 0 && tid)
			syscall(SYS_futex, &tid, 0, 1, 0, 0, 0);
		for (i = STACK_BYTES; i < 2 * STACK_BYTES; i++)
			changed += area[i] != (char)fill;
		say("changed", changed);
	}
}

static volatile sig_atomic_t on_alternate, handled;

static void on_signal(int sig)
{
	char *page = raw_map(4096);
	char here;
	stack_t now;

	raw(SYS_munmap, (long)page, 4096, 0, 0, 0);
	raw(SYS_sigaltstack, 0, (long)&now, 0, 0, 0);
	on_alternate = &here >= (char *)now.ss_sp && &here < (char *)now.ss_sp + now.ss_size;
	handled = sig;
}

static void masks(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	uint64_t all = ~0ull, old = 0, now = 0;
	stack_t alternate = { .ss_sp = raw_map(STACK_BYTES), .ss_size = STACK_BYTES };

	sigfillset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	say("sigaltstack", raw(SYS_sigaltstack, (long)&alternate, 0, 0, 0, 0));
	/* Everything blocked: a raw call must still work. */
	say("block", raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, 8, 0));
	say("mapped", raw_map(4096) != MAP_FAILED);
	raw(SYS_tgkill, getpid(), raw(SYS_gettid, 0, 0, 0, 0, 0), SIGUSR1, 0, 0);
	say("pending, handled", handled);
	raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, (long)&now, 8, 0);
	say("mask was blocking SIGUSR1", now >> (SIGUSR1 - 1) & 1);
	say("handled", handled);
	say("on the alternate stack", on_alternate);
	{
		sigset_t full, before;

		sigfillset(&full);
		pthread_sigmask(SIG_BLOCK, &full, &before);
		say("mapped with libc's mask", raw_map(4096) != MAP_FAILED);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	say("errors", raw(SYS_rt_sigprocmask, 99, (long)&all, 0, 8, 0));
	say("errors", raw(SYS_rt_sigprocmask, SIG_BLOCK, 1, 0, 8, 0));
}

static volatile sig_atomic_t trapped;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	trapped = info->si_syscall;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4242;
}

/* A program with a SIGSYS handler and a filter of its own. */
static void sigsys(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, old;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };

	sigaction(SIGSYS, &action, &old);
	say("had no handler", old.sa_handler == SIG_DFL);
	sigaction(SIGSYS, NULL, &old);
	say("has its handler", old.sa_sigaction == on_trap);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	say("filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	say("trapped call gives", raw(SYS_getpgid, 0, 0, 0, 0, 0));
	say("handler saw getpgid", trapped == SYS_getpgid);
	say("mapped", raw_map(4096) != MAP_FAILED);
}

static void *thread(void *arg)
{
	int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		char *p = raw_map(4096 * 4);

		p[0] = 1;
		raw(SYS_mprotect, (long)p, 4096, PROT_READ, 0, 0);
		raw(SYS_munmap, (long)p, 4096 * 4, 0, 0, 0);
	}
	return arg;
}

static void threads(void)
{
	pthread_t ids[NR_THREADS];
	int i;

	for (i = 0; i < NR_THREADS; i++)
		pthread_create(&ids[i], NULL, thread, NULL);
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(ids[i], NULL);
	say("threads", NR_THREADS);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = {
		{ "fork", fork_raw }, { "vfork", vfork_raw }, { "clone", clone_raw },
		{ "sharing", sharing_raw },
		{ "own-tls", own_tls },
		{ "masks", masks }, { "sigsys", sigsys }, { "threads", threads },
	};
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (!strcmp(argv[1], ways[i].name)) {
			ways[i].run();
			say(ways[i].name, 0);
			return 0;
		}
	}
	return 2;
}
