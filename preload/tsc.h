/* SPDX-License-Identifier: MIT */
/* The processor's time stamp counter: x86-64's. */
#ifndef VMTRACE_TSC_H
#define VMTRACE_TSC_H

#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

/* Invariant (same rate in all power states), and rdtscp exists: CPUID leaves 0x80000007, 0x80000001. */
static inline bool tsc_is_invariant(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(d & 1u << 27))
		return false;
	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8;
}

static inline uint64_t tsc_read(void)
{
	return __rdtsc();
}

/* Not before the instructions in front of it are done. */
static inline uint64_t tsc_read_ordered(void)
{
	unsigned int cpu;

	return __rdtscp(&cpu);
}

/* Not behind any of those that follow it. */
static inline uint64_t tsc_read_before(void)
{
	uint64_t ticks = tsc_read();

	_mm_lfence();
	return ticks;
}

/* Neither. */
static inline uint64_t tsc_read_between(void)
{
	uint64_t ticks = tsc_read_ordered();

	_mm_lfence();
	return ticks;
}

#endif
