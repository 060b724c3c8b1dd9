/* SPDX-License-Identifier: MIT */
/*
 * grown WAY: what a call does to memory that has come about unseen, by page faults below a mapping
 * that grows downwards, or to memory of which a fork's child knows part of the flags only; and what
 * it leaves where a limit stops it that was set meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *const base = (char *)0x100000000000;
static size_t page;

static void expect(int is_so, const char *what)
{
	if (is_so)
		return;
	perror(what);
	exit(1);
}

static void map(size_t at, size_t nr, int prot, int flags)
{
	expect(mmap(base + at * page, nr * page, prot, ANON | MAP_FIXED | flags, -1, 0) ==
	       base + at * page, "mmap");
}

/* A mapping of two pages that grows down to page @low, which no call tells. */
static void grow(size_t low, size_t at)
{
	map(at, 2, RW, MAP_GROWSDOWN);
	((volatile char *)base)[low * page] = 1;
}

/* ..ggggGG → AA, its pages from 3 on are what was grown and is cut */
static void cut(void)
{
	map(0, 3, RW, 0);
	grow(3, 8);
	expect(mremap(base, 5 * page, 4 * page, MREMAP_MAYMOVE) == base, "mremap");
}

/* gggAAggGG: the pieces below and above what was mapped over it */
static void cover(void)
{
	grow(3, 16);
	map(8, 3, RW, 0);
	expect(mremap(base + 5 * page, page, 8 * page, 0) == MAP_FAILED, "mremap");
}

/* The piece below what was mapped is known from a comparison only, and grows on. */
static void known(void)
{
	grow(10, 20);
	map(15, 2, RW, 0);
	((volatile char *)base)[4 * page] = 1;
	expect(!mprotect(base + 5 * page, 16 * page, PROT_READ), "mprotect");
}

/* It begins in what has grown unseen, and ends in a hole. */
static void walked(void)
{
	grow(3, 8);
	map(10, 2, PROT_NONE, 0);
	expect(mprotect(base + 4 * page, 16 * page, RW) && errno == ENOMEM, "mprotect");
}

/* Whether dropping PROT_WRITE takes VM_ACCOUNT along hinges on an unseen fault. */
static void sealed(void)
{
	int status;
	pid_t pid;

	map(0, 4, RW, 0);
	expect(!mprotect(base, 4 * page, PROT_READ), "mprotect");
	if (syscall(SYS_mseal, base, 4 * page, 0))
		exit(errno == ENOSYS ? 77 : 1);
	pid = fork();
	expect(pid >= 0, "fork");
	if (!pid) {
		expect(mprotect(base, 2 * page, RW) && errno == EPERM, "mprotect in the child");
		expect(munmap(base + page, page) && errno == EPERM, "munmap in the child");
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && !status, "the child");
}

/* The same call over a hole leaves nothing, or half of it locked, by the limit. */
static void limit(void)
{
	struct rlimit memlock = { 0, 0 };

	map(0, 4, RW, 0);
	expect(!getrlimit(RLIMIT_MEMLOCK, &memlock), "getrlimit");
	expect(mlock(base + page, 8 * page) && errno == ENOMEM, "mlock over a hole");
	expect(!munlock(base, 4 * page), "munlock");
	memlock.rlim_cur = 2 * page;
	expect(!setrlimit(RLIMIT_MEMLOCK, &memlock), "setrlimit");
	expect(mlock(base + page, 8 * page), "mlock beyond the limit");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = { { "cut", cut }, { "cover", cover }, { "known", known },
		     { "walked", walked }, { "sealed", sealed },
		     { "limit", limit } };

	page = (size_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (argc > 1 && !strcmp(argv[1], ways[i].name)) {
			ways[i].run();
			return 0;
		}
	}
	return 2;
}
