/* SPDX-License-Identifier: MIT */
/*
 * Random shared memory segments, page faults, growing stacks, limits, and the things a process has
 * only one of.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"
#include "touch.h"

#define CROWD_BASE 0x300000000000ull
#define CROWD_PAGES 66000

void step_shm(struct generator *g, struct step *s)
{
	uint64_t addr = 0, flags = one_in(g, 4) ? SHM_RDONLY : 0, i = below(g, NR_SEGMENTS);

	if (g->nr_attached && one_in(g, 2)) {
		unsigned int n = below(g, g->nr_attached);

		addr = g->attached[n];
		g->attached[n] = g->attached[--g->nr_attached];
		CALL(g, s, SYS_shmdt, MM_SHMDT, addr);
		return;
	}
	if (g->nr_attached == NR_ATTACHED) {
		CALL(g, s, SYS_shmdt, MM_SHMDT, some_addr(g));
		return;
	}
	if (one_in(g, 2)) {
		addr = some_addr(g);
		flags |= one_in(g, 3) ? SHM_RND : SHM_REMAP;
	}
	if (one_in(g, 8))
		flags |= SHM_EXEC;
	CALL(g, s, SYS_shmat, MM_SHMAT, objects.segments[i], addr, flags);
	s->call.len = objects.segment_bytes[i];
	s->wants_file = s->call.ret > 0;
	s->file.has_close = true;
	s->file.no_write = flags & SHM_RDONLY;
	if (s->call.ret > 0)
		g->attached[g->nr_attached++] = s->call.ret;
}

void step_prctl(struct generator *g, struct step *s)
{
	static const char *const names[] = { "alpha", "beta" };
	uint64_t kind = below(g, 8), n = below(g, 3);

	if (kind < 5 || !g->is_main) {
		CALL(g, s, SYS_prctl, MM_PRCTL, PR_SET_VMA, 0, some_addr(g), some_len(g),
		     n < 2 ? (uintptr_t)names[n] : 0);
		s->call.name = n < 2 ? names[n] : NULL;
	} else if (kind < 7) {
		CALL(g, s, SYS_prctl, MM_PRCTL, PR_SET_MM, PR_SET_MM_START_STACK,
		     one_in(g, 2) ? g->start_stack : some_addr(g), 0, 0);
	} else {
		CALL(g, s, SYS_prctl, MM_PRCTL, PR_SET_MEMORY_MERGE, one_in(g, 4), 0, 0, 0);
	}
}

void step_aio(struct generator *g, struct step *s)
{
	uint64_t context = 0;

	if (g->aio_ring) {
		CALL(g, s, SYS_io_destroy, MM_IO_DESTROY, g->aio_ring);
		g->aio_ring = 0;
		return;
	}
	CALL(g, s, SYS_io_setup, MM_IO_SETUP, 1 + below(g, 300), (uintptr_t)&context);
	/* How many contexts there may be is counted over all processes. */
	s->volatile_result = true;
	if (s->call.ret)
		return;
	g->aio_ring = context;
	s->call.arg[2] = context;
	s->wants_file = true;
}

static void add_touch(struct step *s, uint64_t addr, enum touch_how how)
{
	struct touch *t = &s->touch[s->nr_touches++];

	*t = (struct touch){ .addr = addr, .how = how, .failed = !touch(addr, how) };
}

void step_touch(struct generator *g, struct step *s)
{
	uint64_t nr = 1 + below(g, 6);

	s->kind = STEP_TOUCH;
	s->start = g->window;
	s->end = g->window + 2 * WINDOW_PAGES * PAGE;
	while (nr--) {
		uint64_t addr = g->window + below(g, WINDOW_PAGES) * PAGE + below(g, PAGE);

		add_touch(s, addr, below(g, TOUCH_NR));
	}
	if (g->nr_floating && one_in(g, 2))
		add_touch(s, g->floating[below(g, g->nr_floating)], TOUCH_KERNEL_WRITE);
}

void step_stack(struct generator *g, struct step *s)
{
	uint64_t addr = g->stacks + below(g, STACK_PAGES) * PAGE;

	if (one_in(g, 3)) {
		s->kind = STEP_TOUCH;
		s->start = g->stacks;
		s->end = g->stacks + (STACK_PAGES + 64) * PAGE;
		for (int i = 0; i < 6; i++)
			add_touch(s, g->stacks + below(g, STACK_PAGES) * PAGE, below(g, TOUCH_NR));
		return;
	}
	if (one_in(g, 4)) {
		CALL(g, s, SYS_munmap, MM_MUNMAP, addr, (1 + below(g, 600)) * PAGE);
		return;
	}
	if (one_in(g, 3)) {
		CALL(g, s, SYS_mprotect, MM_MPROTECT, addr, (1 + below(g, 400)) * PAGE,
		     some_prot(g) | (one_in(g, 2) ? PROT_GROWSDOWN : 0));
		return;
	}
	CALL(g, s, SYS_mmap, MM_MMAP, addr, (1 + below(g, 8)) * PAGE, some_prot(g),
	     MAP_PRIVATE | MAP_ANONYMOUS | (one_in(g, 3) ? 0 : MAP_FIXED) |
		     (one_in(g, 3) ? 0 : MAP_GROWSDOWN), -1, 0);
}

/* Pages beyond the end of a file stay mapped, and can't be touched any more. */
void step_truncate(struct generator *g, struct step *s)
{
	const struct file_info *file = &objects.files[below(g, objects.nr_files)];

	if (!file->may_truncate || ftruncate(file->fd, below(g, 65) * PAGE))
		return;
	s->what = "ftruncate(some file)";
}

static uint64_t total_vm_bytes(void)
{
	char buf[128] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = '\0';
	if (fd >= 0)
		close(fd);
	return strtoull(buf, NULL, 10) * PAGE;
}

static void set_limit(struct step *s, int resource, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return;
	limit.rlim_cur = value;
	if (setrlimit(resource, &limit))
		return;
	s->kind = STEP_LIMIT;
	s->resource = resource;
	s->limit = value;
}

/* A limit that will soon be reached, on one resource at a time. */
void step_limit(struct generator *g, struct step *s)
{
	static const int resources[] = { RLIMIT_AS, RLIMIT_AS, RLIMIT_MEMLOCK, RLIMIT_DATA,
					 RLIMIT_STACK };
	int resource = resources[below(g, 5)];
	uint64_t room = below(g, 40) * PAGE;
	struct rlimit limit;

	if (!g->limits || !g->is_main || g->limited >= 0 || getrlimit(resource, &limit))
		return;
	if (resource == RLIMIT_AS || resource == RLIMIT_DATA)
		room += total_vm_bytes();
	/* Less than the program's own stack needs would kill it. */
	else if (resource == RLIMIT_STACK)
		room += 1 << 20;
	set_limit(s, resource, room);
	if (s->kind != STEP_LIMIT)
		return;
	g->limited = resource;
	g->limit_before = limit.rlim_cur;
}

void step_lift_limit(struct generator *g, struct step *s)
{
	set_limit(s, g->limited, g->limit_before);
	g->limited = -1;
}

static void bulk_call(struct generator *g, struct step *s)
{
	s->wants_file = false;
	g->bulk(g, s);
}

/*
 * As many vmas as the kernel allows, or a few less:
 *
 *   ----------------   →   r-r-r-r-r-r-----
 */
void step_crowd(struct generator *g, struct step *s)
{
	uint64_t at = CROWD_BASE, end = CROWD_BASE + CROWD_PAGES * PAGE, spare = below(g, 5);

	CALL(g, s, SYS_mmap, MM_MMAP, at, CROWD_PAGES * PAGE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	bulk_call(g, s);
	for (s->call.ret = 0; at < end && !s->call.ret; at += 2 * PAGE) {
		CALL(g, s, SYS_mprotect, MM_MPROTECT, at, PAGE, PROT_READ);
		bulk_call(g, s);
	}
	at -= spare * 2 * PAGE;
	g->crowded = true;
	CALL(g, s, SYS_munmap, MM_MUNMAP, at, end - at);
}

void step_disperse(struct generator *g, struct step *s)
{
	g->crowded = false;
	CALL(g, s, SYS_munmap, MM_MUNMAP, CROWD_BASE, CROWD_PAGES * PAGE);
}
