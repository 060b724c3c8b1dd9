/* SPDX-License-Identifier: MIT */
/* Composes lines and publishes them in the chunks that the sink hands out. */
#include "recorder.h"

#include <string.h>

#include "arena.h"
#include "clock.h"
#include "heap_stream.h"
#include "lock.h"
#include "sink.h"
#include "sink_zstd.h"
#include "sys.h"

#include "no_heap.h"

#define RECORD_MAX (1u << 20)		/* bytes; longer records are dropped and counted */
#define STREAM_CHUNK 4096u		/* bytes a thread collects for a stream */
#define HEAP_CHUNK_FIRST 4096u		/* a thread's first chunk; the next ones are larger */
#define HEAP_LINE_MAX 16384u		/* bytes of one heap line */
#define HEAP_GIVEN_UP 255u		/* operations, before room is asked for again where there was none */
#define HEAP_HEAD_MAX 128u		/* of a line without operations */
#define POPULATE_RECORD 32768u		/* bytes; most records are shorter */
#define NR_LOST 16
#define TALLY_BYTES 192u		/* kept free at a chunk's end, for the line that owns up to losses */
#define TALLY_DIGITS 20

static struct jsonw writer;
static char *record;			/* RECORD_MAX bytes */
static char *main_chunk;
static size_t main_size, main_len;

/* What was dropped, by kind and reason, until a `lost` event could be written. */
static struct lost {
	const char *what, *why;
	uint64_t count;
} lost[NR_LOST];
static uint64_t nr_lost;
static bool behind;			/* a replay would miss something */
static char *tally;			/* the count in that line, while the output is full */
static uint64_t tally_count;

bool recorder_init(void)
{
	if (!record)
		record = arena_alloc(RECORD_MAX);
	main_chunk = NULL;
	main_size = main_len = 0;
	tally = NULL;
	behind = false;
	nr_lost = 0;
	memset(lost, 0, sizeof(lost));
	return record;
}

uint64_t recorder_now(void)
{
	return clock_after_acquisition();
}

uint64_t recorder_nr_lost(void)
{
	return __atomic_load_n(&nr_lost, __ATOMIC_RELAXED);
}

void recorder_lost(const char *what, const char *why, uint64_t count)
{
	int i;

	/* Without the lock from a nested hook: a slot's owner is fixed once it is taken. */
	__atomic_fetch_add(&nr_lost, count, __ATOMIC_RELAXED);
	for (i = 0; i < NR_LOST; i++) {
		const char *none = NULL;

		if (__atomic_compare_exchange_n(&lost[i].what, &none, what, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			__atomic_store_n(&lost[i].why, why, __ATOMIC_RELAXED);
		if (__atomic_load_n(&lost[i].what, __ATOMIC_RELAXED) == what &&
		    __atomic_load_n(&lost[i].why, __ATOMIC_RELAXED) == why) {
			__atomic_fetch_add(&lost[i].count, count, __ATOMIC_RELAXED);
			return;
		}
	}
}

typedef uint64_t piece __attribute__((vector_size(16), aligned(1), may_alias));

/*
 * Front to back, which memcpy() does not promise: a kill leaves a prefix, never a hole. Volatile
 * stores stay in order, and the last piece, which may begin again in the one before, comes last.
 */
static void copy_forward(char *dst, const char *src, size_t len)
{
	size_t i;

	if (len < sizeof(piece)) {
		sys_copy_forward(dst, src, len);
		return;
	}
	for (i = 0; i + sizeof(piece) <= len; i += sizeof(piece))
		*(volatile piece *)(dst + i) = *(const piece *)(src + i);
	i = len - sizeof(piece);
	*(volatile piece *)(dst + i) = *(const piece *)(src + i);
}

/* All but the first byte, then the first byte: the line exists from that store on. */
static void publish(char *dst, const char *src, size_t len)
{
	copy_forward(dst + 1, src + 1, len - 1);
	__atomic_store_n(dst, src[0], __ATOMIC_RELEASE);
}

/* The main stream's next chunk, for records of @want bytes together. */
static bool next_main_chunk(size_t want)
{
	size_t size;
	char *chunk;

	if (main_chunk && zsink_is_on()) {
		if (!zsink_complete(main_chunk, main_size, main_len, NULL))
			return false;
		main_chunk = NULL;
	}
	chunk = sink_chunk(want > SINK_CHUNK ? want : SINK_CHUNK, &size);
	if (!chunk && zsink_is_on())
		chunk = zsink_last_chunk(&size);
	if (!chunk)
		return false;
	if (main_chunk)
		sink_retire(main_chunk, main_size);
	main_chunk = chunk;
	main_size = size;
	main_len = 0;
	tally = NULL;
	return want <= size;
}

/*
 * In a compressed file, at once, behind what is in the chunk now and before the next: a record that
 * no chunk can hold, and the first of all. Chunks of threads may stand before the main stream's.
 */
static bool append_apart(const char *buf, size_t len)
{
	bool done;

	if (main_chunk && !zsink_complete(main_chunk, main_size, main_len, NULL))
		return false;
	main_chunk = NULL;
	done = zsink_append(buf, len);
	(void)next_main_chunk(TALLY_BYTES);
	return done;
}

static bool append(const char *buf, size_t len)
{
	if (!sink_is_file())
		return sink_stream(buf, len);
	if (zsink_is_on() && (!main_chunk || len + TALLY_BYTES > zsink_record_max()))
		return append_apart(buf, len);
	if ((!main_chunk || len + TALLY_BYTES > main_size - main_len) &&
	    !next_main_chunk(len + TALLY_BYTES))
		return false;
	publish(main_chunk + main_len, buf, len);
	main_len += len;
	return true;
}

/*
 * The output is full: nothing more can be said but how much is missing. One line, in room kept
 * for it, whose count is overwritten in place. Under the lock.
 */
static void tell_full(void)
{
	char buf[TALLY_BYTES], digits[TALLY_DIGITS];
	struct jsonw w;
	size_t len;
	int i;

	if (!sink_is_file() || !main_chunk)
		return;
	if (!tally) {
		jsonw_init(&w, buf, sizeof(buf));
		jsonw_event(&w, "lost");
		jsonw_num(&w, "t", (int64_t)recorder_now());
		jsonw_str(&w, "what", "event");
		jsonw_str(&w, "why", sink_why());
		jsonw_num(&w, "count", 0);
		memset(buf + w.len - 1, ' ', TALLY_DIGITS);
		buf[w.len + TALLY_DIGITS - 2] = '0';
		tally = main_chunk + main_len + w.len - 1;
		w.len += TALLY_DIGITS - 1;
		len = jsonw_event_end(&w);
		publish(main_chunk + main_len, buf, len);
		main_len += len;
		tally_count = 0;
	}
	for (i = 0; i < NR_LOST; i++)
		tally_count += __atomic_exchange_n(&lost[i].count, 0, __ATOMIC_RELAXED);
	len = jsonw_put_num(digits, (int64_t)tally_count);
	memcpy(tally + TALLY_DIGITS - len, digits, len);
}

struct jsonw *recorder_writer(void)
{
	jsonw_init(&writer, record, RECORD_MAX);
	return &writer;
}

bool recorder_commit(struct jsonw *w)
{
	size_t len = jsonw_event_end(w);

	if (!len) {
		recorder_lost("event", "size", 1);
		return false;
	}
	if (append(w->buf, len))
		return true;
	recorder_lost("event", sink_why(), 1);
	tell_full();
	return false;
}

void recorder_populate(void)
{
	sys_touch(record, POPULATE_RECORD);
	if (sink_is_file() && main_chunk && main_len < main_size)
		sys_touch(main_chunk + main_len, main_size - main_len);
}

bool recorder_is_behind(void)
{
	return behind;
}

bool recorder_commit_model(struct jsonw *w)
{
	if (behind) {
		recorder_lost("event", sink_why(), 1);
		tell_full();
		return false;
	}
	behind = !recorder_commit(w);
	return !behind;
}

void recorder_caught_up(void)
{
	behind = false;
}

void recorder_flush_lost(void)
{
	char buf[256];
	struct jsonw w;
	size_t len;
	int i;

	for (i = 0; i < NR_LOST; i++) {
		uint64_t count = __atomic_exchange_n(&lost[i].count, 0, __ATOMIC_RELAXED);

		if (!count)
			continue;
		jsonw_init(&w, buf, sizeof(buf));
		jsonw_event(&w, "lost");
		jsonw_num(&w, "t", (int64_t)recorder_now());
		jsonw_str(&w, "what", lost[i].what);
		jsonw_num(&w, "count", (int64_t)count);
		jsonw_str(&w, "why", lost[i].why ? lost[i].why : "");
		len = jsonw_event_end(&w);
		if (!len || !append(buf, len))
			__atomic_fetch_add(&lost[i].count, count, __ATOMIC_RELAXED);
	}
}

void recorder_trim(void)
{
	if (!sink_is_file() || !main_chunk)
		return;
	if (zsink_is_on() && !zsink_complete(main_chunk, main_size, main_len, NULL))
		zsink_leave(main_chunk, main_size);
	sink_trim(main_chunk, main_size, main_len);
	main_chunk = NULL;
	main_size = main_len = 0;
}

/* What can't be compressed remains as it is. */
static void complete(struct heap_stream *s, struct zsink_packer *packer)
{
	if (!zsink_complete(s->chunk, s->size, s->len, packer))
		zsink_leave(s->chunk, s->size);
	s->chunk = NULL;
}

void heap_stream_close(struct heap_stream *s)
{
	s->closed = true;
	s->limit = 0;
}

void heap_stream_flush_apart(struct heap_stream *s)
{
	struct zsink_packer *packer = NULL;

	if (zsink_is_on() && s->chunk && s->len)
		packer = zsink_packer_take();
	if (packer) {
		lock_pause();
		zsink_pack(packer, s->chunk, s->len);
		lock_resume();
		/* Who ends the process may have done it meanwhile. */
		if (s->chunk)
			complete(s, packer);
		zsink_packer_give(packer);
	}
	heap_stream_flush(s);
}

void heap_stream_flush(struct heap_stream *s)
{
	if (s->chunk && s->len) {
		if (zsink_is_on())
			complete(s, NULL);
		else if (sink_is_file())
			sink_retire(s->chunk, s->size);
		else if (!sink_stream(s->chunk, s->len))
			recorder_lost("heap", sink_why(), s->nr_ops);
	}
	if (sink_is_file())
		s->chunk = NULL;
	s->len = s->limit = 0;
	s->nr_ops = 0;
	s->closed = false;
}

/* Room for a new line; takes the lock, once per chunk. */
static bool next_chunk(struct heap_stream *s)
{
	struct lock_state state;
	uint64_t signals;
	bool ahead;
	size_t want = s->size && s->size < SINK_CHUNK ? s->size * 4 : HEAP_CHUNK_FIRST;

	sys_block_signals(&signals);
	lock_take_open(&state);
	if (s->size >= SINK_CHUNK)
		want = SINK_CHUNK;
	heap_stream_flush_apart(s);
	if (sink_is_file()) {
		s->chunk = sink_chunk(want, &s->size);
	} else if (!s->chunk) {
		s->chunk = arena_alloc(STREAM_CHUNK);
		s->size = STREAM_CHUNK;
	}
	if (!s->chunk) {
		recorder_lost("heap", sink_is_file() ? sink_why() : "memory", 1);
		tell_full();
	}
	ahead = s->chunk && s->size == SINK_CHUNK && sink_ahead_begin();
	lock_drop(&state);
	if (ahead)
		sink_ahead(s->chunk, s->size);
	sys_restore_signals(&signals);
	return s->chunk;
}

bool heap_stream_begin(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr)
{
	char buf[HEAP_HEAD_MAX];
	struct jsonw w;
	size_t limit;

	s->limit = 0;
	s->last_ns = ns;
	if (s->nr_given_up) {
		s->nr_given_up--;
		recorder_lost("heap", sink_is_file() ? sink_why() : "memory", 1);
		return false;
	}
	if ((!s->chunk || s->closed || s->len + HEAP_OP_MAX + HEAP_HEAD_MAX > s->size) &&
	    !next_chunk(s)) {
		s->nr_given_up = HEAP_GIVEN_UP;
		return false;
	}
	jsonw_init(&w, buf, sizeof(buf));
	jsonw_event(&w, "heap");
	jsonw_num(&w, "tid", tid);
	jsonw_num(&w, "t0", (int64_t)ns);
	jsonw_hex(&w, "base", addr);
	jsonw_array(&w, "ops");
	memcpy(buf + w.len, "]}\n", 3);
	publish(s->chunk + s->len, buf, w.len + 3);
	s->len += w.len + 3;
	s->first = s->len;
	s->base = addr;
	limit = s->size - HEAP_OP_MAX;
	s->limit = limit < s->len + HEAP_LINE_MAX ? limit : s->len + HEAP_LINE_MAX;
	if (s->closed)
		s->limit = 0;
	return true;
}
