/* SPDX-License-Identifier: MIT */
/*
 * Mutations that keep a trace a trace, for libFuzzer: plain byte flips rarely get past the JSON
 * parser, let alone into the replay.
 *
 * Either a line is copied, dropped or exchanged with another, or a number or an address is replaced
 * by one that occurs elsewhere in the trace, by a neighbour, or by one at some limit. Calls are
 * numbered anew afterwards, because a gap would end the reading. One time in eight the bytes are left
 * to libFuzzer.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

struct text {
	char *bytes;
	size_t len;
};

struct token {
	size_t at, len;
	int is_hex;
};

static uint64_t state;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below ? state % below : 0;
}

/* The first number or address in @t from @from on, wrapping around. */
static int find_token(const struct text *t, size_t from, struct token *ret)
{
	size_t k;

	for (k = 0; k < t->len; k++) {
		size_t i = (from + k) % t->len;
		size_t j = i;

		if (i && (isalnum((unsigned char)t->bytes[i - 1]) || t->bytes[i - 1] == '-'))
			continue;
		ret->is_hex = t->len - i > 2 && !memcmp(t->bytes + i, "0x", 2);
		if (ret->is_hex)
			for (j = i + 2; j < t->len && isxdigit((unsigned char)t->bytes[j]); j++)
				;
		else
			for (j += t->bytes[i] == '-'; j < t->len && isdigit((unsigned char)t->bytes[j]); j++)
				;
		if (j <= i + (ret->is_hex ? 2 : 0) || (j == i + 1 && t->bytes[i] == '-'))
			continue;
		ret->at = i;
		ret->len = j - i;
		return 1;
	}
	return 0;
}

static uint64_t token_value(const struct text *t, const struct token *tok)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%.*s", (int)(tok->len < 30 ? tok->len : 30), t->bytes + tok->at);
	return tok->is_hex ? strtoull(buf, NULL, 16) : (uint64_t)strtoll(buf, NULL, 10);
}

static uint64_t new_value(const struct text *t, const struct token *tok)
{
	static const uint64_t limits[] = {
		0, 1, 2, 4095, 4096, 4097, 8192, 0x200000, 0x7ffffffff000, 0x7fffffffffff,
		0x800000000000, 0xfffffffffffff000, UINT64_MAX, INT64_MAX, 0xffffffff, 0x80000000,
		0x10000, 65536ull * 4096,
	};
	uint64_t old = token_value(t, tok);
	struct token other;

	switch (draw(6)) {
	case 0:
		return limits[draw(sizeof(limits) / sizeof(limits[0]))];
	case 1:
		return old + (draw(2) ? 4096 : -4096ull) * (1 + draw(4));
	case 2:
		return old + draw(3) - 1;
	case 3:
		return old ^ 1ull << draw(34);
	default:
		return find_token(t, draw(t->len), &other) ? token_value(t, &other) : old;
	}
}

/* Replace @len bytes at @at by @with, if there is room. */
static void splice(struct text *t, size_t at, size_t len, const char *with, size_t with_len,
		   size_t max)
{
	if (t->len - len + with_len > max)
		return;
	memmove(t->bytes + at + with_len, t->bytes + at + len, t->len - at - len);
	memcpy(t->bytes + at, with, with_len);
	t->len = t->len - len + with_len;
}

static void change_number(struct text *t, size_t max)
{
	struct token tok;
	uint64_t value;
	char buf[32];

	if (!t->len || !find_token(t, draw(t->len), &tok))
		return;
	value = new_value(t, &tok);
	if (tok.is_hex)
		snprintf(buf, sizeof(buf), "0x%" PRIx64, value);
	else
		snprintf(buf, sizeof(buf), "%" PRId64, (int64_t)value);
	splice(t, tok.at, tok.len, buf, strlen(buf), max);
}

/* The line around @at: its start; @ret_len with the newline. */
static size_t line_at(const struct text *t, size_t at, size_t *ret_len)
{
	size_t start = at, end = at;

	while (start && t->bytes[start - 1] != '\n')
		start--;
	while (end < t->len && t->bytes[end] != '\n')
		end++;
	*ret_len = end + (end < t->len) - start;
	return start;
}

static void change_lines(struct text *t, size_t max)
{
	size_t from, from_len, to, to_len;
	char *copy;

	if (!t->len)
		return;
	from = line_at(t, draw(t->len), &from_len);
	to = line_at(t, draw(t->len), &to_len);
	copy = malloc(from_len + 1);
	if (!copy)
		return;
	memcpy(copy, t->bytes + from, from_len);
	if (draw(4))
		splice(t, to, 0, copy, from_len, max);
	else
		splice(t, from, from_len, "", 0, max);
	free(copy);
}

static void renumber_calls(struct text *t, size_t max)
{
	static const char key[] = "\"seq\":";
	unsigned int seq = 0;
	size_t at = 0;

	while (at < t->len) {
		size_t len, line = line_at(t, at, &len), n, end = line + len;
		char *p = len ? memmem(t->bytes + line, len, "\"ev\":\"call\"", 11) : NULL;

		if (p)
			p = memmem(t->bytes + line, len, key, sizeof(key) - 1);
		if (p) {
			char buf[16];
			size_t digits = p - t->bytes + sizeof(key) - 1, before = t->len;

			for (n = 0; digits + n < t->len && isdigit((unsigned char)t->bytes[digits + n]); n++)
				;
			snprintf(buf, sizeof(buf), "%u", ++seq);
			splice(t, digits, n, buf, strlen(buf), max);
			end = end + t->len - before;
		}
		at = end > at ? end : at + 1;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	struct text t = { (char *)data, size };
	unsigned int n;

	state = seed * 0x9e3779b97f4a7c15ull + 1;
	draw(0);
	if (!draw(8))
		return LLVMFuzzerMutate(data, size, max_size);
	for (n = 1 + draw(4); n; n--) {
		if (draw(3))
			change_number(&t, max_size);
		else
			change_lines(&t, max_size);
	}
	renumber_calls(&t, max_size);
	return t.len;
}
