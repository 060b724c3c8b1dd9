/* SPDX-License-Identifier: MIT */
/*
 * The scanner for heap lines against the JSON parser: whatever the scanner accepts, both read alike;
 * and lines as the recorder writes them are accepted.
 */
#include "heapline.h"

#include <stdlib.h>

#include "alloc.h"
#include "check.h"

#define HEAD "{\"ev\":\"heap\",\"tid\":7,\"t0\":100,\"base\":\"0x5500\",\"ops\":["

static bool ops_equal(const struct heap_ops *a, const struct heap_ops *b)
{
	size_t i;

	for (i = 0; i < a->nr && i < b->nr; i++) {
		const struct heap_op *x = &a->list[i], *y = &b->list[i];

		if (x->t != y->t || x->addr != y->addr || x->size != y->size ||
		    x->stack != y->stack || x->kind != y->kind)
			return false;
	}
	return a->nr == b->nr;
}

/* The scanner over a copy with just the room behind it that it asks for, filled with @pad. */
static bool scan(const char *line, size_t len, char pad, struct heap_ops *ops)
{
	char *copy = alloc_array(len + HEAPLINE_PAD, 1);
	bool taken;

	memcpy(copy, line, len);
	memset(copy + len, pad, HEAPLINE_PAD);
	taken = heapline_scan(copy, len, ops);
	alloc_free(copy);
	return taken;
}

/* Whether the scanner took the line; if so the parser must agree with it. */
static bool scan_and_compare(const char *line, size_t len)
{
	struct heap_ops scanned = { 0 }, parsed = { 0 };
	struct record_error err;
	bool taken = scan(line, len, '1', &scanned);

	if (taken) {
		int result = heapline_parse(line, len, &parsed, &err);

		CHECK_EQ(result, 0);
		CHECK_EQ(ops_equal(&scanned, &parsed), true);
		if (check_status())
			fprintf(stderr, "%.*s\n", (int)len, line);
	}
	heap_ops_fini(&scanned);
	heap_ops_fini(&parsed);
	return taken;
}

static void test_accepted(void)
{
	static const char *const lines[] = {
		HEAD "]}",
		HEAD "[0,16]]}",
		HEAD "[0]]}", HEAD "[0,1,2]]}", HEAD "[-0,1]]}", HEAD "[-5,0,4294967295],[7],[0,-0,2]]}",
		HEAD "[ 5,123],[ 5,-1,2,3]]}",
		HEAD "[0,-0],[0,0,4294967295,4294967295]]}",
		HEAD "[999999999999999999,-999999999999999999,999999999999999999,4294967295]]}",
		HEAD "[0,16],[5,-32,100,3],[7,0,0,0]]}",
		HEAD "[1,2,3,4,4096],[1,null,99,4],[0,16,64,2,-8,50],[0,16,64,2,16,5000]]}",
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK_EQ(scan_and_compare(lines[i], strlen(lines[i])), true);
}

static void test_left_to_the_parser(void)
{
	static const char *const lines[] = {
		HEAD "[0, 16]]}", HEAD "[0,16]] }", HEAD "[00,16]]}", HEAD "[0,16],]}", HEAD "[0,16]]",
		HEAD "[0,1,2,3,4,5,6]]}", HEAD "[-1,16]]}", HEAD "[null]]}", HEAD "[null,1,2]]}",
		HEAD "[0,null,2]]}", HEAD "[0,-1,2]]}", HEAD "[0,1,-2]]}", HEAD "[0,1,4294967296]]}",
		HEAD "[0,null]]}", HEAD "[0,1,-2,3]]}", HEAD "[0,1,2,4294967296]]}",
		HEAD "[  5,123]]}", HEAD "[5, 123]]}", HEAD "[5 ,123]]}", HEAD "[5,123 ]]}",
		HEAD " [5,123]]}", HEAD "[5,123], [5,123]]}", HEAD "[5,-01]]}", HEAD "[5,--1]]}",
		HEAD "[5,+1]]}", HEAD "[0,1,-0,2]]}", HEAD "[0,nul,1,2]]}",
		HEAD "[0,,1]]}", HEAD "[,1]]}", HEAD "[]]}", HEAD "[0,1,2,3,]]}", HEAD "[0,1,2,3,4,]]}",
		HEAD "[9223372036854775807,16]]}", HEAD "[0,1.5]]}", HEAD "[0,-]]}", HEAD "[0,16]}",
		"{\"ev\":\"heap\",\"t0\":0,\"tid\":7,\"base\":\"0x0\",\"ops\":[]}",
		"{\"ev\":\"heap\",\"tid\":7,\"t0\":0,\"base\":\"0x\",\"ops\":[]}",
		"{\"ev\":\"heap\",\"tid\":7,\"t0\":0,\"base\":\"0x11112222333344445\",\"ops\":[]}",
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK_EQ(scan_and_compare(lines[i], strlen(lines[i])), false);
}

/* Numbers of 1 to 20 digits in each place: read alike up to where the scanner gives up. */
static void test_digits(void)
{
	static const char *const forms[] = {
		"[%s,1]", "[1,%s]", "[1,-%s]", "[1,1,%s,1]", "[1,1,1,%s]", "[1,1,1,1,%s]",
		"[1,1,1,1,%s,1]", "[9,1,1,1,1,%s]", "[1,null,%s,1]",
		"[%s]", "[-%s,1,1]", "[1,%s,1]", "[1,1,%s]",
	};
	static const char number[] = "90123456789012345678";
	char op[64], line[256], digits[24];
	size_t i, n;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		for (n = 1; n < sizeof(number); n++) {
			snprintf(digits, sizeof(digits), "%.*s", (int)n, number);
			snprintf(op, sizeof(op), forms[i], digits);
			snprintf(line, sizeof(line), HEAD "[1,2],%s,[3,4]]}", op);
			CHECK_EQ(scan_and_compare(line, strlen(line)),
				 n <= 18 && ((i != 4 && i != 12) || n < 10));
		}
	}
}

/* A line that ends at any byte, with what it went on with still behind it in memory. */
static void test_cut(void)
{
	static const char line[] = HEAD "[1,16],[20,-3,300,4],[5,6,7,8,9],[1,null,2,3],[ 4,5,6,7,8,9],"
		"[12345678,123456789,1,2],[-4],[5,6,7],[1,2]]}";
	char copy[sizeof(line) + HEAPLINE_PAD] = { 0 };
	struct heap_ops ops = { 0 };
	size_t len;

	memcpy(copy, line, sizeof(line));
	for (len = 0; len < sizeof(line); len++)
		CHECK_EQ(heapline_scan(copy, len, &ops), len == sizeof(line) - 1);
	for (len = 0; len < sizeof(line) - 1; len++)
		CHECK_EQ(scan(line, len, ']', &ops), false);
	heap_ops_fini(&ops);
}

/* Lines of all lengths: the 64 bytes that are looked at together end anywhere. */
static void test_lengths(void)
{
	char line[4096];
	size_t nr, len;

	for (nr = 1; nr < 300; nr++) {
		len = snprintf(line, sizeof(line), HEAD "[%zu,%zu]", nr, nr * nr);
		while (len < 12 * nr)
			len += snprintf(line + len, sizeof(line) - len, ",[1,%zu]", len);
		len += snprintf(line + len, sizeof(line) - len, "]}");
		CHECK_EQ(scan_and_compare(line, len), true);
	}
}

static void test_meaning(void)
{
	static const char line[] = HEAD "[5,16],[7,32,64,3],[3,-256,80,2,32,8],[1,null,9,1]]}";
	struct heap_ops ops = { 0 };

	CHECK_EQ(scan(line, strlen(line), 0, &ops), true);
	CHECK_EQ(ops.nr, 5);
	CHECK_EQ(ops.list[0].kind, HEAP_FREE);
	CHECK_EQ(ops.list[0].t, 105);
	CHECK_EQ(ops.list[0].addr, 0x5510);
	CHECK_EQ(ops.list[1].kind, HEAP_ALLOC);
	CHECK_EQ(ops.list[1].t, 112);
	CHECK_EQ(ops.list[1].size, 64);
	CHECK_EQ(ops.list[1].stack, 3);
	CHECK_EQ(ops.list[2].kind, HEAP_REALLOC);
	CHECK_EQ(ops.list[2].t, 107);
	CHECK_EQ(ops.list[2].addr, 0x5520);
	CHECK_EQ(ops.list[3].kind, HEAP_ALLOC);
	CHECK_EQ(ops.list[3].t, 115);
	CHECK_EQ(ops.list[3].addr, 0x5400);
	CHECK_EQ(ops.list[4].kind, HEAP_FAILED);
	heap_ops_fini(&ops);
}

/* Bytes of a good line changed at random: the two must never disagree. */
static void test_damaged_lines(void)
{
	static const char good[] = HEAD "[1,16],[20,-3,300,4],[5,6,7,8,9],[1,null,2,3],[4,5,6,7,8,9]]}";
	static const char bytes[] = "0123456789-,[]{}null\" .eE+x";
	char line[sizeof(good)];
	unsigned int seed = 1;
	int i, k;

	for (i = 0; i < 300000 && !check_status(); i++) {
		memcpy(line, good, sizeof(line));
		for (k = rand_r(&seed) % 3; k >= 0; k--)
			line[rand_r(&seed) % (sizeof(line) - 1)] =
				bytes[rand_r(&seed) % (sizeof(bytes) - 1)];
		scan_and_compare(line, sizeof(line) - 1);
	}
}

int main(void)
{
	test_accepted();
	test_left_to_the_parser();
	test_digits();
	test_cut();
	test_lengths();
	test_meaning();
	test_damaged_lines();
	return check_status();
}
