/* SPDX-License-Identifier: MIT */
/*
 * The compressed file: whole after every single instruction that changes it, nothing missing, each
 * stream in order; also when it can't grow.
 *
 * A child plays streams that fill chunks over a file in shared memory; the parent lets it go
 * instruction by instruction and decompresses the file after each.
 */
#include "sink_zstd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "arena.h"
#include "check.h"

#define FILE_MAX (8u << 20)
#define TEXT_MAX (4u << 20)
#define NR_STREAMS 4
#define LINE "0 000000 and text that is not all the same 0123456789abcdef\n"
#define LINE_BYTES (sizeof(LINE) - 1)
#define SKIPPED 77

/* What both processes see. */
static struct world {
	volatile uint64_t length;		/* of the file */
	volatile unsigned int written[NR_STREAMS];	/* lines that are in it for certain */
	char file[FILE_MAX] __attribute__((aligned(4096)));
} *world;

static struct stream {
	char *chunk;
	size_t size, len;
	unsigned int nr;
} streams[NR_STREAMS];

static uint64_t room;		/* the file grows no longer */
static bool is_watched;		/* the file's changes are, by the parent */
static unsigned int nr_repeated;	/* moments with a chunk that was there twice */

void *arena_alloc(size_t bytes)
{
	return calloc(1, bytes);
}

static bool extend(size_t bytes)
{
	uint64_t at = world->length, end = at + bytes;
	size_t n;

	if (end > room)
		return false;
	for (; at < end; at += n) {
		n = zsink_fill_page(world->file + at, ZSINK_PAGE - at % ZSINK_PAGE);
		world->length = at + n;
	}
	return true;
}

static bool cut(uint64_t length)
{
	world->length = length;
	return true;
}

static bool retire(uint64_t start, uint64_t end)
{
	return start < end;
}

static void begin(uint64_t file_room)
{
	const struct zsink_file file = { world->file, extend, cut, retire };

	room = file_room;
	world->length = 0;
	memset(streams, 0, sizeof(streams));
	memset((void *)world->written, 0, sizeof(world->written));
	zsink_begin(&file, 4711);
	CHECK(zsink_is_on());
}

/* The text of the file in @text. Return: its bytes, or that it is none. */
static size_t unpack(char *text)
{
	return world->length ? ZSTD_decompress(text, TEXT_MAX, world->file, world->length) : 0;
}

/* Every line of each stream, in order; what a kill repeats is one run of lines. */
static void check_file(void)
{
	static char text[TEXT_MAX];
	size_t len = unpack(text), at, end;
	unsigned int last[NR_STREAMS] = { 0 }, repeated = 0, stream, nr, i;

	if (ZSTD_isError(len)) {
		CHECK_STR(ZSTD_getErrorName(len), "no error");
		return;
	}
	for (at = 0; at < len; at = end + 1) {
		for (end = at; end < len && text[end] != '\n'; end++)
			;
		if (end - at != LINE_BYTES - 1 || text[at + 1] != ' ')
			continue;
		stream = (unsigned int)(text[at] - '0');
		nr = (unsigned int)strtoul(text + at + 2, NULL, 10);
		if (stream < NR_STREAMS && nr == last[stream] + 1)
			last[stream]++;
		else
			repeated++;
	}
	nr_repeated += repeated > 0;
	CHECK(repeated <= 4096 / LINE_BYTES);
	for (i = 0; i < NR_STREAMS; i++)
		CHECK(last[i] == world->written[i] || last[i] == world->written[i] + 1);
}

static bool next_chunk(struct stream *s, bool apart)
{
	struct zsink_packer *packer = apart && s->chunk ? zsink_packer_take() : NULL;

	if (packer)
		zsink_pack(packer, s->chunk, s->len);
	if (is_watched)
		raise(SIGUSR1);
	if (s->chunk && !zsink_complete(s->chunk, s->size, s->len, packer))
		zsink_leave(s->chunk, s->size);
	if (packer)
		zsink_packer_give(packer);
	s->len = 0;
	s->chunk = zsink_chunk(4096, &s->size);
	if (is_watched)
		raise(SIGUSR2);
	return s->chunk;
}

static bool put_line(int i)
{
	struct stream *s = &streams[i];
	char line[LINE_BYTES + 1] = LINE;
	uint64_t hash = s->nr * 0x9e3779b97f4a7c15ull;
	unsigned int nr = s->nr + 1, k;

	if ((!s->chunk || s->size - s->len < LINE_BYTES) && !next_chunk(s, i > 0 || is_watched))
		return false;
	line[0] = (char)('0' + i);
	for (k = 0; k < 6; k++, nr /= 10)
		line[7 - k] = (char)('0' + nr % 10);
	for (k = 0; k < 16; k++)
		line[LINE_BYTES - 2 - k] = "0123456789abcdef"[hash >> 4 * k & 15];
	memcpy(s->chunk + s->len + 1, line + 1, LINE_BYTES - 1);
	__atomic_store_n(s->chunk + s->len, line[0], __ATOMIC_RELEASE);
	s->len += LINE_BYTES;
	s->nr++;
	world->written[i] = s->nr;
	return true;
}

static void finish(void)
{
	int i;

	for (i = 0; i < NR_STREAMS; i++) {
		if (streams[i].chunk && !zsink_complete(streams[i].chunk, streams[i].size,
							streams[i].len, NULL))
			zsink_leave(streams[i].chunk, streams[i].size);
		streams[i].chunk = NULL;
	}
	zsink_trim();
}

/* One stream is busy, one slow, one asleep. */
static int stream_of(unsigned int step)
{
	return step % 16 == 0 ? 0 : step % 16 < 4 ? 2 : step == 5 ? 3 : 1;
}

static void test_streams(void)
{
	static char text[TEXT_MAX];
	unsigned int step;

	begin(FILE_MAX);
	for (step = 0; step < 20000; step++) {
		CHECK(put_line(stream_of(step)));
		if (step % 100 == 0)
			check_file();
	}
	finish();
	check_file();
	CHECK_EQ(nr_repeated, 0);
	CHECK(world->length < 20000 * LINE_BYTES / 2);
	CHECK_EQ(zsink_bytes(), world->length);
	CHECK_EQ(zsink_pid_of(world->file, 4096), 4711);
	CHECK_EQ(zsink_pid_of(world->file, 20), 0);
	CHECK_EQ(zsink_pid_of(text, 4096), 0);
	/* Late ones. */
	for (step = 0; step < 200; step++)
		CHECK(put_line(2));
	check_file();
}

/* In a file that can't grow: what was taken stays, in order; there is room to say so. */
static void test_full(void)
{
	unsigned int step, lost;
	size_t size;
	uint64_t limit;

	for (limit = 0; limit < 250000; limit += 40960) {
		begin(limit);
		for (step = lost = 0; step < 20000; step++)
			lost += !put_line(stream_of(step));
		CHECK(lost > 0);
		check_file();
		if (limit)
			CHECK(zsink_last_chunk(&size) || !streams[0].chunk);
		finish();
		check_file();
	}
}

/* Longer than any chunk. */
static void test_long_record(void)
{
	static char text[TEXT_MAX], record[1 << 20];
	size_t i, len;

	begin(FILE_MAX);
	for (i = 0; i < sizeof(record); i++)
		record[i] = (char)('a' + (i * i >> 7) % 23);
	record[0] = record[sizeof(record) - 1] = '\n';
	CHECK(put_line(0));
	CHECK(zsink_append(record, sizeof(record)));
	CHECK(put_line(0));
	check_file();
	finish();
	len = unpack(text);
	CHECK(!ZSTD_isError(len) && memmem(text, len, record, sizeof(record)));
}

static void play(void)
{
	unsigned int step;

	ptrace(PTRACE_TRACEME, 0, 0, 0);
	/* Not before the gap is nearly used up: then everything happens that can. */
	for (step = 0; step < 1600; step++) {
		is_watched = step >= 1150;
		put_line(stream_of(step));
	}
	finish();
	_exit(0);
}

/* Between SIGUSR1 and SIGUSR2 one instruction at a time. */
static void test_every_moment(void)
{
	static uint64_t seen[FILE_MAX / 8];
	bool stepping = false;
	unsigned int moments = 0;
	int status, sig;
	pid_t pid;

	nr_repeated = 0;
	begin(FILE_MAX);
	pid = fork();
	if (!pid)
		play();
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		sig = WSTOPSIG(status);
		if (sig == SIGUSR1 || sig == SIGUSR2)
			stepping = sig == SIGUSR1;
		else if (sig == SIGSEGV || sig == SIGBUS)
			break;
		if (stepping && memcmp(seen, world->file, world->length)) {
			memcpy(seen, world->file, world->length);
			check_file();
			moments++;
		}
		if (ptrace(stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, 0, 0))
			break;
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	printf("%u moments, at %u of them a chunk was there twice\n", moments, nr_repeated);
	CHECK(moments > 1000);
	kill(pid, SIGKILL);
}

static bool can_trace(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(ptrace(PTRACE_TRACEME, 0, 0, 0) ? 1 : 0);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(void)
{
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world == MAP_FAILED)
		return 1;
	test_streams();
	test_full();
	test_long_record();
	if (!can_trace() && !check_failures) {
		printf("skipped: ptrace(2) is not allowed here; all else passed\n");
		return SKIPPED;
	}
	test_every_moment();
	return test_result();
}
