/* SPDX-License-Identifier: MIT */
/*
 *   fd ──▶ in[start, end) ──▶ zstd | zlib | as it is ─┬────────────────────────▶ the caller's buffer
 *                                                     └▶ a whole frame ─ new? ─┘
 *
 * The second way is that of a trace that was compressed while it was recorded: see chunks.h.
 */
#include "unpack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "alloc.h"
#include "chunks.h"

enum { IN_BYTES = 1 << 18, GZIP_ONLY = 16, ZSTD_HEAD_BYTES = 5 };

enum form { FORM_UNKNOWN, FORM_PLAIN, FORM_ZSTD, FORM_GZIP };

struct unpack {
	int fd;
	enum form form;
	unsigned char *in;
	size_t start, end;
	uint64_t nr_read;
	bool at_eof;
	bool in_frame;			/* a frame or member has begun and not ended */
	ZSTD_DStream *zstd;
	size_t wanted;			/* what zstd needs next: up to the end of a block */
	z_stream gzip;
	char damage[160];

	bool is_chunked;		/* zstd: recorded so; the rest is of no use otherwise */
	unsigned char head[ZSTD_HEAD_BYTES];	/* first bytes of the frame */
	size_t nr_head;
	bool has_frame_ended;		/* in the last step */
	bool is_long;			/* the frame is longer than a chunk: handed out in pieces */
	char *frame;
	size_t frame_at, frame_len;	/* handed out, there */
	struct chunks chunks;
};

static enum form form_of(const unsigned char *p, size_t len)
{
	static const unsigned char zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const unsigned char skippable[] = { 0x2a, 0x4d, 0x18 };

	if (len >= 2 && p[0] == 0x1f && p[1] == 0x8b)
		return FORM_GZIP;
	if (len >= 4 && (!memcmp(p, zstd, 4) ||
			 ((p[0] & 0xf0) == 0x50 && !memcmp(p + 1, skippable, 3))))
		return FORM_ZSTD;
	return FORM_PLAIN;
}

bool unpack_is_packed(const void *head, size_t len)
{
	return form_of(head, len) != FORM_PLAIN;
}

struct unpack *unpack_new(int fd)
{
	struct unpack *u = alloc_zeroed(sizeof(*u));

	u->fd = fd;
	u->in = alloc_array(IN_BYTES, 1);
	return u;
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	chunks_fini(&u->chunks);
	alloc_free(u->frame);
	ZSTD_freeDStream(u->zstd);
	if (u->form == FORM_GZIP)
		inflateEnd(&u->gzip);
	alloc_free(u->in);
	alloc_free(u);
}

const char *unpack_damage(const struct unpack *u)
{
	return u->damage;
}

uint64_t unpack_nr_read(const struct unpack *u)
{
	return u->nr_read;
}

static int damaged(struct unpack *u, const char *format, const char *what)
{
	snprintf(u->damage, sizeof(u->damage), format, u->form == FORM_GZIP ? "gzip" : "zstd",
		 what);
	return -EBADMSG;
}

static ssize_t read_fd(struct unpack *u, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = read(u->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	u->nr_read += n;
	u->at_eof = !n;
	return n;
}

/* Read until there are @want bytes or the file ends. Return: 0 or -errno. */
static int load(struct unpack *u, size_t want)
{
	if (u->start == u->end)
		u->start = u->end = 0;
	while (u->end - u->start < want && !u->at_eof) {
		ssize_t n = read_fd(u, u->in + u->end, IN_BYTES - u->end);

		if (n < 0)
			return n;
		u->end += n;
	}
	return 0;
}

static int begin(struct unpack *u)
{
	int err = load(u, CHUNKS_HEAD_BYTES);

	if (err)
		return err;
	u->form = form_of(u->in, u->end);
	if (u->form == FORM_ZSTD) {
		u->zstd = ZSTD_createDStream();
		if (!u->zstd)
			alloc_failed();
		(void)ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, UNPACK_WINDOW_LOG);
		u->wanted = ZSTD_HEAD_BYTES;
		u->is_chunked = chunks_are_in(u->in, u->end);
		if (u->is_chunked)
			u->frame = alloc_array(CHUNKS_BYTES, 1);
	}
	if (u->form == FORM_GZIP && inflateInit2(&u->gzip, MAX_WBITS + GZIP_ONLY) != Z_OK)
		alloc_failed();
	return 0;
}

static ssize_t read_plain(struct unpack *u, void *buf, size_t len)
{
	size_t n = u->end - u->start < len ? u->end - u->start : len;

	if (!n)
		return u->at_eof ? 0 : read_fd(u, buf, len);
	memcpy(buf, u->in + u->start, n);
	u->start += n;
	return n;
}

static int damaged_zstd(struct unpack *u, size_t code)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		alloc_failed();
	case ZSTD_error_frameParameter_windowTooLarge:
		return damaged(u, "the %s data needs more than 128 MiB of memory: unpack it first, "
			       "by %s", "zstd -d --long=31");
	default:
		return damaged(u, "the %s data is damaged here: %s", ZSTD_getErrorName(code));
	}
}

/* Note the first bytes of a frame, of which @n more at @p were read. */
static void note_head(struct unpack *u, const unsigned char *p, size_t n)
{
	if (!u->in_frame)
		u->nr_head = 0;
	while (n-- && u->nr_head < sizeof(u->head))
		u->head[u->nr_head++] = *p++;
}

/* Of a chunk that was being filled: libzstd writes no content size of 8 bytes for so little. */
static bool is_raw_frame(const struct unpack *u)
{
	return u->nr_head == sizeof(u->head) && u->head[4] == 0xe0;
}

/*
 * Unpack some of what is in the buffer: a block at a time, for zstd throws away what a call has
 * unpacked before it finds an error.
 *
 * Return: the bytes that came out, or -EBADMSG.
 */
static ssize_t step_zstd(struct unpack *u, void *buf, size_t len)
{
	size_t left, n = u->end - u->start < u->wanted ? u->end - u->start : u->wanted;
	ZSTD_inBuffer in = { u->in, u->start + n, u->start };
	ZSTD_outBuffer out = { buf, len, 0 };

	u->has_frame_ended = false;
	if (!n && !u->in_frame)
		return 0;
	left = ZSTD_decompressStream(u->zstd, &out, &in);
	note_head(u, u->in + u->start, in.pos - u->start);
	u->start = in.pos;
	if (ZSTD_isError(left))
		return damaged_zstd(u, left);
	u->in_frame = left;
	u->has_frame_ended = !left;
	u->wanted = left ? left : ZSTD_HEAD_BYTES;
	return out.pos;
}

static ssize_t step_gzip(struct unpack *u, void *buf, size_t len)
{
	z_stream *z = &u->gzip;
	int ret;

	/* Between members: zeros that pad the file to a block of some medium. */
	while (!u->in_frame && u->start < u->end && !u->in[u->start])
		u->start++;
	if (u->start == u->end && !u->in_frame)
		return 0;
	u->in_frame = true;
	z->next_in = u->in + u->start;
	z->avail_in = u->end - u->start;
	z->next_out = buf;
	z->avail_out = len;
	ret = inflate(z, Z_NO_FLUSH);
	u->start = u->end - z->avail_in;
	if (ret == Z_STREAM_END) {
		u->in_frame = false;
		(void)inflateReset(z);
	} else if (ret == Z_MEM_ERROR) {
		alloc_failed();
	} else if (ret != Z_OK && ret != Z_BUF_ERROR) {
		(void)damaged(u, "the %s data is damaged here: %s",
			      z->msg ? z->msg : "not in gzip format");
		return z->avail_out < len ? (ssize_t)(len - z->avail_out) : -EBADMSG;
	}
	return len - z->avail_out;
}

/*
 * Unpack some, after reading some if there is nothing left.
 *
 * Return: the bytes that came out, -EBADMSG, -errno of read(2). @ret_is_end: nothing will follow.
 */
static ssize_t step(struct unpack *u, void *buf, size_t len, bool *ret_is_end)
{
	bool is_last = u->at_eof && u->start == u->end;
	ssize_t n;

	if (*u->damage)
		return -EBADMSG;
	/* What was taken in may have more to give, also at the end of the file. */
	n = u->form == FORM_GZIP ? step_gzip(u, buf, len) : step_zstd(u, buf, len);
	if (n)
		return n;
	if (is_last && u->in_frame)
		return damaged(u, "the %s data is cut off here%s", "");
	*ret_is_end = is_last;
	return load(u, 1);
}

/* Unpack the next frame, or a piece of a long one, unless it is a copy. Return: as step(). */
static ssize_t unpack_frame(struct unpack *u, bool *ret_is_end)
{
	u->frame_at = u->frame_len = 0;
	while (u->frame_len < CHUNKS_BYTES && !*ret_is_end) {
		ssize_t n = step(u, u->frame + u->frame_len, CHUNKS_BYTES - u->frame_len,
				 ret_is_end);

		/* What came before the damage is handed out first. */
		if (n < 0)
			return n == -EBADMSG && u->frame_len ? 0 : n;
		u->frame_len += n;
		if (!u->has_frame_ended)
			continue;
		if (!u->is_long &&
		    !chunks_is_new(&u->chunks, u->frame, u->frame_len, is_raw_frame(u)))
			u->frame_len = 0;
		u->is_long = false;
		return 0;
	}
	u->is_long = !*ret_is_end;
	return 0;
}

static ssize_t read_chunks(struct unpack *u, void *buf, size_t len)
{
	bool is_end = false;
	ssize_t err = 0;

	while (!err && !is_end && u->frame_at == u->frame_len)
		err = unpack_frame(u, &is_end);
	if (err)
		return err;
	if (len > u->frame_len - u->frame_at)
		len = u->frame_len - u->frame_at;
	memcpy(buf, u->frame + u->frame_at, len);
	u->frame_at += len;
	return len;
}

ssize_t unpack_read(struct unpack *u, void *buf, size_t len)
{
	bool is_end = false;
	ssize_t n = u->form == FORM_UNKNOWN ? begin(u) : 0;

	if (n)
		return n;
	if (u->form == FORM_PLAIN)
		return read_plain(u, buf, len);
	if (u->is_chunked)
		return read_chunks(u, buf, len);
	do {
		n = step(u, buf, len, &is_end);
	} while (!n && !is_end);
	return n;
}
