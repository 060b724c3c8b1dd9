/* SPDX-License-Identifier: MIT */
#include "digits.h"

#include "no_heap.h"

/* ZEROS: how many there are in front. */
#define ENTRY(n, zeros) \
	(('0' + (n) / 100) | ('0' + (n) / 10 % 10) << 8 | ('0' + (n) % 10) << 16 | (zeros) * 8 << 24)
#define TEN(n, zeros) \
	ENTRY(n, zeros), ENTRY((n) + 1, zeros), ENTRY((n) + 2, zeros), ENTRY((n) + 3, zeros), \
	ENTRY((n) + 4, zeros), ENTRY((n) + 5, zeros), ENTRY((n) + 6, zeros), ENTRY((n) + 7, zeros), \
	ENTRY((n) + 8, zeros), ENTRY((n) + 9, zeros)
#define NINETY(n, zeros) \
	TEN((n) + 10, zeros), TEN((n) + 20, zeros), TEN((n) + 30, zeros), TEN((n) + 40, zeros), \
	TEN((n) + 50, zeros), TEN((n) + 60, zeros), TEN((n) + 70, zeros), TEN((n) + 80, zeros), \
	TEN((n) + 90, zeros)
#define HUNDRED(n) TEN(n, 0), NINETY(n, 0)

const uint32_t digits_table[1000] = {
	TEN(0, 2), NINETY(0, 1), HUNDRED(100), HUNDRED(200), HUNDRED(300), HUNDRED(400),
	HUNDRED(500), HUNDRED(600), HUNDRED(700), HUNDRED(800), HUNDRED(900),
};

char *digits_put_long(char *dst, uint64_t value)
{
	dst = digits_put(dst, value / 1000000);
	dst = digits_put_padded(dst, (uint32_t)(value / 1000 % 1000));
	return digits_put_padded(dst, (uint32_t)(value % 1000));
}
