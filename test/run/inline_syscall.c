/* SPDX-License-Identifier: MIT */
/*
 * inline_syscall [mixed]: calls that change the map made by a `syscall` instruction in the program
 * itself, between calls made through libc; from the main thread, another one, and a fork child.
 * Both kinds keep to mappings of their own, with `mixed` also to the other kind's.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS 10

static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void expect(long got, long wanted)
{
	if (got != wanted)
		abort();
}

static long page;
static bool is_mixed;

static long map(long pages)
{
	long start = raw(SYS_mmap, 0, pages * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start < 0)
		abort();
	return start;
}

static void *turns(void *unused)
{
	for (int i = 0; i < TURNS; i++) {
		long start = map(6), moved;
		char *block = malloc(1 << 18), *by_libc;

		by_libc = mmap(NULL, (size_t)(3 * page), PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (!block || by_libc == MAP_FAILED)
			abort();
		*(char *)start = 1;
		expect(raw(SYS_mprotect, start + page, page, PROT_NONE, 0, 0, 0), 0);
		expect(raw(SYS_madvise, start, page, MADV_DONTNEED, 0, 0, 0), 0);
		expect(mprotect(is_mixed ? (void *)(start + 2 * page) : by_libc, (size_t)page,
				PROT_READ | PROT_WRITE), 0);
		moved = raw(SYS_mremap, start + 3 * page, 2 * page, 9 * page, MREMAP_MAYMOVE, 0, 0);
		if (moved < 0)
			abort();
		expect(raw(SYS_munmap, moved, 9 * page, 0, 0, 0, 0), 0);
		if (is_mixed) {
			expect(munmap((void *)start, (size_t)(3 * page)), 0);
			expect(raw(SYS_munmap, (long)by_libc, 3 * page, 0, 0, 0, 0), 0);
		} else {
			expect(raw(SYS_munmap, start, 3 * page, 0, 0, 0, 0), 0);
			expect(munmap(by_libc, (size_t)(3 * page)), 0);
		}
		expect(raw(SYS_munmap, start + 5 * page, page, 0, 0, 0, 0), 0);
		expect(raw(SYS_munmap, 1, page, 0, 0, 0, 0), -22);
		free(block);
	}
	return unused;
}

/* Up and down again with nobody in between who would ask libc for the break. */
static void move_break(void)
{
	long now = raw(SYS_brk, 0, 0, 0, 0, 0, 0);

	expect(raw(SYS_brk, now + 8 * page, 0, 0, 0, 0, 0), now + 8 * page);
	expect(raw(SYS_brk, now, 0, 0, 0, 0, 0), now);
}

int main(int argc, char **argv)
{
	pthread_t id;
	int status;
	pid_t pid;

	page = sysconf(_SC_PAGESIZE);
	is_mixed = argc > 1 && !strcmp(argv[1], "mixed");
	turns(NULL);
	move_break();
	if (pthread_create(&id, NULL, turns, NULL))
		return 1;
	pthread_join(id, NULL);
	pid = fork();
	if (!pid) {
		turns(NULL);
		_exit(3);
	}
	if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 3)
		return 1;
	puts("done");
	return 0;
}
