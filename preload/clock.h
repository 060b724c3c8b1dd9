/* SPDX-License-Identifier: MIT */
/*
 * The trace's clock: nanoseconds since its start, from the processor's counter where the kernel
 * itself trusts that one, else from clock_gettime(2).
 *
 * Order between threads hangs on which side of the allocator's work a stamp is taken: what gives an
 * address back is stamped before, what takes one after. The counter is read out of order, so the
 * second kind waits for the instructions before it.
 */
#ifndef VMTRACE_CLOCK_H
#define VMTRACE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tsc.h"

struct clock {
	uint64_t start;		/* ticks of the counter, or nanoseconds of CLOCK_MONOTONIC */
	uint64_t mult;		/* nanoseconds a tick, times 2^32; 0: there is no counter to trust */
	/* The vdso's, for the kernel's coarse clock; NULL without one. */
	int (*gettime)(clockid_t id, struct timespec *ret_now);
};

extern struct clock trace_clock;

/**
 * clock_init() - Look whether the counter may be used, and begin to measure its rate.
 * clock_calibrate() - End that: the longer after clock_init(), the better.
 * clock_start() - Time is 0 now.
 * @ret_monotonic_ns: the same moment by CLOCK_MONOTONIC.
 *
 * Context: startup, in this order; the last also in a fork child.
 */
void clock_init(void);
void clock_calibrate(void);
void clock_start(uint64_t *ret_monotonic_ns);

/* "tsc" or "monotonic". */
const char *clock_source(void);
/* What the trace's clock is ahead of CLOCK_MONOTONIC, in nanoseconds, by now. Context: hook path. */
int64_t clock_drift(void);

uint64_t clock_monotonic(void);

static inline bool clock_is_tsc(void)
{
	return __builtin_expect(trace_clock.mult != 0, true);
}

/* Since the start, if clock_is_tsc(). @ticks: tsc_read(), or tsc_read_ordered(). */
static inline uint64_t clock_of_ticks(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)(ticks - trace_clock.start) * trace_clock.mult >> 32);
}

/*
 * A number that changes with each tick of the kernel's (CONFIG_HZ: 1 to 10 ms), and is not 0; to be had
 * for a third of what the counter takes. Only where there is a trace_clock.gettime. Context: any.
 */
static inline uint64_t clock_jiffy(void)
{
	struct timespec now;

	trace_clock.gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec << 30 | (uint64_t)now.tv_nsec;
}

/* Since the start. Context of both: any. */
static inline uint64_t clock_before_release(void)
{
	return clock_is_tsc() ? clock_of_ticks(tsc_read()) : clock_monotonic() - trace_clock.start;
}

static inline uint64_t clock_after_acquisition(void)
{
	return clock_is_tsc() ? clock_of_ticks(tsc_read_ordered()) :
				clock_monotonic() - trace_clock.start;
}

#endif
