/* SPDX-License-Identifier: MIT */
/*
 * A program with a bit of everything a layout tells, and with SEED defined one fault that a check
 * must find. The base, SEED 0, and each fault are built from this file.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	BASE, THREAD, WX, TEXT, EXECSTACK, NORELRO, NOGUARD, LEAK, ARENA, VMAS, RESIDENT, NOHUGE,
	LIBRARY, DELETED, RAW,
};

#ifndef SEED
#define SEED BASE
#endif

#define PAGE 4096
#define HUGE (2 << 20)
#ifndef NR_THREADS
#define NR_THREADS 4
#endif
#define THREADS (NR_THREADS + (SEED == THREAD))
#define BUFFER (32 << 20)
#define TOUCHED (SEED == RESIDENT ? 19 << 20 : 16 << 20)
#define SPIKE (SEED == ARENA ? 4096 : 2048)	/* blocks of 1 KiB */
#define BLOCKS 200

static pthread_barrier_t barrier;
static void *volatile sink;
static void *volatile kept[BLOCKS];

/* An arena grows by a spike; one block at its end keeps it from being trimmed. */
static void *work(void *arg)
{
	static __thread char *blocks[4096];

	for (int i = 0; i < SPIKE; i++)
		blocks[i] = malloc(1000);
	sink = malloc(64);
	for (int i = 0; i < SPIKE; i++)
		free(blocks[i]);
	pthread_barrier_wait(&barrier);
	return arg;
}

__attribute__((noinline)) static void start_threads(pthread_t *threads)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	if (SEED == NOGUARD)
		pthread_attr_setguardsize(&attr, 0);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], &attr, work, NULL);
	pthread_attr_destroy(&attr);
}

__attribute__((noinline)) static char *map_buffer(void)
{
	char *p = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(p, BUFFER, MADV_NOHUGEPAGE);
	memset(p, 1, TOUCHED);
	return p;
}

/* Aligned by hand: 8 MiB of huge pages. */
__attribute__((noinline)) static void map_huge(void)
{
	char *p = mmap(NULL, 5 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *huge = (char *)(((uintptr_t)p + HUGE - 1) & ~(uintptr_t)(HUGE - 1));

	madvise(huge, 4 * HUGE, SEED == NOHUGE ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	memset(huge, 1, 4 * HUGE);
}

__attribute__((noinline)) static void fill_cache(void)
{
	for (int i = 0; i < BLOCKS; i++)
		kept[i] = malloc(500);
}

__attribute__((noinline)) static void map_code(void)
{
	if (SEED == WX)
		sink = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

__attribute__((noinline)) static void patch_text(void)
{
	if (SEED == TEXT)
		mprotect((void *)((uintptr_t)patch_text & ~(uintptr_t)(PAGE - 1)), PAGE,
			 PROT_READ | PROT_WRITE | PROT_EXEC);
}

__attribute__((noinline)) static void leak(void)
{
	for (int i = 0; SEED == LEAK && i < 64; i++)
		sink = malloc(16 << 10);
}

__attribute__((noinline)) static void split(char *buffer)
{
	for (int i = 0; SEED == VMAS && i < 3000; i++)
		mprotect(buffer + (2 * i + 1) * PAGE, PAGE, PROT_READ);
}

__attribute__((noinline)) static void map_file(void)
{
	char name[] = "/tmp/layout-XXXXXX";
	int fd = mkstemp(name);

	if (SEED == DELETED && !ftruncate(fd, PAGE))
		sink = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	unlink(name);
	close(fd);
}

__attribute__((noinline)) static void map_raw(void)
{
	register long flags asm("r10") = MAP_PRIVATE | MAP_ANONYMOUS;
	register long fd asm("r8") = -1;
	register long offset asm("r9") = 0;
	long ret;

	if (SEED == RAW)
		asm volatile("syscall" : "=a"(ret)
			     : "a"(SYS_mmap), "D"(0), "S"(PAGE), "d"(PROT_READ), "r"(flags), "r"(fd),
			       "r"(offset)
			     : "rcx", "r11", "memory");
}

int main(void)
{
	pthread_t threads[THREADS];
	char *buffer = map_buffer();

	map_huge();
	fill_cache();
	start_threads(threads);
	map_code();
	patch_text();
	leak();
	split(buffer);
	map_file();
	map_raw();
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	puts("done");
	return 0;
}
