/* SPDX-License-Identifier: MIT */
/* The kernel's classic BPF machine over struct seccomp_data (seccomp_check_filter(), bpf(4)). */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "arena.h"
#include "capture.h"
#include "config.h"
#include "kmaps.h"
#include "lock.h"
#include "recorder.h"
#include "sink.h"
#include "sys.h"
#include "thread.h"
#include "unwind.h"

#include "no_heap.h"

#define INSNS_MAX 4096		/* of one filter, the kernel's BPF_MAXINSNS */
#define TRACE_RESERVE (4u << 20)	/* bytes, for what happens in the sandbox */

static struct filter {
	struct filter *next;
	uint16_t nr;
	struct sock_filter insns[];
} *filters;

static bool forbids_all;

static uint32_t alu(uint16_t code, uint32_t a, uint32_t b)
{
	switch (BPF_OP(code)) {
	case BPF_ADD: return a + b;
	case BPF_SUB: return a - b;
	case BPF_MUL: return a * b;
	case BPF_DIV: return b ? a / b : 0;
	case BPF_MOD: return b ? a % b : 0;
	case BPF_OR: return a | b;
	case BPF_AND: return a & b;
	case BPF_XOR: return a ^ b;
	case BPF_LSH: return b < 32 ? a << b : 0;
	case BPF_RSH: return b < 32 ? a >> b : 0;
	default: return -a;	/* BPF_NEG */
	}
}

static bool jumps(uint16_t code, uint32_t a, uint32_t b)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ: return a == b;
	case BPF_JGT: return a > b;
	case BPF_JGE: return a >= b;
	default: return a & b;	/* BPF_JSET */
	}
}

static uint32_t load(const struct sock_filter *f, const struct seccomp_data *data,
		     const uint32_t *mem)
{
	uint32_t word;

	switch (BPF_MODE(f->code)) {
	case BPF_IMM:
		return f->k;
	case BPF_MEM:
		return mem[f->k & (BPF_MEMWORDS - 1)];
	case BPF_LEN:
		return sizeof(*data);
	default:	/* BPF_ABS; the kernel has checked it */
		if (f->k > sizeof(*data) - sizeof(word))
			return 0;
		memcpy(&word, (const char *)data + f->k, sizeof(word));
		return word;
	}
}

/* What the filter, which the kernel has accepted, answers. */
static uint32_t run(const struct filter *filter, const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };
	uint32_t pc;

	for (pc = 0; pc < filter->nr; pc++) {
		const struct sock_filter *f = &filter->insns[pc];
		uint32_t operand = BPF_SRC(f->code) == BPF_X ? x : f->k;

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			a = load(f, data, mem);
			break;
		case BPF_LDX:
			x = load(f, data, mem);
			break;
		case BPF_ST:
			mem[f->k & (BPF_MEMWORDS - 1)] = a;
			break;
		case BPF_STX:
			mem[f->k & (BPF_MEMWORDS - 1)] = x;
			break;
		case BPF_ALU:
			a = alu(f->code, a, operand);
			break;
		case BPF_JMP:
			if (BPF_OP(f->code) == BPF_JA)
				pc += f->k;
			else
				pc += jumps(f->code, a, operand) ? f->jt : f->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(f->code) == BPF_A ? a : f->k;
		default:	/* BPF_MISC */
			if (BPF_MISCOP(f->code) == BPF_TAX)
				x = a;
			else
				a = x;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

static bool lets_through(uint32_t answer)
{
	answer &= SECCOMP_RET_ACTION_FULL;
	return answer == SECCOMP_RET_ALLOW || answer == SECCOMP_RET_LOG;
}

static bool kills(uint32_t answer)
{
	switch (answer & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF:
		return false;
	default:	/* SECCOMP_RET_TRAP, too: a new image has no handler */
		return true;
	}
}

/* The kernel tells the address behind the instruction, which is two bytes long. */
static struct seccomp_data data_of(long nr)
{
	const char *instruction = sys_gadget ? sys_gadget : sys_instruction;

	return (struct seccomp_data){
		.nr = (int)nr, .arch = AUDIT_ARCH_X86_64,
		.instruction_pointer = (uint64_t)(uintptr_t)(instruction + 2),
	};
}

/* By its number alone. */
static bool forbids(const struct filter *filter, long nr)
{
	const struct seccomp_data data = data_of(nr);

	return !lets_through(run(filter, &data));
}

static bool is_allowed(long nr, const long arg[6])
{
	const struct filter *filter;
	struct seccomp_data data;
	int i;

	if (forbids_all)
		return false;
	data = data_of(nr);
	for (i = 0; i < 6; i++)
		data.args[i] = (uint64_t)arg[i];
	for (filter = __atomic_load_n(&filters, __ATOMIC_ACQUIRE); filter; filter = filter->next)
		if (!lets_through(run(filter, &data)))
			return false;
	return true;
}

static bool is_filter_mode(long nr, const uint64_t arg[6])
{
	return (nr == SYS_seccomp && arg[0] == SECCOMP_SET_MODE_FILTER) ||
	       (nr == SYS_prctl && arg[0] == PR_SET_SECCOMP && arg[1] == SECCOMP_MODE_FILTER);
}

/* prctl(PR_SET_TSC): for this thread only, but its end would be the program's. */
static bool takes_counter(long nr, const uint64_t arg[6])
{
	return nr == SYS_prctl && arg[0] == PR_SET_TSC && arg[1] == PR_TSC_SIGSEGV;
}

bool seccomp_is_set(long nr, const uint64_t arg[6])
{
	return is_filter_mode(nr, arg) || takes_counter(nr, arg) ||
	       (nr == SYS_seccomp && arg[0] == SECCOMP_SET_MODE_STRICT) ||
	       (nr == SYS_prctl && arg[0] == PR_SET_SECCOMP && arg[1] == SECCOMP_MODE_STRICT);
}

/* A copy of the program's filter, not in the list yet. NULL: it can't be read, or there is no room. */
static struct filter *copy(const void *prog)
{
	struct sock_fprog head;
	struct filter *filter;
	size_t bytes;

	if (sys_read_user(&head, prog, sizeof(head)) != sizeof(head) || !head.len ||
	    head.len > INSNS_MAX)
		return NULL;
	bytes = head.len * sizeof(head.filter[0]);
	filter = arena_alloc(sizeof(*filter) + bytes);
	if (!filter || sys_read_user(filter->insns, head.filter, bytes) != bytes)
		return NULL;
	filter->nr = head.len;
	return filter;
}

static bool are_allowed(const long *nrs, size_t count)
{
	static const long nothing[6];
	size_t i;

	for (i = 0; i < count; i++)
		if (!is_allowed(nrs[i], nothing))
			return false;
	return true;
}

/* The unwinder calls libc for its locks, its memory, and to look at files and at the stack. */
static void give_up_stacks(void)
{
	static const long nrs[] = {
		SYS_rt_sigprocmask, SYS_mincore, SYS_openat, SYS_read, SYS_write, SYS_close,
		SYS_newfstatat, SYS_mmap, SYS_munmap, SYS_futex,
	};

	if (!config.stacks || are_allowed(nrs, sizeof(nrs) / sizeof(nrs[0])))
		return;
	unwind_stop();
	recorder_lost("stack", "seccomp", 1);
}

/* What can't be asked any more is not compared. */
static void give_up_comparing(void)
{
	static const long nrs[] = { SYS_openat, SYS_read, SYS_pread64, SYS_close };

	if (config.verify == VERIFY_OFF || kmaps_is_allowed())
		return;
	if (are_allowed(nrs, sizeof(nrs) / sizeof(nrs[0]))) {
		kmaps_use_text();
		config.verify = config.verify == VERIFY_EVERY ? VERIFY_CHECKPOINT : config.verify;
	} else {
		config.verify = VERIFY_OFF;
	}
	recorder_lost("check", "seccomp", 1);
}

static long make(long nr, const uint64_t arg[6])
{
	return sys_forward(nr, (long)arg[0], (long)arg[1], (long)arg[2], (long)arg[3], (long)arg[4],
			   (long)arg[5]);
}

/* Strict mode takes the time stamp counter away, too: whoever looks at the clock dies. */
static long set_strict(long nr, const uint64_t arg[6])
{
	struct lock_state state;
	long ret;

	lock_take_open(&state);
	(void)sink_settle();
	recorder_lost("event", takes_counter(nr, arg) ? "tsc" : "seccomp", 1);
	recorder_flush_lost();
	ret = make(nr, arg);
	if (ret >= 0) {
		forbids_all = true;
		sys_filter = is_allowed;
		capture_set_on(false);
	}
	lock_drop(&state);
	return ret;
}

/*
 * Under the lock from before the call, and settled, so that no other thread is in the middle of a record, or
 * of a chunk; signals are not blocked for it, for the filter may forbid to unblock them. A filter that can't
 * be copied may forbid anything, so that everything is taken to be forbidden.
 */
long seccomp_set(long nr, const uint64_t arg[6])
{
	struct filter *filter;
	struct lock_state state;
	long ret;

	if (tls.locked)
		return make(nr, arg);
	if (!is_filter_mode(nr, arg))
		return set_strict(nr, arg);
	lock_take_open(&state);
	(void)sink_settle();
	filter = copy((const void *)arg[2]);
	if (!filter || forbids(filter, SYS_pwritev) || forbids(filter, SYS_fstat))
		sink_reserve(TRACE_RESERVE);
	ret = make(nr, arg);
	if (ret >= 0) {
		forbids_all |= !filter;
		if (filter) {
			filter->next = filters;
			__atomic_store_n(&filters, filter, __ATOMIC_RELEASE);
		}
		sys_filter = is_allowed;
		give_up_comparing();
		give_up_stacks();
		recorder_flush_lost();
	}
	lock_drop(&state);
	return ret;
}

bool seccomp_kills_images(void)
{
	/* From the start of one to its end. */
	static const uint16_t nrs[] = {
		SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_poll, SYS_mmap, SYS_mprotect, SYS_munmap,
		SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_ioctl, SYS_pread64, SYS_pwrite64, SYS_sched_yield,
		SYS_mremap, SYS_mincore, SYS_madvise, SYS_shmat, SYS_shmctl, SYS_nanosleep, SYS_getpid,
		SYS_uname, SYS_shmdt, SYS_fcntl, SYS_ftruncate, SYS_getcwd, SYS_unlink, SYS_getrusage,
		SYS_getuid, SYS_getgid, SYS_geteuid, SYS_getppid, SYS_getsid, SYS_capget, SYS_rt_sigtimedwait,
		SYS_sigaltstack, SYS_mlock, SYS_munlock, SYS_prctl, SYS_gettid, SYS_futex, SYS_getdents64,
		SYS_remap_file_pages, SYS_mbind, SYS_openat, SYS_newfstatat, SYS_readlinkat, SYS_pipe2,
		SYS_pwritev, SYS_prlimit64, SYS_process_vm_readv, SYS_process_vm_writev, SYS_membarrier,
		SYS_mlock2, SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free,
	};
	const struct filter *filter;
	struct seccomp_data data;
	size_t i;

	for (filter = __atomic_load_n(&filters, __ATOMIC_ACQUIRE); filter; filter = filter->next) {
		for (i = 0; i < sizeof(nrs) / sizeof(nrs[0]); i++) {
			data = data_of(nrs[i]);
			if (kills(run(filter, &data)))
				return true;
		}
	}
	return forbids_all;
}
