/* SPDX-License-Identifier: MIT */
/*
 * FNV-1a, 64 bits: keys of tables, and the ids of call stacks and findings in layouts and reports.
 *
 * Such ids are kept in files of users and must be the same with every version of the program. Nothing
 * here resists somebody who wants two texts to have one hash: those who look a key up compare what is
 * behind it as well.
 */
#ifndef VMTRACE_ANALYZER_HASH_H
#define VMTRACE_ANALYZER_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_START 0xcbf29ce484222325ull
#define HASH_PRIME 0x100000001b3ull

/**
 * hash_bytes() - Go on with @len bytes.
 * @hash: of what came before, HASH_START at first.
 *
 * Return: the hash of all.
 */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--)
		hash = (hash ^ *p++) * HASH_PRIME;
	return hash;
}

/**
 * hash_line() - Go on with a text and a newline, so that "ab", "c" differs from "a", "bc".
 */
static inline uint64_t hash_line(uint64_t hash, const char *text)
{
	return hash_bytes(hash_bytes(hash, text, strlen(text)), "\n", 1);
}

#endif
