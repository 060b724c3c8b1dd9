/* SPDX-License-Identifier: MIT */
#include "address.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>

enum { PAGE_BITS = 12, INDEX_BITS = 9, HEX_DIGIT_BITS = 4 };

#define HOLE "unused hole"
#define NR(table) (sizeof(table) / sizeof((table)[0]))

/* Up to where the two differ. */
static const struct address_region regions_4[] = {
	{ 0x00007ffffffff000, 0x00007fffffffffff, "guard page at the end of user space", false },
	{ 0xffff800000000000, 0xffff87ffffffffff, "guard hole, also reserved for a hypervisor", false },
	{ 0xffff880000000000, 0xffff887fffffffff, "LDT remap for page table isolation", false },
	{ 0xffff888000000000, 0xffffc87fffffffff, "direct mapping of all physical memory", true },
	{ 0xffffc88000000000, 0xffffc8ffffffffff, HOLE, true },
	{ 0xffffc90000000000, 0xffffe8ffffffffff, "vmalloc and ioremap space", true },
	{ 0xffffe90000000000, 0xffffe9ffffffffff, HOLE, true },
	{ 0xffffea0000000000, 0xffffeaffffffffff, "vmemmap, the array of struct page", true },
	{ 0xffffeb0000000000, 0xffffebffffffffff, HOLE, true },
	{ 0xffffec0000000000, 0xfffffbffffffffff, "KASAN shadow memory", false },
};

static const struct address_region regions_5[] = {
	{ 0x00fffffffffff000, 0x00ffffffffffffff, "guard page at the end of user space", false },
	{ 0xff00000000000000, 0xff0fffffffffffff, "guard hole, also reserved for a hypervisor", false },
	{ 0xff10000000000000, 0xff10ffffffffffff, "LDT remap for page table isolation", false },
	{ 0xff11000000000000, 0xff90ffffffffffff, "direct mapping of all physical memory", true },
	{ 0xff91000000000000, 0xff9fffffffffffff, HOLE, true },
	{ 0xffa0000000000000, 0xffd1ffffffffffff, "vmalloc and ioremap space", true },
	{ 0xffd2000000000000, 0xffd3ffffffffffff, HOLE, true },
	{ 0xffd4000000000000, 0xffd5ffffffffffff, "vmemmap, the array of struct page", true },
	{ 0xffd6000000000000, 0xffdeffffffffffff, HOLE, true },
	{ 0xffdf000000000000, 0xfffffbffffffffff, "KASAN shadow memory", false },
};

/* What both have. The fixmap ends where vsyscall begins; its start varies. */
static const struct address_region regions_both[] = {
	{ 0xfffffc0000000000, 0xfffffdffffffffff, HOLE, true },
	{ 0xfffffe0000000000, 0xfffffe7fffffffff, "cpu_entry_area", false },
	{ 0xfffffe8000000000, 0xfffffeffffffffff, HOLE, false },
	{ 0xffffff0000000000, 0xffffff7fffffffff, "espfix stacks", false },
	{ 0xffffff8000000000, 0xffffffeeffffffff, HOLE, false },
	{ 0xffffffef00000000, 0xfffffffeffffffff, "EFI runtime services", false },
	{ 0xffffffff00000000, 0xffffffff7fffffff, HOLE, false },
	{ 0xffffffff80000000, 0xffffffff9fffffff, "kernel text", false },
	{ 0xffffffffa0000000, 0xfffffffffeffffff, "modules", false },
	{ 0xffffffffff000000, 0xffffffffff5fffff, "fixmap", false },
	{ 0xffffffffff600000, 0xffffffffff600fff, "vsyscall page", false },
	{ 0xffffffffff601000, 0xffffffffffffffff, HOLE, false },
};

int address_parse(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		unsigned char c = *text;

		if (!isxdigit(c) || value >> (64 - HEX_DIGIT_BITS))
			return -EINVAL;
		value = value << HEX_DIGIT_BITS | (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	*ret = value;
	return 0;
}

enum address_half address_half(uint64_t addr, unsigned int levels)
{
	/* The highest bit that is translated, and all above it. */
	uint64_t sign = ~0ull << (PAGE_BITS + INDEX_BITS * levels - 1);

	if (!(addr & sign))
		return ADDRESS_USER;
	return (addr & sign) == sign ? ADDRESS_KERNEL : ADDRESS_NOT_CANONICAL;
}

static unsigned int table_index(uint64_t addr, unsigned int level)
{
	return addr >> (PAGE_BITS + INDEX_BITS * level) & ((1u << INDEX_BITS) - 1);
}

struct address_indices address_indices(uint64_t addr, unsigned int levels)
{
	return (struct address_indices){
		.pgd = table_index(addr, levels - 1), .p4d = levels == 5 ? table_index(addr, 3) : 0,
		.pud = table_index(addr, 2), .pmd = table_index(addr, 1), .pte = table_index(addr, 0),
		.offset = addr & ((1u << PAGE_BITS) - 1),
	};
}

static const struct address_region *find(const struct address_region *table, size_t nr, uint64_t addr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (addr >= table[i].start && addr <= table[i].last)
			return &table[i];
	return NULL;
}

const struct address_region *address_region(uint64_t addr, unsigned int levels)
{
	const struct address_region *region = find(regions_both, NR(regions_both), addr);

	if (region)
		return region;
	return levels == 5 ? find(regions_5, NR(regions_5), addr) :
			     find(regions_4, NR(regions_4), addr);
}
