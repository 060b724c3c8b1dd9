/* SPDX-License-Identifier: MIT */
/*
 * Decimal digits without a branch on how many there are: eight at once, in one word.
 *
 *     12345  ─▶  0 0 0 1 2 3 4 5  ─▶  leading zeros shifted out  ─▶  "12345", 5
 */
#ifndef VMTRACE_DIGITS_H
#define VMTRACE_DIGITS_H

#include <stdint.h>
#include <string.h>

#define DIGITS_LIMIT 100000000u		/* eight digits hold what is less */
#define DIGITS_SHORT 10000u		/* four do, at half the price */

/* From lanes of two digits each, most significant first, to text without its leading zeros. */
static inline unsigned int digits_of_pairs(uint64_t pairs, unsigned int nr, uint64_t *ret_text)
{
	uint64_t tens = (pairs * 103 >> 10) & 0x000f000f000f000full, x;
	unsigned int zeros;

	x = tens | (pairs - tens * 10) << 8;
	zeros = (unsigned int)__builtin_ctzll(x | 1ull << (8 * nr - 8)) & ~7u;
	*ret_text = (x | 0x3030303030303030ull) >> zeros;
	return nr - zeros / 8;
}

/**
 * digits_of() - The digits of a number as characters, the first one in the lowest byte.
 * @value: less than DIGITS_LIMIT.
 *
 * What is above them in the word is to be written over. Context: any.
 * Return: how many there are, from 1 to 8.
 */
static inline unsigned int digits_of(uint32_t value, uint64_t *ret_text)
{
	uint64_t x, hundreds;

	if (value < DIGITS_SHORT) {
		hundreds = value * 5243 >> 19;
		return digits_of_pairs(hundreds | (uint64_t)(value - hundreds * 100) << 16, 4,
				       ret_text);
	}
	/* Two lanes of four digits, four of two. */
	x = value / 10000 | (uint64_t)(value % 10000) << 32;
	hundreds = (x * 10486 >> 20) & 0x0000007f0000007full;
	return digits_of_pairs(hundreds | (x - hundreds * 100) << 16, 8, ret_text);
}

/**
 * digits_put() - Write them.
 * @dst: room for eight bytes, which are all written.
 *
 * Return: behind the last digit.
 */
static inline char *digits_put(char *dst, uint32_t value)
{
	uint64_t text;
	unsigned int nr = digits_of(value, &text);

	memcpy(dst, &text, sizeof(text));
	return dst + nr;
}

#endif
