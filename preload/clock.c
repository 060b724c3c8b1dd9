/* SPDX-License-Identifier: MIT */
/*
 * The counter's rate is measured between two moments at which both clocks are read, each the
 * narrowest of a few tries. The kernel is asked whether it uses the counter as its own clock: then
 * it has found it invariant, and equal on all processors.
 */
#include "clock.h"

#include <dlfcn.h>
#include <string.h>

#include "sys.h"

#include "no_heap.h"

#define TRIES 8
#define NS_PER_S 1000000000ull
#define SHORTEST_NS 200000	/* between the two moments: errors of some 20 ns are 0.01 % */

struct moment {
	uint64_t ticks, ns;
};

struct clock trace_clock;

static bool is_trusted;
static struct moment begin;
static struct moment started;

uint64_t clock_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct moment look(void)
{
	uint64_t narrowest = UINT64_MAX, before, ns, width;
	struct moment moment = { 0, 0 };
	int i;

	for (i = 0; i < TRIES; i++) {
		before = tsc_read_ordered();
		ns = clock_monotonic();
		width = tsc_read_ordered() - before;
		if (width < narrowest) {
			narrowest = width;
			moment = (struct moment){ before + width / 2, ns };
		}
	}
	return moment;
}

/* Not libc's function of that name: where there is no vdso, that is a system call. */
static void *find_gettime(void)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);

	return vdso ? dlvsym(vdso, "__vdso_clock_gettime", "LINUX_2.6") : NULL;
}

void clock_init(void)
{
	static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char source[32] = "";

	is_trusted = tsc_is_invariant() && sys_read_file(path, source, sizeof(source)) > 0 &&
		     !strncmp(source, "tsc\n", 4);
	if (!is_trusted)
		return;
	*(void **)(void *)&trace_clock.gettime = find_gettime();
	begin = look();
}

void clock_calibrate(void)
{
	struct moment end;

	if (!is_trusted)
		return;
	do {
		end = look();
	} while (end.ns - begin.ns < SHORTEST_NS);
	trace_clock.mult = (uint64_t)(((unsigned __int128)(end.ns - begin.ns) << 32) /
				      (end.ticks - begin.ticks));
}

void clock_start(uint64_t *ret_monotonic_ns)
{
	started = trace_clock.mult ? look() : (struct moment){ 0, clock_monotonic() };
	trace_clock.start = trace_clock.mult ? started.ticks : started.ns;
	*ret_monotonic_ns = started.ns;
}

const char *clock_source(void)
{
	return trace_clock.mult ? "tsc" : "monotonic";
}

int64_t clock_drift(void)
{
	struct moment now;

	if (!trace_clock.mult)
		return 0;
	now = look();
	return (int64_t)((uint64_t)((unsigned __int128)(now.ticks - started.ticks) * trace_clock.mult >>
				    32) - (now.ns - started.ns));
}
