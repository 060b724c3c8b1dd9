/* SPDX-License-Identifier: MIT */
/*
 * Checks for unit tests: a failed one prints both values and goes on; main returns test_result().
 */
#ifndef VMTRACE_TEST_CHECK_H
#define VMTRACE_TEST_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_failures;

/* Small values print as numbers, the rest as addresses. */
static inline void check_print(const char *name, uint64_t value)
{
	if (value < 4096 || (int64_t)value > -4096)
		if ((int64_t)value < 4096) {
			fprintf(stderr, "\t%s = %" PRId64 "\n", name, (int64_t)value);
			return;
		}
	fprintf(stderr, "\t%s = 0x%" PRIx64 "\n", name, value);
}

static inline bool check_eq(uint64_t a, uint64_t b, const char *name_a, const char *name_b,
			    const char *file, int line)
{
	if (a == b)
		return true;
	fprintf(stderr, "%s:%d: not equal\n", file, line);
	check_print(name_a, a);
	check_print(name_b, b);
	check_failures++;
	return false;
}

static inline bool check_str(const char *a, const char *b, const char *file, int line)
{
	if (a && b && !strcmp(a, b))
		return true;
	fprintf(stderr, "%s:%d: not equal\n\t\"%s\"\n\t\"%s\"\n", file, line, a ? a : "(null)",
		b ? b : "(null)");
	check_failures++;
	return false;
}

static inline bool check_true(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return true;
	fprintf(stderr, "%s:%d: false: %s\n", file, line, what);
	check_failures++;
	return false;
}

#define CHECK_EQ(a, b) \
	check_eq((uint64_t)(a), (uint64_t)(b), #a, #b, __FILE__, __LINE__)
#define CHECK_STR(a, b) check_str((a), (b), __FILE__, __LINE__)
#define CHECK(what) check_true((what), #what, __FILE__, __LINE__)

static inline int test_result(void)
{
	return check_failures ? 1 : 0;
}

#endif
