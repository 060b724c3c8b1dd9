// SPDX-License-Identifier: MIT
/*
 * heap_cxx [without-failures]: each of C++'s operators new and delete, listed as in heap_list.h. An allocator may bring
 * its own: each block must be in the trace once all the same. mimalloc aborts where it can't throw.
 *
 * OWN_OPERATORS: the program has operators of its own, which call malloc() and free().
 */
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "heap_list.h"

#ifdef OWN_OPERATORS
static unsigned long nr_own;

void *operator new(std::size_t size)
{
	nr_own++;
	void *p = malloc(size);
	if (!p)
		throw std::bad_alloc();
	return p;
}

void operator delete(void *p) noexcept
{
	free(p);
}

void operator delete(void *p, std::size_t) noexcept
{
	free(p);
}
#endif

struct alignas(128) wide {
	char bytes[256];
};

static volatile std::size_t too_large = PTRDIFF_MAX / 2;

/* The compiler may leave out a pair of new and delete, but not calls of the operators. */
static void operators()
{
	void *p[8];

	list_section("operators", "exact");
	p[0] = list_alloc(::operator new(10), 10, 0);
	p[1] = list_alloc(::operator new[](20), 20, 0);
	p[2] = list_alloc(::operator new(30, std::nothrow), 30, 0);
	p[3] = list_alloc(::operator new[](40, std::nothrow), 40, 0);
	p[4] = list_alloc(::operator new(64, std::align_val_t(64)), 64, 64);
	p[5] = list_alloc(::operator new[](128, std::align_val_t(128)), 128, 128);
	p[6] = list_alloc(::operator new(256, std::align_val_t(256), std::nothrow), 256, 256);
	p[7] = list_alloc(::operator new[](512, std::align_val_t(512), std::nothrow), 512, 512);
	for (void *block : p)
		list_free(block);
	::operator delete(p[0]);
	::operator delete[](p[1]);
	::operator delete(p[2], std::nothrow);
	::operator delete[](p[3], std::nothrow);
	::operator delete(p[4], std::align_val_t(64));
	::operator delete[](p[5], std::align_val_t(128));
	::operator delete(p[6], std::align_val_t(256), std::nothrow);
	::operator delete[](p[7], std::align_val_t(512), std::nothrow);
	::operator delete(nullptr);
	p[0] = list_alloc(::operator new(11), 11, 0);
	p[1] = list_alloc(::operator new[](21), 21, 0);
	p[4] = list_alloc(::operator new(64, std::align_val_t(64)), 64, 64);
	p[5] = list_alloc(::operator new[](128, std::align_val_t(128)), 128, 128);
	for (int i : { 0, 1, 4, 5 })
		list_free(p[i]);
	::operator delete(p[0], 11);
	::operator delete[](p[1], 21);
	::operator delete(p[4], 64, std::align_val_t(64));
	::operator delete[](p[5], 128, std::align_val_t(128));
}

/* What the language makes of new and delete. */
static void expressions()
{
	list_section("expressions", "exact");
	wide *volatile one = new wide;
	list_alloc(one, sizeof(wide), alignof(wide));
	list_free(one);
	delete one;
	long *volatile several = new long[100];
	list_alloc(several, 100 * sizeof(long), 0);
	list_free(several);
	delete[] several;
	void *volatile in_c = malloc(9);
	list_alloc(in_c, 9, 0);
	list_free(in_c);
	free(in_c);
}

/* libstdc++'s own code, which is bound like the program's. */
static void library()
{
	list_section("library", "exact");
	{
		std::string text(1000, 'x');
		list_alloc(text.data(), 1001, 0);
		std::vector<int> numbers(50);
		list_alloc(numbers.data(), 200, 0);
		list_free(numbers.data());
		list_free(text.data());
	}
}

/* An exception passes through the hooks. */
static void failures()
{
	int caught = 0;

	list_section("failures", "among");
	for (int i = 0; i < 3; i++) {
		try {
			void *volatile p = i == 0 ? ::operator new(too_large) :
					   i == 1 ? ::operator new[](too_large) :
					   ::operator new(too_large, std::align_val_t(64));
			(void)p;
		} catch (const std::bad_alloc &) {
			caught++;
		}
	}
	printf("%d caught\n", caught);
	printf("%d without\n", !::operator new(too_large, std::nothrow));
}

int main(int argc, char **)
{
	static char buffer[4096];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	operators();
	expressions();
	library();
	if (argc == 1)
		failures();
#ifdef OWN_OPERATORS
	printf("%d own\n", nr_own > 0);
#endif
	list_section("end", "among");
	list_write("heap.list");
	return 0;
}
