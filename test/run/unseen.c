/* SPDX-License-Identifier: MIT */
/*
 * unseen WAY: changes the map by a `syscall` instruction of its own, and the next call through libc
 * is about the very same pages, so that it is the one that finds the change.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES 6

static long raw(long nr, long a, long b, long c)
{
	register long r10 __asm__("r10") = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	register long r8 __asm__("r8") = -1;
	register long r9 __asm__("r9") = 0;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void change(char *at, const char *way, size_t page)
{
	int failed;

	if (!strcmp(way, "protect"))
		failed = raw(SYS_mprotect, (long)at, (long)page, PROT_NONE) != 0;
	else if (!strcmp(way, "unmap"))
		failed = raw(SYS_munmap, (long)(at + page), (long)page, 0) != 0;
	else
		failed = raw(SYS_mmap, (long)(at + page), (long)page, PROT_READ) !=
			 (long)(at + page);
	if (failed)
		abort();
}

int main(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const char *way = argc > 1 ? argv[1] : "";
	char *at;

	for (int i = 0; i < 3; i++) {
		at = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			abort();
		change(at, way, page);
		if (i == 0)
			(void)madvise(at, PAGES * page, MADV_RANDOM);
		else if (i == 1)
			(void)mlock(at, PAGES * page);
		/* The page whose permissions it sets itself is the next one. */
		else if (!strcmp(way, "protect"))
			(void)mprotect(at + page, page, PROT_READ);
		else
			(void)mprotect(at, PAGES * page, PROT_READ | PROT_EXEC);
		if (munmap(at, PAGES * page))
			abort();
	}
	return 0;
}
