/* SPDX-License-Identifier: MIT */
/*
 * The recorder in-process, without hooks: several threads append heap operations, intern stacks and
 * write records of the main stream at the same time. Then the file is read: each line is JSON, and each
 * operation is in it. Built with ThreadSanitizer where the compiler has it: all that the threads share
 * must be under the lock or atomic.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "capture.h"
#include "check.h"
#include "clock.h"
#include "config.h"
#include "lock.h"
#include "modules.h"
#include "recorder.h"
#include "sink.h"
#include "stacks.h"
#include "sys.h"
#include "thread.h"

#define THREADS 6
#define ROUNDS 3000
#define RECORD_EVERY 50
#define BLOCK(thread, round) (0x10000000ull * ((thread) + 1) + (round) * 64)

/* What the recorder's surroundings would do at a thread's end: nothing that is tested here. */
void capture_thread_end(void)
{
}

/* Nobody goes through the gate. */
bool modules_take_loader(void)
{
	return true;
}

void modules_give_loader(void)
{
}

/*
 * The places far from a program's mappings are the sanitizer's own: anywhere else will do. Linked
 * with --wrap.
 */
void *__real_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);

void *__wrap_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if (flags & MAP_FIXED_NOREPLACE)
		return __real_sys_mmap(NULL, len, prot, flags & ~MAP_FIXED_NOREPLACE, fd, off);
	return __real_sys_mmap(addr, len, prot, flags, fd, off);
}

static uint32_t intern(unsigned long thread, unsigned long round)
{
	void *ips[3] = { (void *)(0x1000 + round % 97), (void *)(0x2000 + thread % 2),
			 (void *)0x3000 };
	struct lock_state state;
	uint32_t id;

	lock_take(&state);
	id = stacks_intern(0, ips, 3, false);
	lock_drop(&state);
	return id;
}

static void record(unsigned long thread)
{
	struct lock_state state;
	struct jsonw *w;

	lock_take(&state);
	w = recorder_writer();
	jsonw_event(w, "thread");
	jsonw_num(w, "tid", (int64_t)thread);
	recorder_commit(w);
	lock_drop(&state);
	recorder_lost("heap", "guard", 1);
}

/* Each round: two allocations, one of them regrown, one freed. */
static void *work(void *arg)
{
	unsigned long nr = (unsigned long)arg, round;
	struct thread *t = thread_self();

	if (!t)
		return (void *)1;
	for (round = 0; round < ROUNDS; round++) {
		uint64_t block = BLOCK(nr, round * 3);
		uint32_t stack = intern(nr, round);

		heap_stream_alloc(&t->heap, (int)nr + 1, clock_after_acquisition(), block, round, 0,
				  stack);
		heap_stream_alloc(&t->heap, (int)nr + 1, clock_after_acquisition(), block + 64, 100,
				  64, stack);
		heap_stream_realloc(&t->heap, (int)nr + 1, clock_after_acquisition(), block + 128,
				    200, stack, block + 64, 10);
		heap_stream_free(&t->heap, (int)nr + 1, clock_before_release(), block);
		if (round % RECORD_EVERY == 0)
			record(nr);
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t threads[THREADS];
	struct lock_state state;
	unsigned long i;
	void *failed;

	for (i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		CHECK(!failed);
	}
	lock_take(&state);
	thread_flush_all();
	recorder_flush_lost();
	recorder_trim();
	lock_drop(&state);
}

/* Sums over the file. */
static struct {
	uint64_t ops[THREADS + 1], sizes[THREADS + 1], records, lost, stacks, bad;
} sums;

static void take_heap_line(json_t *line)
{
	json_int_t tid = json_integer_value(json_object_get(line, "tid"));
	json_t *op;
	size_t i;

	if (tid < 1 || tid > THREADS) {
		sums.bad++;
		return;
	}
	json_array_foreach(json_object_get(line, "ops"), i, op) {
		sums.ops[tid]++;
		sums.sizes[tid] += (uint64_t)json_integer_value(json_array_get(op, 2));
	}
}

static void take_line(const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, 0, NULL);
	const char *ev = json_string_value(json_object_get(line, "ev"));

	if (!ev)
		sums.bad++;
	else if (!strcmp(ev, "heap"))
		take_heap_line(line);
	else if (!strcmp(ev, "thread"))
		sums.records++;
	else if (!strcmp(ev, "stack"))
		sums.stacks += json_array_size(json_object_get(line, "ips"));
	else if (!strcmp(ev, "lost"))
		sums.lost += (uint64_t)json_integer_value(json_object_get(line, "count"));
	json_decref(line);
}

static void read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	CHECK(file);
	while (file && (len = getline(&line, &size, file)) > 0) {
		if (*line != '\n')
			take_line(line, (size_t)len);
	}
	free(line);
	if (file)
		fclose(file);
}

static void test_threads(void)
{
	char dir[] = "/tmp/vmtrace-recorder-XXXXXX", out[128], path[64];
	char *envp[] = { out, (char *)"VMTRACE_QUIET=1", NULL };
	uint64_t started;
	int i;

	if (!CHECK(mkdtemp(dir)))
		return;
	snprintf(path, sizeof(path), "%s/trace.json", dir);
	snprintf(out, sizeof(out), "VMTRACE_OUT=%s", path);
	config_read(&config, envp);
	thread_init();
	clock_init();
	clock_start(&started);
	CHECK_EQ(arena_init(), 0);
	CHECK(recorder_init());
	CHECK(stacks_init());
	CHECK_EQ(sink_open(false), 0);
	run_threads();
	read_file(path);
	CHECK_EQ(sums.bad, 0);
	for (i = 1; i <= THREADS; i++) {
		CHECK_EQ(sums.ops[i], 4 * ROUNDS);
		CHECK_EQ(sums.sizes[i], 300ull * ROUNDS + ROUNDS * (ROUNDS - 1ull) / 2);
	}
	CHECK_EQ(sums.records, THREADS * (ROUNDS / RECORD_EVERY));
	CHECK_EQ(sums.lost, THREADS * (ROUNDS / RECORD_EVERY));
	/* 97 leaves under each of two callers, and their one caller. */
	CHECK_EQ(sums.stacks, 2 * 97 + 2 + 1);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	test_threads();
	return test_result();
}
