/* SPDX-License-Identifier: MIT */
#include "out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"

bool out_wants_colour(FILE *out)
{
	const char *no = getenv("NO_COLOR");

	return (!no || !*no) && fileno(out) >= 0 && isatty(fileno(out));
}

/*
 * Length of the UTF-8 sequence at @s, with its code point; 0 if there is none.
 */
static unsigned int decode_utf8(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
			 (s[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7f >> n);
	unsigned int i;

	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (!n || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

/* Control characters of either set, and those that reverse the direction of text. */
static bool is_harmless(uint32_t c)
{
	return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c <= 0x9f) &&
	       !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0x200e &&
	       c != 0x200f && c != 0x2028 && c != 0x2029;
}

void out_name(FILE *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p) {
		uint32_t c = 0;
		unsigned int n = decode_utf8(p, &c);

		if (n && is_harmless(c)) {
			fwrite(p, 1, n, out);
			p += n;
			continue;
		}
		for (n = n ? n : 1; n; n--)
			fprintf(out, "\\x%02x", *p++);
	}
}

char *out_spelt(const char *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		alloc_failed();
	out_name(out, s);
	if (fclose(out))
		alloc_failed();
	return text;
}

const char *out_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

void out_colour(FILE *out, bool enabled, enum out_colour colour)
{
	static const char *const codes[] = { "0", "1", "31", "33", "32", "2" };

	if (enabled)
		fprintf(out, "\033[%sm", codes[colour]);
}

const char *out_size(char *buf, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned int u = 0;
	double n = bytes;

	for (; n >= 1024 && u < 6; u++)
		n /= 1024;
	if (u)
		snprintf(buf, OUT_SIZE_MAX, "%.1f %s", n, units[u]);
	else
		snprintf(buf, OUT_SIZE_MAX, "%" PRIu64 " B", bytes);
	return buf;
}

const char *out_time(char *buf, uint64_t ns)
{
	snprintf(buf, OUT_SIZE_MAX, "%" PRIu64 ".%06" PRIu64, ns / 1000000000, ns / 1000 % 1000000);
	return buf;
}
