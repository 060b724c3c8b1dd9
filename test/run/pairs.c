/* SPDX-License-Identifier: MIT */
/* pairs N: N blocks of 4321 bytes, each given back at once. */
#include <stdlib.h>

int main(int argc, char **argv)
{
	for (long n = argc > 1 ? atol(argv[1]) : 1; n > 0; n--) {
		char *block = malloc(4321);

		*(volatile char *)block = 1;
		free(block);
	}
}
