/* SPDX-License-Identifier: MIT */
#include "digits.h"

#include "no_heap.h"

uint32_t digits_table[1000];

void digits_init(void)
{
	uint32_t n, zeros;

	for (n = 0; n < 1000; n++) {
		zeros = n < 10 ? 16 : n < 100 ? 8 : 0;
		digits_table[n] = ('0' + n / 100) | ('0' + n / 10 % 10) << 8 | ('0' + n % 10) << 16 |
				  zeros << 24;
	}
}

char *digits_put_long(char *dst, uint64_t value)
{
	dst = digits_put(dst, value / 1000000);
	dst = digits_put_padded(dst, (uint32_t)(value / 1000 % 1000));
	return digits_put_padded(dst, (uint32_t)(value % 1000));
}
