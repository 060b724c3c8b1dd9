/* SPDX-License-Identifier: MIT */
/*
 * The reader on bytes made here: what lies between lines, limits, and coming back.
 */
#include "reader.h"

#include <stdlib.h>

#include "check.h"

#define HEADER "{\"ev\":\"header\",\"version\":1,\"pid\":1,\"ppid\":0,\"exe\":\"/x\",\"argv\":[]," \
	"\"page_size\":4096,\"clock\":{\"start_ns\":0,\"realtime_ns\":0}," \
	"\"capture\":{\"tier\":\"symbols\"},\"verify\":{\"mode\":\"off\"}}\n"
#define THREAD "{\"ev\":\"thread\",\"t\":1,\"tid\":1,\"op\":\"start\"}"

/* Read to the end; the number of records, or the error. */
static int read_all(struct reader *r, const char *data, size_t len)
{
	struct record rec;
	int n = 0, err;

	CHECK_EQ(reader_open_memory(r, "t", data, len), 0);
	while ((err = reader_next(r, &rec)) > 0)
		n++;
	return err < 0 ? err : n;
}

static void test_between_lines(void)
{
	static const struct {
		const char *data;
		size_t len;
		int records;
		uint64_t torn, line;
	} cases[] = {
#define CASE(text, records, torn, line) { text, sizeof(text) - 1, records, torn, line }
		CASE(HEADER, 1, 0, 1),
		CASE("\n\n" HEADER "\n\n", 1, 0, 3),
		CASE("\0\0" HEADER, 1, 0, 1),
		CASE(HEADER THREAD, 2, 0, 2),
		CASE(HEADER "\0\0\0" THREAD "\n\0\0\0", 2, 0, 2),
		CASE(HEADER "\"ev\":\"thr\n" THREAD "\n", 2, 1, 3),
		CASE(HEADER "ev\":\"thr\0\0\0" THREAD "\n", 2, 1, 2),
		CASE(HEADER THREAD "\nx", 2, 1, 3),
#undef CASE
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reader r;

		CHECK_EQ(read_all(&r, cases[i].data, cases[i].len), cases[i].records);
		CHECK_EQ(r.nr_torn, cases[i].torn);
		CHECK_EQ(r.line, cases[i].line);
		CHECK_STR(r.error, "");
		reader_close(&r);
	}
}

/* A line that needs the window to grow is read; one above the limit is refused. */
static void test_long_lines(void)
{
	size_t pad = 3 << 20, len = strlen(HEADER), i;
	static const char tail[] = THREAD;
	struct reader r;
	char *data;

	for (i = 0; i < 2; i++) {
		data = malloc(len + pad + sizeof(tail));
		memcpy(data, HEADER, len);
		data[len] = '{';
		memset(data + len + 1, ' ', pad);
		memcpy(data + len + 1 + pad, tail + 1, sizeof(tail) - 1);
		if (!i) {
			CHECK_EQ(read_all(&r, data, len + pad + sizeof(tail) - 1), 2);
		} else {
			CHECK_EQ(read_all(&r, data, len + pad + sizeof(tail) - 1) < 0, true);
			CHECK_STR(r.error, "t:2: line longer than 64 MiB");
			CHECK_EQ(r.cap < 2 * (size_t)READER_LINE_MAX, true);
		}
		reader_close(&r);
		free(data);
		pad = READER_LINE_MAX + 10;
	}
}

/* Torn bytes need no room, however many they are. */
static void test_long_torn_line(void)
{
	size_t pad = 8 << 20, len = strlen(HEADER);
	char *data = malloc(len + pad);
	struct reader r;

	memcpy(data, HEADER, len);
	memset(data + len, 'x', pad);
	CHECK_EQ(read_all(&r, data, len + pad), 1);
	CHECK_EQ(r.nr_torn, 1);
	CHECK_EQ(r.cap <= 1 << 20, true);
	reader_close(&r);
	free(data);
}

static void test_rewind(void)
{
	static const char data[] = HEADER THREAD "\n"
		"{\"ev\":\"stack\",\"id\":1,\"parent\":0,\"ips\":[\"0x1\"]}\n";
	struct record rec;
	struct reader r;
	int i;

	CHECK_EQ(read_all(&r, data, sizeof(data) - 1), 3);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(reader_rewind(&r), 0);
		CHECK_EQ(reader_next(&r, &rec), 1);
		CHECK_STR(rec.header.exe, "/x");
		CHECK_EQ(reader_next(&r, &rec), 1);
		CHECK_EQ(reader_next(&r, &rec), 1);
		CHECK_EQ(rec.stack.id, 1);
		CHECK_EQ(reader_next(&r, &rec), 0);
	}
	reader_close(&r);
}

static void test_heap_lines(void)
{
	static const char data[] = HEADER
		"{\"ev\":\"heap\",\"tid\":7,\"t0\":100,\"base\":\"0x10\",\"ops\":[[1,2]]}\n"
		"{\"ev\":\"heap\", \"tid\":8,\"t0\":50,\"base\":\"0x10\",\"ops\":[[1,2,3,4],[5,2]]}\n"
		"{\"ev\":\"heap\",\"tid\":9,\"t0\":50,\"base\":\"0x10\",\"ops\":[[]]}\n";
	struct heap_ops ops = { 0 };
	struct record rec[3];
	struct reader r;
	int i;

	CHECK_EQ(reader_open_memory(&r, "t", data, sizeof(data) - 1), 0);
	CHECK_EQ(reader_next(&r, &rec[0]), 1);
	for (i = 0; i < 3; i++)
		CHECK_EQ(reader_next(&r, &rec[i]), 1);
	CHECK_EQ(rec[0].heap.tid, 7);
	CHECK_EQ(rec[1].heap.tid, 8);
	for (i = 1; i >= 0; i--) {
		CHECK_EQ(reader_heap_line(&r, rec[i].line, rec[i].heap.offset, rec[i].heap.length,
					  &ops), 0);
		CHECK_EQ(ops.nr, i + 1);
	}
	CHECK_EQ(reader_heap_line(&r, rec[2].line, rec[2].heap.offset, rec[2].heap.length, &ops) < 0,
		 true);
	CHECK_STR(r.error, "t:4: heap: ops[0] is not a heap operation");
	heap_ops_fini(&ops);
	reader_close(&r);
}

int main(void)
{
	test_between_lines();
	test_long_lines();
	test_long_torn_line();
	test_rewind();
	test_heap_lines();
	return check_status();
}
