/* SPDX-License-Identifier: MIT */
/*
 * A generated program that stands on its own: several threads make random steps through libc's
 * functions and syscall(2), and fork. Run natively or traced; conformance.py compares the two, and
 * the log with the trace.
 *
 *   program --seed N --ops N --log FILE [--threads N] [--shared] [--limits] [--only LIST]
 *
 * Thread t makes the steps whose number is t modulo the number of threads. A forked child makes
 * some more steps of its own in the thread's place and leaves. Each call is a line of the log, in
 * the order of its thread:
 *
 *   PID TID PATH STEP NAME ARG0 … ARG5 RESULT DETERMINED <tab> text
 *
 * PATH tells processes and threads apart in the same way in each run. There is no heap and no
 * stdio beside the start: what the program maps, it maps by the calls it logs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generator.h"

#define THREADS_MAX 8
#define STEPS_MAX 2000000u
#define CHILD_STEPS 150		/* at most */
#define CHILDREN_MAX 32
#define DEPTH_MAX 2

pid_t _Fork(void);

/* One thread, and after a fork its continuation in the child. */
struct worker {
	struct generator generator;
	unsigned int id;
	char path[64];
	unsigned int depth;
	pid_t tid;
	pid_t children[CHILDREN_MAX];
	unsigned int nr_children;
	uint64_t step;
	bool failed;
};

static struct worker workers[THREADS_MAX];
static unsigned char left_out[STEPS_MAX];
static uint64_t seed = 1, ops = 2000;
static unsigned int nr_threads = 1;
static bool shared_window, limits;
static int log_fd = -1;
static pthread_barrier_t ready;

static void log_line(struct worker *w, const char *name, const uint64_t arg[6], int64_t ret,
		     bool determined, const char *text)
{
	char line[STEP_TEXT_MAX + 512];
	int n = snprintf(line, sizeof(line), "%d %d %s %lu %s %lx %lx %lx %lx %lx %lx %lx %d\t%s\n",
			 getpid(), w->tid, w->path, w->step, name, arg[0], arg[1], arg[2], arg[3],
			 arg[4], arg[5], ret, determined, text);

	if (write(log_fd, line, n) != n)
		w->failed = true;
}

static void log_step(struct worker *w, const struct step *s)
{
	static const uint64_t none[6];
	char text[STEP_TEXT_MAX];

	if (s->kind == STEP_OTHER && !s->what)
		return;
	step_text(s, text);
	if (s->kind == STEP_CALL)
		log_line(w, op_name(s->call.op), s->call.arg, s->call.ret, !s->volatile_result, text);
	else
		log_line(w, "-", none, 0, false, text);
}

static void log_bulk(struct generator *g, struct step *s)
{
	log_step(g->runner, s);
}

/* libc's own function for a call. Return: as it has it, -1 and errno; @ret_known: there is one. */
static long by_symbol(enum mm_op op, const uint64_t a[6], bool *ret_known)
{
	void *addr = (void *)a[0];

	*ret_known = true;
	switch (op) {
	case MM_MMAP:
		return (long)mmap(addr, a[1], (int)a[2], (int)a[3], (int)a[4], (off_t)a[5]);
	case MM_MUNMAP:
		return munmap(addr, a[1]);
	case MM_MREMAP:
		return (long)mremap(addr, a[1], a[2], (int)a[3], (void *)a[4]);
	case MM_MPROTECT:
		return mprotect(addr, a[1], (int)a[2]);
	case MM_MADVISE:
		return madvise(addr, a[1], (int)a[2]);
	case MM_MLOCK:
		return mlock(addr, a[1]);
	case MM_MUNLOCK:
		return munlock(addr, a[1]);
	case MM_MLOCKALL:
		return mlockall((int)a[0]);
	case MM_MUNLOCKALL:
		return munlockall();
	case MM_SHMAT:
		return (long)shmat((int)a[0], (void *)a[1], (int)a[2]);
	case MM_SHMDT:
		return shmdt(addr);
	case MM_REMAP_FILE_PAGES:
		return remap_file_pages(addr, a[1], (int)a[2], a[3], (int)a[4]);
	case MM_IOCTL:
		return ioctl((int)a[0], a[1], a[2]);
	case MM_CLOSE:
		return close((int)a[0]);
	case MM_PRCTL:
		return prctl((int)a[0], a[1], a[2], a[3], a[4]);
	default:
		*ret_known = false;
		return 0;
	}
}

/* libc keeps the break in a variable: to go round it would have malloc() take it back. */
static long move_break(const uint64_t arg[6])
{
	(void)!brk((void *)arg[0]);
	return (long)sbrk(0);
}

static long make(struct generator *g, enum mm_op op, long nr, const uint64_t arg[6])
{
	bool known = false;
	long ret = 0;

	if (op == MM_BRK)
		return move_break(arg);
	/* libc hands on a fifth argument only where the flags ask for one. */
	if ((g->seed + g->rng) % 2 && (op != MM_MREMAP || arg[3] & 6 || !arg[4]))
		ret = by_symbol(op, arg, &known);
	if (!known)
		ret = syscall(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	return ret == -1 ? -errno : ret;
}

static void make_steps(struct worker *w, uint64_t from, uint64_t to);

static void wait_for_children(struct worker *w)
{
	int status;

	for (unsigned int i = 0; i < w->nr_children; i++) {
		if (waitpid(w->children[i], &status, 0) < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status))
			w->failed = true;
	}
	w->nr_children = 0;
}

/* Three ways into fork(2), two out of the child. */
static pid_t fork_somehow(uint64_t how)
{
	switch (how % 3) {
	case 0:
		return fork();
	case 1:
		return _Fork();
	default:
		return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	}
}

static void fork_child(struct worker *w)
{
	uint64_t end = w->step + nr_threads * (1 + w->step % CHILD_STEPS);
	size_t n = strlen(w->path);
	pid_t pid;

	if (w->depth == DEPTH_MAX || w->nr_children == CHILDREN_MAX)
		return;
	pid = fork_somehow(w->step / nr_threads);
	if (pid > 0)
		w->children[w->nr_children++] = pid;
	if (pid)
		return;
	snprintf(w->path + n, sizeof(w->path) - n, ".%lu", w->step);
	w->depth++;
	w->tid = (pid_t)syscall(SYS_gettid);
	w->nr_children = 0;
	objects_forked();
	w->generator.salt += w->step + 1;
	make_steps(w, w->step + nr_threads, end < ops ? end : ops);
	wait_for_children(w);
	_exit(w->failed);
}

/* Children that share the memory until they leave, or fail to execute something. */
static void spawn_child(uint64_t how)
{
	static char *const nothing[] = { (char *)"/nonexistent", NULL };
	int status;
	pid_t pid;

	if (how % 3 == 0) {
		if (!posix_spawn(&pid, nothing[0], NULL, NULL, nothing, nothing + 1))
			waitpid(pid, &status, 0);
		return;
	}
	pid = vfork();
	if (!pid) {
		if (how % 3 == 1)
			execve(nothing[0], nothing, nothing + 1);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
}

static void make_steps(struct worker *w, uint64_t from, uint64_t to)
{
	struct step s;

	for (w->step = from; w->step < to; w->step += nr_threads) {
		if (left_out[w->step])
			continue;
		generator_step(&w->generator, w->step, &s);
		log_step(w, &s);
		if (s.kind == STEP_FORK)
			fork_child(w);
		else if (s.kind == STEP_SPAWN)
			spawn_child(w->step / nr_threads);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	bool alone = nr_threads == 1;

	w->tid = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&ready);
	make_steps(w, w->id, ops);
	wait_for_children(w);
	/* Nobody's memory may go while others still count on it. */
	if (!alone)
		pthread_barrier_wait(&ready);
	return NULL;
}

static void init_worker(unsigned int id)
{
	struct worker *w = &workers[id];
	struct generator *g = &w->generator;

	generator_init(g, seed, shared_window ? 0 : id);
	g->make = make;
	g->bulk = log_bulk;
	g->runner = w;
	g->is_main = id == 0;
	g->forks = true;
	/* crowd_step is 0: after a limit or mlockall() the library keeps no room for so many calls. */
	g->limits = limits;
	w->id = id;
	snprintf(w->path, sizeof(w->path), "%u", id);
}

/* "3,17,900-905": all other steps are left out. */
static void parse_only(const char *list)
{
	memset(left_out, 1, sizeof(left_out));
	while (*list) {
		char *end;
		uint64_t from = strtoull(list, &end, 10), to = from;

		if (*end == '-')
			to = strtoull(end + 1, &end, 10);
		if (end == list || to >= STEPS_MAX || from > to)
			exit(2);
		memset(left_out + from, 0, to - from + 1);
		list = *end ? end + 1 : end;
	}
}

static void parse_options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--shared")) {
			shared_window = true;
			continue;
		}
		if (!strcmp(argv[i], "--limits")) {
			limits = true;
			continue;
		}
		if (!strcmp(argv[i], "--seed"))
			seed = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "--ops"))
			ops = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "--threads"))
			nr_threads = (unsigned int)strtoul(value, NULL, 10);
		else if (!strcmp(argv[i], "--log"))
			log_fd = open(value, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
		else if (!strcmp(argv[i], "--only"))
			parse_only(value);
		else
			exit(2);
		i++;
	}
	if (log_fd < 0 || ops > STEPS_MAX || !nr_threads || nr_threads > THREADS_MAX)
		exit(2);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	void *volatile block;
	bool failed = false;

	parse_options(argc, argv);
	if (objects_init())
		return 77;
	/* libc's heap is in use before the break is ours to move; the compiler must not see through it. */
	block = malloc(1000);
	free(block);
	pthread_barrier_init(&ready, NULL, nr_threads);
	for (unsigned int i = 0; i < nr_threads; i++)
		init_worker(i);
	for (unsigned int i = 1; i < nr_threads; i++)
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			return 77;
	work(&workers[0]);
	for (unsigned int i = 0; i < nr_threads; i++)
		failed |= workers[i].failed;
	objects_fini();
	/* Destructors and stdio would meet a heap that may be locked, sealed or out of limits. */
	_exit(failed);
}
