/* SPDX-License-Identifier: MIT */
/*
 * Goes into a sandbox that kills for anything but what it needs itself, and works on there.
 * Ways: prctl, seccomp, arguments (the filter looks at them), strict; clock: who looks at it dies.
 *
 * sandbox exec FIRST LAST: runs /bin/true in sandboxes that each kill for one system call, of these
 * numbers, and prints "NUMBER STATUS" for each, as waitpid() has it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS 200
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), RETURN(SECCOMP_RET_ALLOW)

static const char done[] = "done\n";

static int enter(const char *way)
{
	static struct sock_filter by_number[] = {
		LOAD(nr), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(mremap),
		ALLOW(madvise), ALLOW(brk), ALLOW(write), ALLOW(newfstatat), ALLOW(exit_group),
		ALLOW(rt_sigreturn), ALLOW(futex), ALLOW(getrandom),
		RETURN(SECCOMP_RET_KILL_PROCESS),
	};
	/* As above, but no descriptor other than standard output is written to, or asked about. */
	static struct sock_filter by_argument[] = {
		LOAD(nr), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(mremap),
		ALLOW(madvise), ALLOW(brk), ALLOW(exit_group), ALLOW(rt_sigreturn), ALLOW(futex),
		ALLOW(getrandom),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 2),
		LOAD(args[0]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDOUT_FILENO, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS), RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(by_number) / sizeof(by_number[0]), by_number };

	if (!strcmp(way, "arguments"))
		prog = (struct sock_fprog){ sizeof(by_argument) / sizeof(by_argument[0]),
					    by_argument };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	if (!strcmp(way, "clock"))
		return prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
	if (!strcmp(way, "strict"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (!strcmp(way, "seccomp"))
		return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int exec_without(unsigned int nr)
{
	struct sock_filter filter[] = {
		LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), RETURN(SECCOMP_RET_KILL_PROCESS),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(filter[0]), filter };
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
			_exit(77);
		execl("/bin/true", "true", (char *)NULL);
		_exit(78);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "prctl";
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *volatile block;

	if (argc > 3) {
		for (int nr = atoi(argv[2]); nr <= atoi(argv[3]); nr++)
			printf("%d %d\n", nr, exec_without((unsigned int)nr));
		return 0;
	}
	if (enter(way))
		return 77;
	if (!strcmp(way, "strict")) {
		if (write(STDOUT_FILENO, done, sizeof(done) - 1) < 0)
			return 1;
		/* exit_group() is not allowed. */
		syscall(SYS_exit, 0);
	}
	for (int i = 0; i < TURNS; i++) {
		char *p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p == MAP_FAILED || mprotect(p + page, page, PROT_READ) || munmap(p, 3 * page))
			return 1;
		block = malloc(1 << (i % 20));
		free(block);
	}
	if (write(STDOUT_FILENO, done, sizeof(done) - 1) < 0)
		return 1;
	_exit(0);
}
