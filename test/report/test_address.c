/* SPDX-License-Identifier: MIT */
/* Addresses by themselves: what is typed, halves, indices, the kernel's regions, at both depths. */
#include "address.h"

#include <stddef.h>

#include "check.h"

static void test_parse(void)
{
	static const struct { const char *text; int err; uint64_t want; } cases[] = {
		{ "0", 0, 0 }, { "0x0", 0, 0 }, { "0X7fFF", 0, 0x7fff }, { "10", 0, 0x10 },
		{ "deadBEEF", 0, 0xdeadbeef }, { "ffffffffffffffff", 0, UINT64_MAX },
		{ "0x00000000000000000001", 0, 1 }, { "", -1, 0 }, { "0x", -1, 0 }, { "x1", -1, 0 },
		{ "-1", -1, 0 }, { "+1", -1, 0 }, { " 1", -1, 0 }, { "1 ", -1, 0 }, { "12g", -1, 0 },
		{ "0x0x1", -1, 0 }, { "10000000000000000", -1, 0 }, { "main", -1, 0 },
		{ "7f\xc3\xa9", -1, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t got = 0;

		CHECK_EQ(address_parse(cases[i].text, &got) < 0, cases[i].err < 0);
		CHECK_EQ(got, cases[i].want);
	}
}

/* Both edges of each region; NULL: none there. */
static void test_regions(void)
{
	static const char *const hole = "unused hole",
		*const direct = "direct mapping of all physical memory",
		*const vmalloc = "vmalloc and ioremap space", *const kasan = "KASAN shadow memory",
		*const vmemmap = "vmemmap, the array of struct page",
		*const ldt = "LDT remap for page table isolation",
		*const guard = "guard hole, also reserved for a hypervisor",
		*const end = "guard page at the end of user space";
	const enum address_half none = ADDRESS_NOT_CANONICAL, user = ADDRESS_USER,
		kernel = ADDRESS_KERNEL;
	const struct { uint64_t addr; enum address_half half[2]; const char *name[2]; } cases[] = {
		{ 0, { user, user }, { NULL, NULL } },
		{ 0x00007fffffffefff, { user, user }, { NULL, NULL } },
		{ 0x00007ffffffff000, { user, user }, { end, NULL } },
		{ 0x00007fffffffffff, { user, user }, { end, NULL } },
		{ 0x0000800000000000, { none, user }, { NULL, NULL } },
		{ 0x00ffffffffffefff, { none, user }, { NULL, NULL } },
		{ 0x00fffffffffff000, { none, user }, { NULL, end } },
		{ 0x00ffffffffffffff, { none, user }, { NULL, end } },
		{ 0x0100000000000000, { none, none }, { NULL, NULL } },
		{ 0x7fffffffffffffff, { none, none }, { NULL, NULL } },
		{ 0x8000000000000000, { none, none }, { NULL, NULL } },
		{ 0xfeffffffffffffff, { none, none }, { NULL, NULL } },
		{ 0xff00000000000000, { none, kernel }, { NULL, guard } },
		{ 0xff0fffffffffffff, { none, kernel }, { NULL, guard } },
		{ 0xff10000000000000, { none, kernel }, { NULL, ldt } },
		{ 0xff11000000000000, { none, kernel }, { NULL, direct } },
		{ 0xff90ffffffffffff, { none, kernel }, { NULL, direct } },
		{ 0xff91000000000000, { none, kernel }, { NULL, hole } },
		{ 0xffa0000000000000, { none, kernel }, { NULL, vmalloc } },
		{ 0xffd1ffffffffffff, { none, kernel }, { NULL, vmalloc } },
		{ 0xffd2000000000000, { none, kernel }, { NULL, hole } },
		{ 0xffd4000000000000, { none, kernel }, { NULL, vmemmap } },
		{ 0xffd6000000000000, { none, kernel }, { NULL, hole } },
		{ 0xffdf000000000000, { none, kernel }, { NULL, kasan } },
		{ 0xffff7fffffffffff, { none, kernel }, { NULL, kasan } },
		{ 0xffff800000000000, { kernel, kernel }, { guard, kasan } },
		{ 0xffff87ffffffffff, { kernel, kernel }, { guard, kasan } },
		{ 0xffff880000000000, { kernel, kernel }, { ldt, kasan } },
		{ 0xffff888000000000, { kernel, kernel }, { direct, kasan } },
		{ 0xffffc87fffffffff, { kernel, kernel }, { direct, kasan } },
		{ 0xffffc88000000000, { kernel, kernel }, { hole, kasan } },
		{ 0xffffc90000000000, { kernel, kernel }, { vmalloc, kasan } },
		{ 0xffffe8ffffffffff, { kernel, kernel }, { vmalloc, kasan } },
		{ 0xffffe90000000000, { kernel, kernel }, { hole, kasan } },
		{ 0xffffea0000000000, { kernel, kernel }, { vmemmap, kasan } },
		{ 0xffffeb0000000000, { kernel, kernel }, { hole, kasan } },
		{ 0xffffec0000000000, { kernel, kernel }, { kasan, kasan } },
		{ 0xfffffbffffffffff, { kernel, kernel }, { kasan, kasan } },
		{ 0xfffffc0000000000, { kernel, kernel }, { hole, hole } },
		{ 0xfffffe0000000000, { kernel, kernel }, { "cpu_entry_area", "cpu_entry_area" } },
		{ 0xfffffe8000000000, { kernel, kernel }, { hole, hole } },
		{ 0xffffff0000000000, { kernel, kernel }, { "espfix stacks", "espfix stacks" } },
		{ 0xffffff8000000000, { kernel, kernel }, { hole, hole } },
		{ 0xffffffef00000000, { kernel, kernel },
		  { "EFI runtime services", "EFI runtime services" } },
		{ 0xffffffff7fffffff, { kernel, kernel }, { hole, hole } },
		{ 0xffffffff80000000, { kernel, kernel }, { "kernel text", "kernel text" } },
		{ 0xffffffff9fffffff, { kernel, kernel }, { "kernel text", "kernel text" } },
		{ 0xffffffffa0000000, { kernel, kernel }, { "modules", "modules" } },
		{ 0xfffffffffeffffff, { kernel, kernel }, { "modules", "modules" } },
		{ 0xffffffffff5fffff, { kernel, kernel }, { "fixmap", "fixmap" } },
		{ 0xffffffffff600000, { kernel, kernel }, { "vsyscall page", "vsyscall page" } },
		{ 0xffffffffff600fff, { kernel, kernel }, { "vsyscall page", "vsyscall page" } },
		{ 0xffffffffff601000, { kernel, kernel }, { hole, hole } },
		{ UINT64_MAX, { kernel, kernel }, { hole, hole } },
	};
	unsigned int levels;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (levels = 4; levels <= 5; levels++) {
			const struct address_region *r = address_region(cases[i].addr, levels);
			const char *want = cases[i].name[levels - 4];

			CHECK_EQ(address_half(cases[i].addr, levels), cases[i].half[levels - 4]);
			CHECK_STR(r ? r->name : "none", want ? want : "none");
			if (r)
				CHECK_EQ(cases[i].addr >= r->start && cases[i].addr <= r->last, true);
		}
	}
}

/* Every kernel address is in exactly one region: each begins where the one below ends. */
static void test_no_holes(void)
{
	static const uint64_t first[] = { 0xffff800000000000, 0xff00000000000000 };
	unsigned int levels;

	for (levels = 4; levels <= 5; levels++) {
		uint64_t at = first[levels - 4];
		const struct address_region *r;

		do {
			r = address_region(at, levels);
			CHECK_EQ(r != NULL, true);
			if (!r)
				return;
			CHECK_EQ(r->start, at);
			at = r->last + 1;
		} while (at);
	}
}

static void test_indices(void)
{
	static const struct {
		uint64_t addr;
		unsigned int levels;
		struct address_indices want;
	} cases[] = {
		{ 0, 4, { 0, 0, 0, 0, 0, 0 } },
		{ 0x00007fffffffffff, 4, { 255, 0, 511, 511, 511, 4095 } },
		{ 0xffff800000000000, 4, { 256, 0, 0, 0, 0, 0 } },
		{ UINT64_MAX, 4, { 511, 0, 511, 511, 511, 4095 } },
		{ UINT64_MAX, 5, { 511, 511, 511, 511, 511, 4095 } },
		{ 1ull << 39 | 2ull << 30 | 3ull << 21 | 4ull << 12 | 5, 4, { 1, 0, 2, 3, 4, 5 } },
		{ 1ull << 39 | 2ull << 30 | 3ull << 21 | 4ull << 12 | 5, 5, { 0, 1, 2, 3, 4, 5 } },
		{ 7ull << 48 | 1ull << 39 | 2ull << 30 | 3ull << 21 | 4ull << 12 | 5, 5,
		  { 7, 1, 2, 3, 4, 5 } },
		{ 0xff00000000000000, 5, { 256, 0, 0, 0, 0, 0 } },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address_indices got = address_indices(cases[i].addr, cases[i].levels);

		CHECK_EQ(got.pgd, cases[i].want.pgd);
		CHECK_EQ(got.p4d, cases[i].want.p4d);
		CHECK_EQ(got.pud, cases[i].want.pud);
		CHECK_EQ(got.pmd, cases[i].want.pmd);
		CHECK_EQ(got.pte, cases[i].want.pte);
		CHECK_EQ(got.offset, cases[i].want.offset);
	}
}

int main(void)
{
	test_parse();
	test_regions();
	test_no_holes();
	test_indices();
	return check_status();
}
