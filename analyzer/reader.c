/* SPDX-License-Identifier: MIT */
/*
 * The window: buf[start, end) holds what was read and not yet handed out. It is moved to the front
 * and grown only when a line does not fit, up to READER_LINE_MAX. Bytes that are no record are
 * dropped as they come, so that they need no room whatever their length.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "json.h"
#include "spool.h"
#include "unpack.h"

enum { READ_BYTES = 1 << 18 };

int reader_fail(struct reader *r, uint64_t line, const char *format, ...)
{
	va_list ap;
	int n;

	if (*r->error && r->error_line <= line)
		return -EINVAL;
	r->error_line = line;
	n = line ? snprintf(r->error, sizeof(r->error), "%.200s:%" PRIu64 ": ", r->path, line) :
		   snprintf(r->error, sizeof(r->error), "%.200s: ", r->path);
	va_start(ap, format);
	vsnprintf(r->error + n, sizeof(r->error) - n, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int fail_errno(struct reader *r, const char *what)
{
	int err = errno;

	reader_fail(r, 0, "%s%s%s", what, *what ? ": " : "", strerror(err));
	return -err;
}

static int start_window(struct reader *r)
{
	r->cap = 2 * READ_BYTES;
	r->buf = alloc_array(r->cap, 1);
	return 0;
}

/* Whether the file is compressed; a pipe can't be asked without reading from it. */
static bool is_packed(const struct reader *r)
{
	char head[4];
	ssize_t n = pread(r->fd, head, sizeof(head), 0);

	return n > 0 && unpack_is_packed(head, n);
}

/* Read from a copy, made of all there is to be read. */
static int read_copy(struct reader *r, uint64_t bytes)
{
	struct spool spool;

	if (spool_copy(&spool, r->fd, bytes))
		return reader_fail(r, 0, "%s", spool.error);
	if (r->fd != STDIN_FILENO)
		close(r->fd);
	r->fd = spool.fd;
	r->is_seekable = true;
	memcpy(r->damage, spool.damage, sizeof(r->damage));
	return 0;
}

/* @r->fd is open: find out how it has to be read. @bytes: its size, 0 if it is not known. */
static int start(struct reader *r, bool can_seek, bool seekable, uint64_t bytes)
{
	r->is_open = true;
	r->is_seekable = can_seek && !is_packed(r);
	if (!r->is_seekable && seekable) {
		if (read_copy(r, bytes))
			return -EIO;
	} else if (!r->is_seekable) {
		r->unpack = unpack_new(r->fd);
	}
	return start_window(r);
}

int reader_open(struct reader *r, const char *path, bool seekable)
{
	struct stat st;

	*r = (struct reader){ .path = path, .fd = STDIN_FILENO };
	if (strcmp(path, "-"))
		r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->fd < 0)
		return fail_errno(r, "");
	r->is_open = true;
	if (fstat(r->fd, &st))
		return fail_errno(r, "");
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return fail_errno(r, "");
	}
	return start(r, S_ISREG(st.st_mode) && !lseek(r->fd, 0, SEEK_CUR), seekable,
		     S_ISREG(st.st_mode) ? st.st_size : 0);
}

int reader_open_memory(struct reader *r, const char *path, const void *data, size_t len)
{
	size_t done = 0;
	ssize_t n;

	*r = (struct reader){ .path = path, .fd = memfd_create("trace", MFD_CLOEXEC) };
	if (r->fd < 0)
		return fail_errno(r, "");
	r->is_open = true;
	for (; done < len; done += n) {
		n = write(r->fd, (const char *)data + done, len - done);
		if (n <= 0)
			return fail_errno(r, "");
	}
	if (lseek(r->fd, 0, SEEK_SET) < 0)
		return fail_errno(r, "");
	return start(r, true, true, len);
}

void reader_close(struct reader *r)
{
	if (r->is_open && r->fd != STDIN_FILENO)
		close(r->fd);
	unpack_free(r->unpack);
	js_free(r->doc);
	js_free(r->header_doc);
	js_free(r->old_header_doc);
	record_scratch_fini(&r->scratch);
	record_scratch_fini(&r->header_scratch);
	alloc_free(r->buf);
	alloc_free(r->heap_buf);
	r->is_open = false;
	r->unpack = NULL;
	r->buf = r->heap_buf = NULL;
	r->doc = r->header_doc = r->old_header_doc = NULL;
}

int reader_rewind(struct reader *r)
{
	if (lseek(r->fd, 0, SEEK_SET) < 0)
		return fail_errno(r, "");
	js_free(r->doc);
	js_free(r->old_header_doc);
	r->old_header_doc = r->header_doc;
	r->doc = r->header_doc = NULL;
	r->has_header = false;
	r->start = r->end = 0;
	r->offset = r->line = r->nr_lines = r->nr_torn = r->nr_unknown = 0;
	r->nr_missing = r->seq = 0;
	r->heap_bytes = 0;
	r->nr_stacks = 0;
	r->at_eof = false;
	return 0;
}

void reader_show_progress(struct reader *r)
{
	struct stat st;

	progress_begin(&r->progress, "reading",
		       r->is_seekable && !fstat(r->fd, &st) ? st.st_size : 0);
}

void reader_show_heap_progress(struct reader *r, unsigned int times)
{
	r->heap_bytes_read = 0;
	progress_begin(&r->progress, "heap:", times * r->heap_bytes);
}

/* Read into the window. Return: the number of bytes, 0 at the end, -errno with the error set. */
static ssize_t read_more(struct reader *r)
{
	char *to = r->buf + r->end;
	size_t room = r->cap - r->end;
	ssize_t n;

	if (r->unpack) {
		n = unpack_read(r->unpack, to, room);
		if (n == -EBADMSG)
			return reader_fail(r, r->nr_lines + 1, "%s", unpack_damage(r->unpack));
		errno = n < 0 ? -n : 0;
	} else {
		do {
			n = read(r->fd, to, room);
		} while (n < 0 && errno == EINTR);
	}
	if (n < 0)
		return fail_errno(r, "");
	if (!n && *r->damage)
		return reader_fail(r, r->nr_lines + 1, "%s", r->damage);
	return n;
}

/* Read more behind buf[end]. Return: 1, 0 at the end of the file, -errno. */
static int fill(struct reader *r)
{
	ssize_t n;

	if (r->at_eof)
		return 0;
	if (r->start == r->end)
		r->start = r->end = 0;
	if (r->cap - r->end < READ_BYTES && r->start) {
		memmove(r->buf, r->buf + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (r->cap - r->end < READ_BYTES)
		r->buf = alloc_grow(r->buf, r->cap, &r->cap, 1);
	progress_at(&r->progress, r->offset + (r->end - r->start));
	n = read_more(r);
	if (n < 0)
		return n;
	r->end += n;
	r->at_eof = !n;
	return n > 0;
}

static void advance(struct reader *r, size_t n)
{
	r->start += n;
	r->offset += n;
}

/* Drop the rest of a torn line: up to its newline, or to the zeros of a part never written. */
static int skip_torn(struct reader *r)
{
	int more;

	r->nr_torn++;
	do {
		char *p = r->buf + r->start, *end = r->buf + r->end;

		while (p < end && *p != '\n' && *p)
			p++;
		advance(r, p - (r->buf + r->start));
		if (r->start < r->end)
			return 1;
		more = fill(r);
	} while (more > 0);
	return more;
}

/* The first bytes are not those of a header: say what they are, where that helps. */
static int fail_no_header(struct reader *r)
{
	static const struct { const char *magic, *tool; } packed[] = {
		{ "BZh", "bzip2" }, { "\xfd" "7zXZ", "xz" },
	};
	size_t i;

	for (i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		size_t n = strlen(packed[i].magic);

		if (r->end - r->start >= n && !memcmp(r->buf + r->start, packed[i].magic, n))
			return reader_fail(r, r->line, "the trace is compressed: unpack it first, "
					   "for example by %s -dc", packed[i].tool);
	}
	return reader_fail(r, r->line, "not a vmtrace trace: it does not begin with a header");
}

/*
 * Go to the next line that may be a record and find its end.
 * Return: 1 with the line in buf[start, start + *ret_len), 0 at the end, -errno.
 */
static int next_line(struct reader *r, size_t *ret_len)
{
	size_t seen = 0;
	int more;

	for (;;) {
		char *nl;

		if (r->start == r->end) {
			more = fill(r);
			if (more <= 0)
				return more;
			seen = 0;
		}
		if (!seen && r->buf[r->start] == '\n') {
			r->nr_lines++;
			advance(r, 1);
			continue;
		}
		if (!seen && !r->buf[r->start]) {
			advance(r, 1);
			continue;
		}
		if (!seen && r->buf[r->start] != '{') {
			r->line = r->nr_lines + 1;
			if (!r->has_header)
				return fail_no_header(r);
			more = skip_torn(r);
			if (more <= 0)
				return more;
			continue;
		}
		nl = memchr(r->buf + r->start + seen, '\n', r->end - r->start - seen);
		if (nl) {
			*ret_len = nl - (r->buf + r->start);
			break;
		}
		seen = r->end - r->start;
		if (seen > READER_LINE_MAX)
			break;
		more = fill(r);
		if (more < 0)
			return more;
		if (!more) {
			*ret_len = seen;
			break;
		}
	}
	r->line = r->nr_lines + 1;
	if (seen > READER_LINE_MAX || *ret_len > READER_LINE_MAX)
		return reader_fail(r, r->line, "line longer than %u MiB", READER_LINE_MAX >> 20);
	return 1;
}

/* A heap line as the recorder writes it is located without parsing the rest of it. */
static bool locate_heap(const char *text, size_t len, struct record *rec)
{
	if (!heapline_scan_head(text, len, &rec->heap.tid, &rec->heap.t0))
		return false;
	rec->ev = TRACE_HEAP;
	return true;
}

/* Rules that hold between lines. */
static int check_order(struct reader *r, const struct record *rec)
{
	if (!r->has_header && rec->ev != TRACE_HEADER)
		return fail_no_header(r);
	if (r->has_header && rec->ev == TRACE_HEADER)
		return reader_fail(r, r->line, "a second header");
	if (rec->ev == TRACE_CALL) {
		/* A gap: calls that were lost, which the trace owns up to elsewhere. */
		if (rec->call.seq <= r->seq)
			return reader_fail(r, r->line, "call: seq %" PRIu64 " follows %" PRIu64,
					   rec->call.seq, r->seq);
		r->nr_missing += rec->call.seq - r->seq - 1;
		r->seq = rec->call.seq;
	}
	if (rec->ev == TRACE_STACK) {
		const struct rec_stack *st = &rec->stack;

		if (st->id != r->nr_stacks + 1)
			return reader_fail(r, r->line, "stack: id %u follows %u", st->id,
					   r->nr_stacks);
		if (st->parent > r->nr_stacks)
			return reader_fail(r, r->line, "stack: parent %u is unknown", st->parent);
		if (st->nr_ips > UINT32_MAX - 1 - r->nr_stacks)
			return reader_fail(r, r->line, "stack: too many nodes");
		r->nr_stacks += st->nr_ips;
	}
	return 0;
}

static int decode_line(struct reader *r, const char *text, size_t len, struct record *rec)
{
	struct record_error err = { "" };

	js_free(r->doc);
	r->doc = js_parse(text, len, err.text, sizeof(err.text));
	if (!r->doc)
		return reader_fail(r, r->line, "%s", err.text);
	record_scratch_reset(&r->scratch);
	if (record_decode(r->doc, r->has_header ? &r->scratch : &r->header_scratch, rec, &err))
		return reader_fail(r, r->line, "%s", err.text);
	return 0;
}

int reader_next(struct reader *r, struct record *rec)
{
	size_t len = 0;
	int err;

	err = next_line(r, &len);
	if (err < 0)
		return err;
	if (!err) {
		if (!r->has_header)
			return reader_fail(r, 1, "empty file");
		return 0;
	}
	*rec = (struct record){ .line = r->line };
	if (!r->has_header || !locate_heap(r->buf + r->start, len, rec)) {
		err = decode_line(r, r->buf + r->start, len, rec);
		if (err)
			return err;
	}
	err = check_order(r, rec);
	if (err)
		return err;
	rec->line = r->line;
	if (rec->ev == TRACE_HEADER) {
		r->has_header = true;
		r->header_doc = js_ref(r->doc);
	}
	if (rec->ev == TRACE_HEAP) {
		rec->heap.offset = r->offset;
		rec->heap.length = len;
		r->heap_bytes += len;
	}
	r->nr_unknown += rec->ev == TRACE_NR_EVENTS;
	advance(r, len);
	return 1;
}

/* Bytes of the file, wherever it was read to. */
static int read_at(struct reader *r, uint64_t line, uint64_t offset, size_t length)
{
	size_t done = 0;

	r->heap_buf = alloc_grow(r->heap_buf, length + HEAPLINE_PAD, &r->heap_cap, 1);
	memset(r->heap_buf + length, 0, HEAPLINE_PAD);
	while (done < length) {
		ssize_t n = pread(r->fd, r->heap_buf + done, length - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(r, "");
		if (!n)
			return reader_fail(r, line, "the file became shorter");
		done += n;
	}
	return 0;
}

int reader_heap_line(struct reader *r, uint64_t line, uint64_t offset, size_t length,
		     struct heap_ops *ops)
{
	struct record_error why = { "" };
	int err;

	r->heap_bytes_read += length;
	progress_at(&r->progress, r->heap_bytes_read);
	err = read_at(r, line, offset, length);
	if (err || heapline_scan(r->heap_buf, length, ops))
		return err;
	err = heapline_parse(r->heap_buf, length, ops, &why);
	return err ? reader_fail(r, line, "%s", why.text) : 0;
}
