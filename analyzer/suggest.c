/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <string.h>

static size_t least_of_three(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Number of single-letter changes between two short words. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], i, j, n = strlen(b);

	if (n >= 32 || strlen(a) >= 32)
		return 32;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= n; j++) {
			size_t above = row[j];

			row[j] = least_of_three(above + 1, row[j - 1] + 1,
						diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

void suggest(struct suggestion *best, const char *typed, const char *word)
{
	size_t d = distance(typed, word);

	if (d < best->distance)
		*best = (struct suggestion){ word, d };
}
