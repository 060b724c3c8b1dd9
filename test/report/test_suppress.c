/* SPDX-License-Identifier: MIT */
/*
 * Suppressions: which names a pattern matches, as LeakSanitizer has it, and which files are refused.
 */
#include "suppress.h"

#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static void test_patterns(void)
{
	static const struct { const char *pattern, *name; bool matches; } cases[] = {
		{ "foo", "foo", true }, { "foo", "a_foo_b", true }, { "foo", "fo", false },
		{ "foo", "", false }, { "*", "", false }, { "*", "x", true }, { "**", "x", true },
		{ "^foo", "foobar", true }, { "^foo", "afoo", false }, { "foo$", "afoo", true },
		{ "foo$", "foob", false }, { "^foo$", "foo", true }, { "^foo$", "foo1", false },
		{ "^*foo", "afoo", true }, { "foo*$", "foobar", true }, { "^$", "x", false },
		{ "a*c", "abbbc", true }, { "a*c", "cba", false }, { "a*b*c", "a1b2c3", true },
		{ "a*c$", "abcd", false }, { "^a*c$", "abc", true },
		{ "libfoo.so*", "/usr/lib/libfoo.so.1", true },
		/* A part is looked for once, where it first stands. */
		{ "foo$", "foofoo", false },
		/* Nothing behind '$' is looked at. */
		{ "foo$bar", "foo", true },
		{ "std::vector<*>::push_back", "std::vector<int>::push_back(int)", true },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (suppress_matches(cases[i].pattern, cases[i].name) != cases[i].matches)
			fprintf(stderr, "pattern '%s', name '%s'\n", cases[i].pattern,
				cases[i].name);
		CHECK_EQ(suppress_matches(cases[i].pattern, cases[i].name), cases[i].matches);
	}
}

/* Load @len bytes at @text as a file called s.supp; what went wrong behind its name. */
static int load(struct suppressions *s, const char *text, size_t len, char *err, size_t size)
{
	char path[] = "/tmp/vmtrace-suppress.XXXXXX", message[400] = "";
	int fd = mkstemp(path), ret;

	CHECK_EQ(fd >= 0 && write(fd, text, len) == (ssize_t)len, true);
	ret = suppress_load(s, path, message, sizeof(message));
	snprintf(err, size, "%s", ret ? message + strlen(path) : "");
	unlink(path);
	close(fd);
	return ret;
}

static void test_files(void)
{
	static const struct { const char *text; size_t len, nr; const char *err; } cases[] = {
#define CASE(text, nr, err) { text, sizeof(text) - 1, nr, err }
		CASE("", 0, ""),
		CASE("# all\n\n  \t\nleak:foo\n", 1, ""),
		CASE("  leak:foo bar \r\nleak:^x$", 2, ""),
		CASE("leak:#no comment\n", 1, ""),
		CASE("leak:a\nrace:b\n", 1, ":2: 'race:b' does not begin with 'leak:'"),
		CASE("foo\n", 0, ":1: 'foo' does not begin with 'leak:'"),
		CASE("\n\nleak:\n", 0, ":3: no pattern behind 'leak:'"),
		CASE("leak:a\0b\n", 0, ":1: a NUL byte"),
#undef CASE
	};
	char err[400];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct suppressions s = { 0 };

		CHECK_EQ(load(&s, cases[i].text, cases[i].len, err, sizeof(err)),
			 *cases[i].err ? -22 : 0);
		CHECK_STR(err, cases[i].err);
		CHECK_EQ(s.nr, cases[i].nr);
		suppress_fini(&s);
	}
}

static void test_blanks(void)
{
	struct suppressions s = { 0 };
	char err[400];

	CHECK_EQ(load(&s, " leak:foo bar \r\n", 16, err, sizeof(err)), 0);
	CHECK_STR(s.list[0].pattern, "foo bar");
	CHECK_EQ(suppress_load(&s, "/absent", err, sizeof(err)), -22);
	CHECK_STR(err, "/absent: No such file or directory");
	CHECK_EQ(suppress_load(&s, "/", err, sizeof(err)), -22);
	CHECK_STR(err, "/: Is a directory");
	suppress_fini(&s);
}

int main(void)
{
	test_patterns();
	test_files();
	test_blanks();
	return check_status();
}
