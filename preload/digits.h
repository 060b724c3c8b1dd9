/* SPDX-License-Identifier: MIT */
/* Decimal digits, three at a time from a table that stays in the first cache. */
#ifndef VMTRACE_DIGITS_H
#define VMTRACE_DIGITS_H

#include <stdint.h>
#include <string.h>

#define DIGITS_SHORT 1000000000u
#define DIGITS_ROOM 24		/* bytes that digits_put() may touch */

/*
 * For each number below 1000 its three digits as characters, the first in the lowest byte, and above
 * them how many bits of leading zeros there are to shift out: 8 times 0, 1 or 2.
 */
extern const uint32_t digits_table[1000];

/* Below 1000, without leading zeros. @dst: room for four bytes. Return of all: behind the last digit. */
static inline char *digits_put_leading(char *dst, uint32_t value)
{
	uint32_t entry = digits_table[value], zeros = entry >> 24;

	entry >>= zeros;
	memcpy(dst, &entry, sizeof(entry));
	return dst + 3 - zeros / 8;
}

/* Below 1000, with them. */
static inline char *digits_put_padded(char *dst, uint32_t value)
{
	memcpy(dst, &digits_table[value], sizeof(digits_table[value]));
	return dst + 3;
}

/* Below 10^9. */
static inline char *digits_put_short(char *dst, uint32_t value)
{
	uint32_t high;

	if (value < 1000)
		return digits_put_leading(dst, value);
	high = value / 1000;
	if (value < 1000000)
		return digits_put_padded(digits_put_leading(dst, high), value - high * 1000);
	dst = digits_put_padded(digits_put_leading(dst, high / 1000), high % 1000);
	return digits_put_padded(dst, value - high * 1000);
}

/* From 10^9 on. */
char *digits_put_long(char *dst, uint64_t value);

/**
 * digits_put() - Write a number.
 * @dst: room for DIGITS_ROOM bytes; one behind the last digit may be written.
 *
 * Context: any.
 */
static inline char *digits_put(char *dst, uint64_t value)
{
	return __builtin_expect(value < DIGITS_SHORT, 1) ? digits_put_short(dst, (uint32_t)value) :
							   digits_put_long(dst, value);
}

#endif
