/* SPDX-License-Identifier: MIT */
/* Lines of files of any number and length, and what is taken from them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "proc_lines.h"

#define PIECE 4096	/* of a line, at most */

static char path[] = "/tmp/vmtrace-lines-XXXXXX";

static void make_file(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		abort();
	close(fd);
}

struct found {
	size_t nr, lengths[16], sum;
	char first[16];
};

static void take(char *line, void *ctx)
{
	struct found *found = ctx;
	size_t len = strlen(line);

	if (!found->nr)
		memcpy(found->first, line, len < 15 ? len : 15);
	if (found->nr < 16)
		found->lengths[found->nr] = len;
	found->nr++;
	found->sum += len;
}

static struct found lines_of(const char *text, size_t len)
{
	struct found found = { 0 };

	make_file(text, len);
	CHECK_EQ(proc_lines(path, take, &found), 0);
	return found;
}

static void test_lines(void)
{
	struct found found = lines_of("a\n\nbcd", 6);

	CHECK_EQ(found.nr, 3);
	CHECK_EQ(found.lengths[0], 1);
	CHECK_EQ(found.lengths[1], 0);
	CHECK_EQ(found.lengths[2], 3);
	CHECK_EQ(lines_of("", 0).nr, 0);
	CHECK_EQ(lines_of("\n", 1).nr, 1);
}

/* Around the buffer's size, and far beyond it, with a line before and behind. */
static void test_long_lines(void)
{
	static char text[5 * PIECE];
	size_t len;

	for (len = PIECE - 8; len < 4 * PIECE; len += len < PIECE + 8 ? 1 : 997) {
		struct found found;

		memset(text, 'x', sizeof(text));
		memcpy(text, "one\n", 4);
		memcpy(text + 4 + len, "\nlast\n", 6);
		found = lines_of(text, 4 + len + 6);
		CHECK_EQ(found.nr, 3);
		CHECK_EQ(found.lengths[1], len < PIECE ? len : PIECE);
		CHECK_EQ(found.lengths[2], 4);
	}
}

static void test_many_lines(void)
{
	static char text[100000];
	size_t i;

	for (i = 0; i < sizeof(text); i += 10)
		memcpy(text + i, "123456789\n", 10);
	CHECK_EQ(lines_of(text, sizeof(text)).nr, sizeof(text) / 10);
	CHECK_EQ(lines_of(text, sizeof(text)).sum, sizeof(text) / 10 * 9);
}

static void test_absent(void)
{
	struct found found = { 0 };

	CHECK_EQ(proc_lines("/proc/self/no-such-file", take, &found), -ENOENT);
	CHECK_EQ(found.nr, 0);
}

static void test_words(void)
{
	char line[] = "  Node 0,\tzone  ", *s = line;
	uint64_t value = 7;

	CHECK(!strcmp(proc_word(&s), "Node"));
	CHECK(!strcmp(proc_word(&s), "0,"));
	CHECK(!strcmp(proc_word(&s), "zone"));
	CHECK(!proc_word(&s));
	CHECK(proc_number("   pages free     3840", "pages free", &value));
	CHECK_EQ(value, 3840);
	CHECK(!proc_number("Pss_Dirty:  12 kB", "Pss:", &value));
	CHECK(proc_number("Pss:\t 12 kB", "Pss:", &value));
	CHECK_EQ(value, 12);
	CHECK(proc_number("Pss: -", "Pss:", &value));
	CHECK_EQ(value, 0);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 77;
	close(fd);
	test_lines();
	test_long_lines();
	test_many_lines();
	test_absent();
	test_words();
	unlink(path);
	return test_result();
}
