/* SPDX-License-Identifier: MIT */
/*
 * Checks for the analyzer's unit programs: both values are printed, the run goes on, and main()
 * returns check_status().
 */
#ifndef VMTRACE_TEST_REPORT_CHECK_H
#define VMTRACE_TEST_REPORT_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int check_failures;

#define CHECK_EQ(got, want) \
	check_equal(__func__, __LINE__, #got, (uint64_t)(got), (uint64_t)(want))
#define CHECK_STR(got, want) check_string(__func__, __LINE__, #got, got, want)

static inline void check_equal(const char *func, int line, const char *what, uint64_t got,
			       uint64_t want)
{
	if (got == want)
		return;
	fprintf(stderr, "%s:%d: %s is 0x%" PRIx64 " (%" PRIu64 "), not 0x%" PRIx64 " (%" PRIu64 ")\n",
		func, line, what, got, got, want, want);
	check_failures++;
}

static inline void check_string(const char *func, int line, const char *what, const char *got,
				const char *want)
{
	if (got && !strcmp(got, want))
		return;
	fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", func, line, what, got ? got : "(null)",
		want);
	check_failures++;
}

static inline int check_status(void)
{
	return check_failures ? 1 : 0;
}

#endif
