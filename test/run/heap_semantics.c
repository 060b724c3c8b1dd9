/* SPDX-License-Identifier: MIT */
/*
 * heap_semantics [without-libc]
 *
 * Each function of the malloc family, in the ways it can be called, succeed and fail. What the trace
 * must say about it is in heap.list (heap_list.h), and in child.list for the child that it forks;
 * what a program sees, results and errno, is printed: traced it must be the same.
 * An allocator that has no pvalloc() or cfree() of its own gets libc's, which go by another heap.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include "heap_list.h"

#define UNTOUCHED 4242
#define NR_INHERITED 5

void free_sized(void *p, size_t size) __attribute__((weak));
void free_aligned_sized(void *p, size_t align, size_t size) __attribute__((weak));

/* As a program from before glibc 2.26 refers to it. */
void old_cfree(void *p);
__asm__(".symver old_cfree, cfree@GLIBC_2.2.5");

/* Larger than any object, and not known to the compiler, which would warn. */
static volatile size_t too_large = (size_t)PTRDIFF_MAX + 1;
static bool all_of_libc;
static volatile size_t half = SIZE_MAX / 2;
/* Nor what these do: a block that could not be moved is used on. */
static void *(*volatile regrow)(void *old, size_t size) = realloc;
static void *(*volatile regrow_array)(void *old, size_t nr, size_t size) = reallocarray;

static void say(const char *what, int ok)
{
	printf("%s: %s, errno %d\n", what, ok ? "yes" : "no", errno);
	errno = UNTOUCHED;
}

static void release(void *p)
{
	list_free(p);
	free(p);
}

static void basics(void)
{
	char *a, *b, *c, *none;

	list_section("basics", "exact");
	a = list_alloc(malloc(10), 10, 0);
	none = list_alloc(malloc(0), 0, 0);
	b = list_alloc(calloc(3, 7), 21, 0);
	c = list_alloc(calloc(0, 7), 0, 0);
	say("zeroed", !b[0] && !b[20]);
	say("usable", malloc_usable_size(a) >= 10);
	release(a);
	free(NULL);
	release(none);
	release(b);
	release(c);
	say("freed", 1);
}

static void reallocs(void)
{
	char *a, *fence, *b;

	list_section("reallocs", "exact");
	a = list_alloc(realloc(NULL, 100), 100, 0);
	memset(a, 'x', 100);
	/* Growth in place, then shrinking, then a move. */
	b = regrow(a, 104);
	list_add("realloc %lu 104 %lu\n", (unsigned long)(uintptr_t)b, (unsigned long)(uintptr_t)a);
	a = regrow(b, 24);
	list_add("realloc %lu 24 %lu\n", (unsigned long)(uintptr_t)a, (unsigned long)(uintptr_t)b);
	fence = list_alloc(malloc(24), 24, 0);
	b = regrow(a, 100000);
	list_add("realloc %lu 100000 %lu\n", (unsigned long)(uintptr_t)b,
		 (unsigned long)(uintptr_t)a);
	say("kept", b[0] == 'x' && b[23] == 'x');
	/* By mremap(). */
	a = regrow(b, 50000000);
	list_add("realloc %lu 50000000 %lu\n", (unsigned long)(uintptr_t)a,
		 (unsigned long)(uintptr_t)b);
	say("moved", a[0] == 'x');
	list_alloc(regrow(a, too_large), too_large, 0);
	say("too large", a[0] == 'x');
	b = regrow(a, 0);
	/* In glibc that is a free(). */
	if (b)
		list_add("realloc %lu 0 %lu\n", (unsigned long)(uintptr_t)b,
			 (unsigned long)(uintptr_t)a);
	else
		list_free(a);
	release(b);
	say("size 0", 1);
	release(fence);
}

static void arrays(void)
{
	char *a, *b;

	list_section("arrays", "exact");
	a = list_alloc(reallocarray(NULL, 5, 8), 40, 0);
	b = regrow_array(a, 10, 8);
	list_add("realloc %lu 80 %lu\n", (unsigned long)(uintptr_t)b, (unsigned long)(uintptr_t)a);
	a = list_alloc(regrow_array(b, half, 4), SIZE_MAX, 0);
	say("reallocarray too large", !a);
	a = list_alloc(calloc(half, 4), SIZE_MAX, 0);
	say("calloc too large", !a);
	release(b);
}

static void alignments(void)
{
	void *p[7], *untouched = p;
	int err, i;

	list_section("alignments", "exact");
	p[0] = list_alloc(memalign(64, 100), 100, 64);
	p[1] = list_alloc(aligned_alloc(128, 256), 256, 128);
	err = posix_memalign(&p[2], 4096, 10);
	say("posix_memalign", !err);
	list_alloc(p[2], 10, 4096);
	p[3] = list_alloc(valloc(11), 11, 4096);
	p[4] = all_of_libc ? list_alloc(pvalloc(12), 12, 4096) : NULL;
	p[5] = list_alloc(memalign(8, 13), 13, 8);
	p[6] = list_alloc(memalign(2 << 20, 3 << 20), 3 << 20, 2 << 20);
	say("aligned", !((uintptr_t)p[0] % 64 | (uintptr_t)p[1] % 128 | (uintptr_t)p[2] % 4096 |
			 (uintptr_t)p[3] % 4096 | (uintptr_t)p[4] % 4096 |
			 (uintptr_t)p[6] % (2 << 20)));
	for (i = 0; i < 7; i++)
		release(p[i]);
	err = posix_memalign(&untouched, 24, 100);
	list_alloc(NULL, 100, 0);
	printf("result %d\n", err);
	say("alignment of 24", untouched == p);
	err = posix_memalign(&untouched, 64, too_large);
	list_alloc(NULL, too_large, 0);
	printf("result %d\n", err);
	say("posix_memalign too large", untouched == p);
	list_alloc(memalign(64, too_large), too_large, 0);
	say("memalign too large", 1);
	list_alloc(aligned_alloc(64, too_large), too_large, 0);
	say("aligned_alloc too large", 1);
	list_alloc(valloc(too_large), too_large, 0);
	say("valloc too large", 1);
	if (all_of_libc)
		list_alloc(pvalloc(too_large), too_large, 0);
	say("pvalloc too large", 1);
}

static void failures(void)
{
	list_section("failures", "exact");
	list_alloc(malloc(too_large), too_large, 0);
	say("malloc too large", 1);
	/* More than there is address space for. */
	list_alloc(malloc(too_large - 10000000), too_large - 10000000, 0);
	say("malloc of everything", 1);
	list_alloc(calloc(too_large - 10000000, 1), too_large - 10000000, 0);
	say("calloc of everything", 1);
}

static void sized_frees(void)
{
	void *a, *b, *c;

	list_section("sized", "exact");
	c = list_alloc(malloc(31), 31, 0);
	list_free(c);
	if (all_of_libc)
		old_cfree(c);
	else
		free(c);
	a = list_alloc(malloc(30), 30, 0);
	list_free(a);
	if (free_sized)
		free_sized(a, 30);
	else
		free(a);
	b = list_alloc(aligned_alloc(64, 64), 64, 64);
	list_free(b);
	if (free_aligned_sized)
		free_aligned_sized(b, 64, 64);
	else
		free(b);
	say("sized", 1);
}

/* What libraries allocate and the program frees. */
static void libraries(void)
{
	char *line = NULL, *text = NULL;
	size_t size = 0;
	FILE *file;

	list_section("libraries", "among");
	text = list_alloc(strdup("eleven byte"), 12, 0);
	release(text);
	text = list_alloc(strndup("eleven byte", 4), 5, 0);
	release(text);
	if (asprintf(&text, "%0500d", 1) != 500)
		abort();
	say("asprintf", text[499] == '1');
	release(text);
	file = fmemopen((char *)"a line\n", 7, "r");
	if (!file || getline(&line, &size, file) != 7)
		abort();
	list_alloc(line, size, 0);
	release(line);
	fclose(file);
	errno = UNTOUCHED;
}

static void *thread_frees(void *block)
{
	release(block);
	return list_alloc(malloc(77), 77, 0);
}

static void threads(void)
{
	pthread_t thread;
	void *block;

	list_section("threads", "among");
	block = list_alloc(malloc(66), 66, 0);
	if (pthread_create(&thread, NULL, thread_frees, block) ||
	    pthread_join(thread, &block))
		abort();
	release(block);
	errno = UNTOUCHED;
}

/* Its trace knows nothing of what was allocated before; its own list begins here. */
static void child(void **blocks)
{
	void *own;
	int i;

	list_len = 0;
	list_section("child", "exact");
	for (i = 0; i < NR_INHERITED - 1; i++)
		release(blocks[i]);
	own = regrow(blocks[i], 3000);
	list_add("realloc %lu 3000 %lu\n", (unsigned long)(uintptr_t)own,
		 (unsigned long)(uintptr_t)blocks[i]);
	list_alloc(malloc(55), 55, 0);
	list_section("end", "among");
	list_write("child.list");
	_exit(7);
}

static void forks(void)
{
	void *blocks[NR_INHERITED];
	int i, status;
	pid_t pid;

	list_section("forks", "among");
	for (i = 0; i < NR_INHERITED; i++)
		blocks[i] = list_alloc(malloc(200), 200, 0);
	fflush(stdout);
	pid = fork();
	if (!pid)
		child(blocks);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	printf("child ended with %d\n", WEXITSTATUS(status));
	for (i = 0; i < NR_INHERITED; i++)
		release(blocks[i]);
}

int main(int argc, char **argv)
{
	static char buffer[65536];

	(void)argv;
	all_of_libc = argc == 1;
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	errno = UNTOUCHED;
	basics();
	reallocs();
	arrays();
	alignments();
	failures();
	sized_frees();
	libraries();
	threads();
	forks();
	list_section("end", "among");
	list_write("heap.list");
	return 0;
}
