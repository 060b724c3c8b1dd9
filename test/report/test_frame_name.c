/* SPDX-License-Identifier: MIT */
/*
 * Which frames only pass a request for memory on.
 */
#include "frame_name.h"

#include "check.h"

static void test_support(void)
{
	static const struct { const char *frame; bool is_support; } cases[] = {
		{ "main (app)", false }, { "app", false }, { "strdup (libc.so.6)", true },
		{ "libc.so.6", true }, { "libstdc++.so.6", true }, { "calloc (ld-linux-x86-64.so.2)", true },
		{ "malloc (app)", true }, { "xmalloc (app)", false }, { "libjemalloc.so.2", true },
		{ "do_it (libcurl.so.4)", false },
		{ "operator new(unsigned long) (app)", true },
		{ "Pool::operator new(unsigned long) (app)", false },
		{ "std::string::string(char const*) (app)", true },
		{ "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&) (app)", true },
		{ "std::vector<double, std::allocator<double> > make<double>(int) (app)", false },
		{ "std::pair<int, int> std::make_pair<int, int>(int&&, int&&) (app)", true },
		{ "std::ostream& std::operator<< <char>(std::ostream&, char) (app)", true },
		{ "(anonymous namespace)::load(std::string) (app)", false },
		{ "void (anonymous namespace)::load<int>(std::string) (app)", false },
		{ "stdio_open(std::string) (app)", false },
		{ "a<b> (app)", false }, { "> (app)", false }, { "<< (app)", false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (frame_is_support(cases[i].frame) != cases[i].is_support)
			fprintf(stderr, "'%s'\n", cases[i].frame);
		CHECK_EQ(frame_is_support(cases[i].frame), cases[i].is_support);
	}
}

int main(void)
{
	test_support();
	return check_status();
}
