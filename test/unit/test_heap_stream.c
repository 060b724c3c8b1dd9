/* SPDX-License-Identifier: MIT */
/* Heap operations as text: every number, and a line that is whole after every operation. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "digits.h"
#include "heap_stream.h"

#define LINE_BYTES 4096

/* In place of the recorder's: one chunk, one line after the other. */
bool heap_stream_begin(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr)
{
	int n;

	if (s->len + 256 > s->size)
		return false;
	n = snprintf(s->chunk + s->len, s->size - s->len,
		     "{\"ev\":\"heap\",\"tid\":%d,\"t0\":%llu,\"base\":\"0x%llx\",\"ops\":[]}\n", tid,
		     (unsigned long long)ns, (unsigned long long)addr);
	s->chunk[s->len + (size_t)n] = '\n';
	s->len += (size_t)n;
	s->first = s->len;
	s->base = addr;
	s->last_ns = ns;
	s->limit = s->len + LINE_BYTES;
	return true;
}

static void check_number(uint64_t value)
{
	char got[64], wanted[32];
	uint64_t text;
	unsigned int nr;

	*digits_put(got, value) = '\0';
	snprintf(wanted, sizeof(wanted), "%llu", (unsigned long long)value);
	CHECK_STR(got, wanted);
	if (value >= 1000000)
		return;
	nr = heap_op_digits((uint32_t)value, &text);
	memcpy(got, &text, sizeof(text));
	got[nr] = '\0';
	CHECK_STR(got, wanted);
}

static void test_numbers(void)
{
	uint64_t value;

	for (value = 0; value < 2000000; value++)
		check_number(value);
	for (; value < UINT64_MAX / 2; value += value / 100 + 7)
		check_number(value);
	for (value = 10; value < UINT64_MAX / 10; value *= 10) {
		check_number(value - 1);
		check_number(value);
		check_number(value + 1);
	}
	check_number(INT64_MAX);
	check_number(UINT64_MAX);
}

static json_int_t number(const json_t *op, size_t i)
{
	return json_integer_value(json_array_get(op, i));
}

/* The last operation of the last line, which must be all there is but newlines. */
static json_t *read_last(const struct heap_stream *s, size_t line)
{
	json_error_t error;
	json_t *doc, *ops, *op;
	size_t i;

	CHECK_EQ(s->chunk[s->len - 1], '\n');
	for (i = s->len; i < s->len + 8; i++)
		CHECK_EQ(s->chunk[i], '\n');
	doc = json_loadb(s->chunk + line, s->len - line, 0, &error);
	if (!CHECK(doc))
		fprintf(stderr, "\t%s in %.*s", error.text, (int)(s->len - line), s->chunk + line);
	if (!doc)
		return NULL;
	ops = json_object_get(doc, "ops");
	op = json_incref(json_array_get(ops, json_array_size(ops) - 1));
	json_decref(doc);
	return op;
}

static uint64_t random_state = 88172645463325252ull;

/* Numbers of all lengths. */
static uint64_t any(unsigned int bits)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 1 >> (63 - bits + random_state % (bits + 1));
}

static void test_operations(void)
{
	static char chunk[1 << 20];
	struct heap_stream s = { .chunk = chunk, .size = sizeof(chunk) };
	uint64_t ns = 5, addr, old, size, align, last;
	size_t line = 0;
	int i, nr_same = 0;
	uint32_t stack;
	bool is_new;
	json_t *op;

	memset(chunk, '\n', sizeof(chunk));
	for (i = 0; i < 20000 && s.len + 512 < s.size; i++) {
		last = s.last_ns;
		ns += i % 3 ? any(22) : 0;
		addr = 0x10000000 + any(i & 8 ? 46 : 30);
		old = 0x10000000 + any(46);
		size = any(40);
		stack = (uint32_t)any(31);
		align = i % 5 ? 0 : 1ull << any(4);
		is_new = s.len >= s.limit || ns - last >= 1000000;
		if (is_new)
			line = s.len;
		switch (i % 4) {
		case 0:
			if (is_new || !heap_op_is_short((int64_t)(addr - s.base)))
				heap_stream_free(&s, 7, ns, addr);
			else if (ns == last && heap_stream_has_room(&s))
				heap_stream_put_free_same(&s, (int64_t)(addr - s.base));
			else
				heap_stream_put_free(&s, ns, (int64_t)(addr - s.base));
			break;
		case 1:
			heap_stream_realloc(&s, 7, ns, addr, size, stack, old, any(30));
			break;
		case 2:
			heap_stream_alloc(&s, 7, ns, 0, size, 0, stack);
			break;
		default:
			if (is_new || align || size >= DIGITS_SHORT || stack >= DIGITS_SHORT ||
			    !heap_op_is_short((int64_t)(addr - s.base)))
				heap_stream_alloc(&s, 7, ns, addr, size, align, stack);
			else if (ns == last && heap_stream_has_room(&s))
				heap_stream_put_alloc_same(&s, (int64_t)(addr - s.base), (uint32_t)size, stack);
			else
				heap_stream_put_alloc(&s, ns, (int64_t)(addr - s.base), (uint32_t)size,
						      stack);
		}
		op = read_last(&s, line);
		if (!op)
			return;
		if (json_array_size(op) == 1 || json_array_size(op) == 3) {
			CHECK(!is_new && ns == last);
			json_array_insert_new(op, 0, json_integer(0));
			nr_same++;
		}
		CHECK_EQ(number(op, 0), is_new ? 0 : ns - last);
		if (i % 4 == 2)
			CHECK(json_is_null(json_array_get(op, 1)));
		else
			CHECK_EQ(s.base + (uint64_t)number(op, 1), addr);
		if (i % 4) {
			CHECK_EQ(number(op, 2), size);
			CHECK_EQ(number(op, 3), stack);
		}
		if (i % 4 == 1)
			CHECK_EQ(s.base + (uint64_t)number(op, 4), old);
		if (i % 4 == 3) {
			CHECK_EQ(json_array_size(op), align ? 5 : 4);
			CHECK_EQ(number(op, 4), align);
		}
		json_decref(op);
	}
	CHECK(i > 5000 && nr_same > 1000);
}

/* Stamps of a thread that are out of order by a little: it is known which came first. */
static void test_time_goes_back(void)
{
	static char chunk[4096];
	struct heap_stream s = { .chunk = chunk, .size = sizeof(chunk) };
	json_t *op;

	memset(chunk, '\n', sizeof(chunk));
	heap_stream_alloc(&s, 7, 5000, 0x1000, 16, 0, 1);
	heap_stream_free(&s, 7, 4990, 0x1000);
	op = read_last(&s, 0);
	CHECK(op && number(op, 0) == 0);
	json_decref(op);
	CHECK_EQ(s.last_ns, 5000);
}

int main(void)
{
	test_time_goes_back();
	test_numbers();
	test_operations();
	return test_result();
}
