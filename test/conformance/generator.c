/* SPDX-License-Identifier: MIT */
/* Which step comes next: see generator.h. */
#include "generator.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "steps.h"

#define WINDOW_BASE 0x100000000000ull
#define STACK_BASE 0x180000000000ull
#define PLACE_STRIDE 0x8000000000ull	/* between the windows of two generators */
#define CROWD_EVERY 8			/* seeds of which one fills the map up to its limit */

static uint64_t next_random(struct generator *g)
{
	uint64_t z = g->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t below(struct generator *g, uint64_t n)
{
	return next_random(g) % n;
}

bool one_in(struct generator *g, uint64_t n)
{
	return below(g, n) == 0;
}

uint64_t some_addr(struct generator *g)
{
	uint64_t addr = g->window + below(g, WINDOW_PAGES) * PAGE;

	if (one_in(g, 150))
		addr += 1 + below(g, PAGE - 1);
	return addr;
}

uint64_t some_len(struct generator *g)
{
	static const uint64_t odd[] = { 0, 1, PAGE - 1, PAGE + 1, ~0ull, ENDLESS, 3 * PAGE + 5 };

	if (one_in(g, 80))
		return odd[below(g, sizeof(odd) / sizeof(odd[0]))];
	if (one_in(g, 12))
		return (1 + below(g, WINDOW_PAGES)) * PAGE;
	return (1 + below(g, 6)) * PAGE;
}

uint64_t some_span(struct generator *g)
{
	uint64_t len = some_len(g);

	return len == ENDLESS ? PAGE : len;
}

void remember_floating(struct generator *g, uint64_t addr, uint64_t len)
{
	if (g->nr_floating == NR_FLOATING)
		return;
	g->floating[g->nr_floating] = addr;
	g->floating_len[g->nr_floating++] = len;
}

void do_call(struct generator *g, struct step *s, long nr, enum mm_op op, const uint64_t arg[6])
{
	s->kind = STEP_CALL;
	s->call.op = op;
	memcpy(s->call.arg, arg, sizeof(s->call.arg));
	s->call.ret = g->make(g, op, nr, s->call.arg);
}

/* Field 28 of /proc/self/stat. */
static uint64_t read_start_stack(void)
{
	char stat[1024];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
	const char *p;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	stat[n] = '\0';
	p = strrchr(stat, ')');
	for (int field = 2; p && field < 28; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

void generator_init(struct generator *g, uint64_t seed, unsigned int id)
{
	memset(g, 0, sizeof(*g));
	g->seed = seed;
	g->id = id;
	g->window = WINDOW_BASE + id * PLACE_STRIDE;
	g->stacks = STACK_BASE + id * PLACE_STRIDE;
	g->brk = g->brk_low = (uintptr_t)sbrk(0);
	g->start_stack = read_start_stack();
	g->limited = -1;
	for (int i = 0; i < NR_UFFDS; i++)
		g->uffd[i] = -1;
}

static void step_seldom(struct generator *g, struct step *s, uint64_t r)
{
	if (r < 3)
		step_seal(g, s);
	else if (r < 30)
		step_shm(g, s);
	else if (r < 60)
		step_policy(g, s);
	else if (r < 80)
		step_prctl(g, s);
	else if (r < 85)
		step_aio(g, s);
	else if (r < 100)
		step_remap_file_pages(g, s);
	else if (r < 130)
		step_stack(g, s);
	else if (r < 135)
		step_truncate(g, s);
	else if (r < 137)
		step_limit(g, s);
	else if (r < 152)
		step_uffd(g, s);
	else if (r < 155)
		step_process_madvise(g, s);
	else
		step_touch(g, s);
}

/* A child would keep a userfaultfd open that we close. */
static void step_fork(struct generator *g, struct step *s)
{
	g->forking = step_close_uffd(g, s);
	if (!g->forking)
		s->kind = STEP_FORK;
}

static void step_often(struct generator *g, struct step *s, uint64_t r)
{
	if (r < 230)
		step_mmap(g, s, true);
	else if (r < 280)
		step_mmap(g, s, false);
	else if (r < 360)
		step_munmap(g, s);
	else if (r < 500)
		step_mprotect(g, s);
	else if (r < 580)
		step_mremap(g, s);
	else if (r < 620)
		step_brk(g, s);
	else if (r < 700)
		step_madvise(g, s);
	else
		step_lock(g, s);
}

void generator_step(struct generator *g, uint64_t nr, struct step *ret_step)
{
	struct step *s = ret_step;
	uint64_t r;

	memset(s, 0, sizeof(*s));
	s->kind = STEP_OTHER;
	g->rng = g->seed * 0xd1342543de82ef95ull + nr * 0x2545f4914f6cdd1dull +
		 g->salt * 0x9e3779b97f4a7c15ull;
	s->call.event = nr + 1;
	r = below(g, 1000);
	/* Limits and crowds last for some dozens of steps. */
	if (g->limited >= 0 && one_in(g, 40))
		step_lift_limit(g, s);
	else if (g->crowded && one_in(g, 60))
		step_disperse(g, s);
	else if (g->limits && g->is_main && g->seed % CROWD_EVERY == 4 && nr == g->crowd_step)
		step_crowd(g, s);
	else if (g->forking || (g->forks && one_in(g, 2500)))
		step_fork(g, s);
	else if (g->forks && one_in(g, 1500))
		s->kind = STEP_SPAWN;
	else if (r < 740)
		step_often(g, s, r);
	else
		step_seldom(g, s, r - 740);
}
