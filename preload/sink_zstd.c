/* SPDX-License-Identifier: MIT */
/* Slots, the gap in front of them and the compressors. */
#include "sink_zstd.h"

#include <string.h>

#include "arena.h"
#include "jsonw.h"
#include "zframes.h"

#include "no_heap.h"

#define GAP_FIRST 32768u	/* bytes; a small process needs no more */
#define GAP_FACTOR 4u
#define RETIRE_BYTES 65536u	/* compressed bytes that are let go of at a time */
#define LAST_BYTES 512u		/* a slot for one line; the gap always has room for it */
#define NR_PACKERS 8
#define RECORD_BYTES (1u << 20)	/* the longest record there is */

/* Behind a frame without content, for tools that know a file by its first bytes: whose it is. */
static const char owner_key[] = "vmtrace \"pid\":";
#define OWNER_TEXT 32u
#define OWNER_AT (ZFRAMES_EMPTY + ZFRAMES_SKIP_HEAD)

struct slot {
	uint64_t start, bytes;
	bool taken;		/* by a stream: it is a raw frame */
	struct slot *next;
};

struct zsink_packer {
	void *state;
	char *frame;
	size_t room, len;	/* len: of the frame, 0: none */
	bool taken;
};

static struct {
	struct zsink_file file;
	bool on, begun;
	bool full;		/* there was no room the last time */
	int pid;
	uint64_t packed;	/* E: where the gap begins */
	uint64_t gap;		/* its bytes, 0: there is none */
	uint64_t end;		/* of the file */
	uint64_t retired;
	uint64_t taken_bytes;	/* of slots */
	struct slot *slots;	/* all behind the gap, without holes, in order */
} z;

static struct slot *free_slots;
static struct zsink_packer packers[NR_PACKERS];	/* the first: for use under the lock */

bool zsink_is_built_in(void)
{
	return true;
}

size_t zsink_fill_page(char *buf, size_t len)
{
	if (len < ZFRAMES_SKIP_HEAD)
		len += ZSINK_PAGE;
	zframes_put_skip(buf, len);
	return len;
}

bool zsink_is_on(void)
{
	return z.on;
}

uint64_t zsink_bytes(void)
{
	return z.packed;
}

size_t zsink_record_max(void)
{
	return ZFRAMES_RAW_MAX - ZFRAMES_RAW_HEAD;
}

static char *at(uint64_t offset)
{
	return z.file.window + offset;
}

static struct slot *slot_new(uint64_t start, uint64_t bytes)
{
	struct slot *slot = free_slots;

	if (slot)
		free_slots = slot->next;
	else
		slot = arena_alloc(sizeof(*slot));
	if (slot)
		*slot = (struct slot){ .start = start, .bytes = bytes };
	return slot;
}

/* The first one, from the list. */
static void slot_drop(void)
{
	struct slot *slot = z.slots;

	z.slots = slot->next;
	slot->next = free_slots;
	free_slots = slot;
}

void zsink_begin(const struct zsink_file *file, int pid)
{
	int i;

	while (z.slots)
		slot_drop();
	memset(&z, 0, sizeof(z));
	/* In a fork child the threads that used them are gone. */
	for (i = 0; i < NR_PACKERS; i++)
		packers[i].taken = false;
	if (!file)
		return;
	z.file = *file;
	z.pid = pid;
	z.on = true;
}

/* Up to the next page's boundary. */
static uint64_t to_page(uint64_t offset)
{
	return (offset + ZSINK_PAGE - 1) & ~(uint64_t)(ZSINK_PAGE - 1);
}

/* A skippable frame of at least @bytes at the end of the file. Return: its length, 0: no room. */
static uint64_t extend(uint64_t bytes)
{
	uint64_t start = z.end;

	bytes = to_page(start + bytes) - start;
	z.full = !z.file.extend(bytes);
	if (z.full)
		return 0;
	zframes_put_skip(at(start), bytes);
	z.end += bytes;
	return bytes;
}

/* Each chunk being filled may be put into a gap of this size before the gap is used up. */
static uint64_t ample_gap(void)
{
	return GAP_FIRST + GAP_FACTOR * z.taken_bytes;
}

/* A gap of @need bytes at least: of what is behind it, or of what can be had at the end. */
static bool widen_gap(uint64_t need)
{
	uint64_t more;

	while (z.gap < need) {
		if (z.slots && z.slots->taken) {
			z.packed = z.slots->start + z.slots->bytes;
			z.gap = 0;
			slot_drop();
			continue;
		}
		more = z.slots ? z.slots->bytes : extend(need - z.gap + ample_gap());
		if (!more)
			return false;
		z.gap += more;
		zframes_put_skip(at(z.packed), z.gap);
		if (z.slots)
			slot_drop();
	}
	return true;
}

static void retire(void)
{
	if (z.packed - z.retired < RETIRE_BYTES)
		return;
	if (z.file.retire(z.retired, z.packed))
		z.retired = z.packed & ~(uint64_t)(ZSINK_PAGE - 1);
}

/* At E. What follows it is in place before it appears. */
static bool put_frame(const char *frame, size_t bytes)
{
	if (!widen_gap(bytes + 3 * LAST_BYTES))
		return false;
	zframes_put_skip(at(z.packed + bytes), z.gap - bytes);
	zframes_publish(at(z.packed), frame, bytes);
	z.packed += bytes;
	z.gap -= bytes;
	retire();
	return true;
}

/* The file's first frames. */
static bool begin(void)
{
	char head[OWNER_AT + OWNER_TEXT];
	size_t n = OWNER_AT + sizeof(owner_key) - 1;

	memset(head, '\n', sizeof(head));
	zframes_put_empty(head);
	zframes_put_skip(head + ZFRAMES_EMPTY, sizeof(head) - ZFRAMES_EMPTY);
	memcpy(head + OWNER_AT, owner_key, sizeof(owner_key) - 1);
	jsonw_put_num(head + n, z.pid);
	z.begun = put_frame(head, sizeof(head));
	return z.begun;
}

int64_t zsink_pid_of(const char *head, size_t len)
{
	char empty[ZFRAMES_EMPTY];
	int64_t pid = 0;
	const char *s;

	zframes_put_empty(empty);
	if (len < OWNER_AT + OWNER_TEXT || memcmp(head, empty, sizeof(empty)) ||
	    memcmp(head + OWNER_AT, owner_key, sizeof(owner_key) - 1))
		return 0;
	for (s = head + OWNER_AT + sizeof(owner_key) - 1;
	     s < head + OWNER_AT + OWNER_TEXT && *s >= '0' && *s <= '9'; s++)
		pid = pid * 10 + (*s - '0');
	return pid;
}

/*
 * One that is nobody's, and so far behind the gap that each stream in use can come here before the
 * gap arrives: those nearer are left alone, for the gap to take in.
 */
static struct slot *find_slot(uint64_t bytes)
{
	uint64_t near = z.packed + ample_gap();
	struct slot *slot;

	for (slot = z.slots; slot; slot = slot->next) {
		if (!slot->taken && slot->bytes == bytes && slot->start >= near)
			return slot;
	}
	return NULL;
}

static struct slot *add_slot(uint64_t bytes)
{
	struct slot *slot = slot_new(z.end, 0), **link = &z.slots;

	if (!slot)
		return NULL;
	slot->bytes = extend(bytes);
	if (!slot->bytes) {
		slot->next = free_slots;
		free_slots = slot;
		return NULL;
	}
	while (*link)
		link = &(*link)->next;
	*link = slot;
	return slot;
}

/* The file can't grow: what there is. */
static struct slot *any_slot(void)
{
	struct slot *slot, *best = NULL;

	for (slot = z.slots; slot; slot = slot->next) {
		if (!slot->taken && (!best || slot->bytes > best->bytes))
			best = slot;
	}
	return best;
}

static char *take(struct slot *slot, size_t *ret_size)
{
	slot->taken = true;
	z.taken_bytes += slot->bytes;
	*ret_size = slot->bytes - ZFRAMES_RAW_HEAD;
	memset(at(slot->start) + ZFRAMES_RAW_HEAD, '\n', *ret_size);
	zframes_put_raw(at(slot->start), slot->bytes);
	return at(slot->start) + ZFRAMES_RAW_HEAD;
}

char *zsink_last_chunk(size_t *ret_size)
{
	struct slot *slot = z.gap > 2 * LAST_BYTES ? slot_new(0, LAST_BYTES) : NULL;

	if (!slot)
		return NULL;
	z.gap -= slot->bytes;
	slot->start = z.packed + z.gap;
	zframes_put_skip(at(slot->start), slot->bytes);
	zframes_put_skip(at(z.packed), z.gap);
	slot->next = z.slots;
	z.slots = slot;
	return take(slot, ret_size);
}

char *zsink_chunk(size_t want, size_t *ret_size)
{
	uint64_t bytes = want < ZFRAMES_RAW_MAX ? to_page(want) : ZFRAMES_RAW_MAX;
	struct slot *slot;

	if (!z.begun && !begin())
		return NULL;
	slot = find_slot(bytes);
	if (!slot)
		slot = add_slot(bytes);
	if (!slot)
		slot = any_slot();
	return slot ? take(slot, ret_size) : NULL;
}

/* NULL: the gap has passed over it. */
static struct slot *slot_of(const char *chunk)
{
	uint64_t start = (uint64_t)(chunk - z.file.window) - ZFRAMES_RAW_HEAD;
	struct slot *slot = z.slots;

	while (slot && slot->start != start)
		slot = slot->next;
	return slot;
}

static bool prepare(struct zsink_packer *p, size_t bytes)
{
	size_t size = zframes_state_bytes();
	void *memory;

	if (p->state)
		return true;
	p->room = zframes_bound(bytes);
	p->frame = arena_alloc(p->room);
	memory = p->frame ? arena_alloc(size) : NULL;
	p->state = memory ? zframes_init(memory, size) : NULL;
	return p->state;
}

struct zsink_packer *zsink_packer_take(void)
{
	int i;

	for (i = 1; i < NR_PACKERS; i++) {
		if (packers[i].taken)
			continue;
		if (!prepare(&packers[i], ZFRAMES_RAW_MAX))
			return NULL;
		packers[i].taken = true;
		packers[i].len = 0;
		return &packers[i];
	}
	return NULL;
}

void zsink_packer_give(struct zsink_packer *packer)
{
	packer->taken = false;
}

void zsink_pack(struct zsink_packer *p, const char *buf, size_t len)
{
	p->len = zframes_compress(p->state, p->frame, p->room, buf, len);
}

const char *zsink_pack_record(const char *buf, size_t len, size_t *ret_len)
{
	struct zsink_packer *p = &packers[0];

	if (!prepare(p, RECORD_BYTES))
		return NULL;
	zsink_pack(p, buf, len);
	*ret_len = p->len;
	return p->len ? p->frame : NULL;
}

bool zsink_append(const char *buf, size_t len)
{
	size_t bytes;
	const char *frame = zsink_pack_record(buf, len, &bytes);

	return frame && (z.begun || begin()) && put_frame(frame, bytes);
}

void zsink_leave(char *chunk, size_t size)
{
	struct slot *slot = slot_of(chunk);
	bool last = !slot;

	z.taken_bytes -= size + ZFRAMES_RAW_HEAD;
	while (!last) {
		last = z.slots == slot;
		z.packed = z.slots->start + z.slots->bytes;
		z.gap = 0;
		slot_drop();
	}
}

bool zsink_complete(char *chunk, size_t size, size_t len, struct zsink_packer *packer)
{
	const char *frame = packer ? packer->frame : NULL;
	size_t bytes = packer ? packer->len : 0;
	struct slot *slot;

	/* Nothing is compressed in vain on a full disk. */
	if (z.full && !widen_gap(size / 2))
		return false;
	if (!bytes)
		frame = zsink_pack_record(chunk, len, &bytes);
	if (!frame) {
		zsink_leave(chunk, size);
		return true;
	}
	if (!put_frame(frame, bytes))
		return false;
	zframes_put_skip(chunk - ZFRAMES_RAW_HEAD, size + ZFRAMES_RAW_HEAD);
	z.taken_bytes -= size + ZFRAMES_RAW_HEAD;
	slot = slot_of(chunk);
	if (slot)
		slot->taken = false;
	return true;
}

void zsink_trim(void)
{
	struct slot *slot, *last = NULL;
	uint64_t end;

	for (slot = z.slots; slot; slot = slot->next) {
		if (slot->taken)
			last = slot;
	}
	end = last ? last->start + last->bytes : z.packed;
	if (!z.begun || end == z.end || !z.file.cut(end))
		return;
	z.end = end;
	if (last) {
		slot = last->next;
		last->next = NULL;
	} else {
		z.gap = 0;
		slot = z.slots;
		z.slots = NULL;
	}
	for (; slot; slot = last) {
		last = slot->next;
		slot->next = free_slots;
		free_slots = slot;
	}
}
