/* SPDX-License-Identifier: MIT */
/*
 * What an x86-64 address tells by itself: halves, indices of the page tables, regions of the kernel.
 *
 *     4 levels          | sign |   PGD   |  PUD  |  PMD  |  PTE  | offset |     P4D folded into PGD
 *     bits               63…48  47 … 39   38…30   29…21   20…12   11 … 0
 *     5 levels  | sign |   PGD   |   P4D  …
 *     bits       63…57  56 … 48   47 … 39
 *
 * Source: the kernel's Documentation/arch/x86/x86_64/mm.rst and 5level-paging.rst.
 */
#ifndef VMTRACE_ANALYZER_ADDRESS_H
#define VMTRACE_ANALYZER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum address_half { ADDRESS_NOT_CANONICAL, ADDRESS_USER, ADDRESS_KERNEL };

struct address_indices {
	unsigned int pgd, p4d, pud, pmd, pte;	/* p4d: 0 with 4 levels */
	unsigned int offset;			/* bytes, in the page */
};

/* @last is inclusive, as the kernel's document has it. */
struct address_region {
	uint64_t start, last;
	const char *name;
	bool is_moved;			/* its base is random where CONFIG_RANDOMIZE_MEMORY is set */
};

/* Hex digits, with or without "0x", at most 64 bits, and nothing else. Return: 0 or -EINVAL. */
int address_parse(const char *text, uint64_t *ret);

/* @levels: of the page tables, 4 or 5, here and below. */
enum address_half address_half(uint64_t addr, unsigned int levels);
struct address_indices address_indices(uint64_t addr, unsigned int levels);

/* The region of the kernel's memory map; NULL for what is neither the kernel's nor the guard page
 * that ends the user's half. */
const struct address_region *address_region(uint64_t addr, unsigned int levels);

#endif
