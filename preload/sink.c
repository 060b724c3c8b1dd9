/* SPDX-License-Identifier: MIT */
/* Output file, descriptor or socket: opened once, extended by chunks, never a risk. */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include "arena.h"
#include "config.h"
#include "errnames.h"
#include "fds.h"
#include "jsonw.h"
#include "own.h"
#include "proc_lines.h"
#include "sink_zstd.h"
#include "sys.h"

#include "no_heap.h"

#define WINDOW_BYTES (64ull << 30)
#define WINDOW_BYTES_LIMITED (256ull << 20)	/* when RLIMIT_AS is set */
#define WINDOW_KEEP (16ull << 20)	/* room left when the program needs the address space */
#define WINDOW_GROWTH (1ull << 20)	/* at least; little: with mlockall() it counts as locked */
#define WINDOW_HINT 0x210000000000ull
#define WINDOW_STEP 0x010000000000ull
#define WINDOW_TRIES 8
#define STREAM_PATIENCE_MS 1000
#define NR_SUFFIXES 1000
#define FILLER_PAGE 4096u
#define AHEAD_BYTES (4 * SINK_CHUNK)	/* of the file exist before they are asked for */
#define AHEAD_FROM (1u << 20)	/* bytes of a file that is large enough for that */
#define SETTLE_YIELDS 100
#define SETTLE_MS 1000
#define RETIRE_BYTES (1u << 20)	/* of the window; letting go of pages interrupts all processors */

static struct {
	int fd;			/* handle in fds.c, -1: none */
	bool is_file, is_socket, broken;
	bool is_packed;		/* the name asks for zstd */
	char path[CONFIG_PATH_MAX];
	char *window;
	size_t window_bytes;
	uint64_t length;	/* bytes handed out (file) or written (stream) */
	uint64_t ready;		/* file: bytes that exist already */
	int pid;		/* the process whose it is */
	uint32_t nr_ahead;	/* who are in sink_ahead() */
	bool fills_ahead;	/* one of them writes behind ready */
	bool is_full;		/* that failed, and the file has not grown since */
	uint64_t retired;	/* file: up to here pages were let go */
	dev_t dev;
	ino_t ino;
	int err;
} sink = { .fd = -1 };

#define PACKED_SUFFIX ".zst"

static char filler[SINK_CHUNK];	/* whole pages of what chunks begin as */
static char first_filler[2 * FILLER_PAGE];	/* packed: up to a page's boundary */

bool sink_is_file(void)
{
	return sink.is_file;
}

const char *sink_path(void)
{
	return sink.path;
}

uint64_t sink_start(void)
{
	return (uint64_t)(uintptr_t)sink.window;
}

uint64_t sink_end(void)
{
	return sink_start() + sink.window_bytes;
}

uint64_t sink_bytes(void)
{
	return zsink_is_on() ? zsink_bytes() : sink.length;
}

int sink_error(void)
{
	return sink.err;
}

const char *sink_why(void)
{
	return sink.err ? errname(-sink.err) : "";
}

static int fail(const char *what, const char *path, int err)
{
	config_error(what, path, ": ", errname(-err), "; the program runs untraced", NULL);
	return err;
}

/* "sqlite3" of /usr/bin/sqlite3, made fit for a file name. */
static size_t put_program(char *dst, size_t room)
{
	char exe[CONFIG_PATH_MAX];
	const char *base;
	size_t n = 0;

	sys_readlink("/proc/self/exe", exe, sizeof(exe));
	base = strrchr(exe, '/');
	for (base = base ? base + 1 : exe; *base && n < room; base++)
		dst[n++] = *base == ' ' ? '_' : *base;
	return n;
}

/* Expand %p, %e, %t, %% of the pattern. Return: false if it does not fit. */
static bool expand(const char *pattern, char *dst, size_t size, bool *ret_has_pid)
{
	struct timespec now = { 0, 0 };
	size_t n = 0;

	*ret_has_pid = false;
	for (; *pattern; pattern++) {
		if (size - n < 300)
			return false;
		if (*pattern != '%' || !pattern[1]) {
			dst[n++] = *pattern;
			continue;
		}
		switch (*++pattern) {
		case 'p':
			n += jsonw_put_num(dst + n, sys_getpid());
			*ret_has_pid = true;
			break;
		case 'e':
			n += put_program(dst + n, 255);
			break;
		case 't':
			clock_gettime(CLOCK_REALTIME, &now);
			n += jsonw_put_num(dst + n, now.tv_sec);
			break;
		case '%':
			dst[n++] = '%';
			break;
		default:
			dst[n++] = '%';
			dst[n++] = *pattern;
		}
	}
	dst[n] = '\0';
	return true;
}

static bool has_packed_suffix(const char *path)
{
	size_t len = strlen(path), n = strlen(PACKED_SUFFIX);

	return len > n && !strcmp(path + len - n, PACKED_SUFFIX);
}

/* Where the extension begins: at ".json", at ".json.zst". */
static size_t extension_at(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(path), end = has_packed_suffix(path) ? len - strlen(PACKED_SUFFIX) : len;
	size_t at;

	for (at = end; path + at > name; at--) {
		if (path[at - 1] == '.' && path + at - 1 > name)
			return at - 1;
	}
	return end;
}

/* trace.json -> trace.77.json: @number goes in front of the extension. */
static bool insert_number(char *path, size_t size, int64_t number)
{
	size_t len = strlen(path), at = extension_at(path);
	char tmp[24] = ".";
	size_t n = 1 + jsonw_put_num(tmp + 1, number);

	if (len + n + 1 > size)
		return false;
	memmove(path + at + n, path + at, len - at + 1);
	memcpy(path + at, tmp, n);
	return true;
}

static int create(const char *path)
{
	return sys_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Is @pid this process or one it descends from? */
static bool is_ancestor(int64_t pid)
{
	int64_t p = sys_getpid();
	int depth;

	for (depth = 0; p > 1 && depth < 64; depth++) {
		char path[40] = "/proc/", buf[512], *s;
		size_t n = strlen(path);

		if (p == pid)
			return true;
		n += jsonw_put_num(path + n, p);
		memcpy(path + n, "/stat", 6);
		if (sys_read_file(path, buf, sizeof(buf)) <= 0 || !(s = strrchr(buf, ')')))
			return false;
		p = (int64_t)proc_digits(s + 4);
	}
	return false;
}

/* Orphans have lost their line of descent, but not their session. */
static bool is_of_our_session(int64_t pid)
{
	long session = sys_call(SYS_getsid, 0, 0, 0, 0, 0, 0);

	return session > 0 && sys_call(SYS_getsid, pid, 0, 0, 0, 0, 0) == session;
}

/*
 * Was the file at @path begun by this process before an exec, or by one it descends from? A file
 * left by an earlier run is not: its process is gone.
 */
static bool is_ours(const char *path)
{
	static const char key[] = "\"pid\":";
	char buf[4096], *s;
	int64_t pid = 0;
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	ssize_t n;

	if (fd < 0)
		return false;
	n = sys_pread(fd, buf, sizeof(buf) - 1, 0);
	sys_close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	pid = n < 0 ? 0 : zsink_pid_of(buf, (size_t)n);
	if (pid)
		return is_ancestor(pid) || is_of_our_session(pid);
	s = strncmp(buf, "{\"ev\":\"header\"", 14) ? NULL : strstr(buf, key);
	if (!s)
		return false;
	pid = (int64_t)proc_digits(s + sizeof(key) - 1);
	return pid > 0 && (is_ancestor(pid) || is_of_our_session(pid));
}

/*
 * A name without %p belongs to the first process of a tree; its descendants put their pid in.
 * A pid's later images (exec) count up.
 */
static int create_file(bool child)
{
	char base[CONFIG_PATH_MAX];
	int fd, i, pid = sys_getpid();
	bool has_pid, tree;

	/* A sandbox may forbid to ask. */
	if (pid < 0)
		return pid;
	if (!expand(config.out, sink.path, sizeof(sink.path), &has_pid))
		return -ENAMETOOLONG;
	tree = child || has_pid;
	if (child && !has_pid)
		insert_number(sink.path, sizeof(sink.path), pid);
	fd = create(sink.path);
	if (fd == -EEXIST && !tree && is_ours(sink.path)) {
		tree = true;
		insert_number(sink.path, sizeof(sink.path), pid);
		fd = create(sink.path);
	}
	memcpy(base, sink.path, sizeof(base));
	for (i = 1; fd == -EEXIST && tree && i < NR_SUFFIXES; i++) {
		memcpy(sink.path, base, sizeof(base));
		if (!insert_number(sink.path, sizeof(sink.path), i))
			return -ENAMETOOLONG;
		fd = create(sink.path);
	}
	return fd;
}

/* The path others can use, whatever the working directory is then. */
static void make_absolute(void)
{
	char cwd[CONFIG_PATH_MAX];
	size_t n, len = strlen(sink.path);

	if (sink.path[0] == '/' || sys_call(SYS_getcwd, (long)cwd, sizeof(cwd), 0, 0, 0, 0) <= 0)
		return;
	n = strlen(cwd);
	if (n + len + 2 > sizeof(sink.path))
		return;
	memmove(sink.path + n + 1, sink.path, len + 1);
	memcpy(sink.path, cwd, n);
	sink.path[n] = '/';
}

/*
 * In a fork child of a process that has more mapped than a limit set since allows not even the
 * parent's window can be replaced: what goes first makes room, perhaps for a smaller one.
 */
static void *replace_window(int flags)
{
	void *p = sys_mmap(sink.window, sink.window_bytes, PROT_READ | PROT_WRITE,
			   flags | MAP_FIXED, fds_now(sink.fd), 0);

	if ((long)p != -ENOMEM)
		return p;
	sys_call(SYS_munmap, (long)sink.window, (long)sink.window_bytes, 0, 0, 0, 0);
	if (sink.window_bytes > WINDOW_KEEP)
		sink.window_bytes = WINDOW_KEEP;
	p = sys_mmap(sink.window, sink.window_bytes, PROT_READ | PROT_WRITE,
		     flags | MAP_FIXED_NOREPLACE, fds_now(sink.fd), 0);
	if (sys_is_err((long)p)) {
		sink.window = NULL;
		sink.window_bytes = 0;
	}
	return p;
}

static int map_window(void)
{
	uint64_t limit = RLIM_INFINITY;
	int flags = MAP_SHARED | MAP_NORESERVE, i;
	void *p = NULL;

	sys_getrlimit(RLIMIT_AS, &limit);
	if (!sink.window)
		sink.window_bytes = limit == RLIM_INFINITY ? WINDOW_BYTES : WINDOW_BYTES_LIMITED;
	if (sink.window)
		p = replace_window(flags);
	for (i = 0; i < WINDOW_TRIES && (!p || (long)p == -EEXIST); i++)
		p = sys_mmap((void *)(WINDOW_HINT + (uint64_t)i * WINDOW_STEP), sink.window_bytes,
			     PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE,
			     fds_now(sink.fd), 0);
	if (sys_is_err((long)p))
		return (int)(long)p;
	sink.window = p;
	sys_madvise(p, sink.window_bytes, MADV_DONTDUMP);
	return 0;
}

static bool extend(size_t size);
static bool cut(uint64_t length);
static bool retire(uint64_t start, uint64_t end);

static bool lengthen(size_t size)
{
	if (!extend(size))
		return false;
	__atomic_store_n(&sink.length, sink.length + size, __ATOMIC_RELAXED);
	return true;
}

/* What the name asks for. A file that grows by pages that a decompressor skips is packed, too. */
static void begin_packed(void)
{
	const struct zsink_file file = {
		.window = sink.window, .extend = lengthen, .cut = cut, .retire = retire,
	};
	size_t at;

	sink.is_packed = zsink_is_built_in();
	if (!sink.is_packed)
		config_error(sink.path, ": built without zstd; it is not compressed", NULL);
	if (!sink.is_packed || !sink.is_file)
		return;
	for (at = 0; at < sizeof(filler); at += FILLER_PAGE)
		zsink_fill_page(filler + at, FILLER_PAGE);
	zsink_begin(&file, sys_getpid());
}

static int open_file(bool child)
{
	struct stat st;
	int fd = create_file(child);

	if (fd == -EEXIST)
		return fail("can't create ", sink.path, fd);
	if (fd < 0)
		return fail("can't create ", sink.path[0] ? sink.path : config.out, fd);
	sink.fd = fds_adopt(fd);
	if (sink.fd < 0)
		return fail("can't keep ", sink.path, sink.fd);
	make_absolute();
	sys_fstat(fds_now(sink.fd), &st);
	sink.dev = st.st_dev;
	sink.ino = st.st_ino;
	/* No room for a window: then it is written to, as a stream. */
	sink.is_file = !map_window();
	memset(filler, '\n', sizeof(filler));
	memset(first_filler, '\n', sizeof(first_filler));
	if (has_packed_suffix(sink.path))
		begin_packed();
	return 0;
}

static int open_inherited(const char *number)
{
	struct stat st;
	int64_t fd = 0;
	int flags;

	for (; *number >= '0' && *number <= '9' && fd < 1 << 20; number++)
		fd = fd * 10 + (*number - '0');
	flags = *number ? -EINVAL : sys_fcntl((int)fd, F_GETFL, 0);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return fail("VMTRACE_OUT=", config.out, flags < 0 ? flags : -EBADF);
	/* It is the first process' stream: images and children after it have none. */
	sys_fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	sink.fd = fds_adopt(sys_fcntl((int)fd, F_DUPFD_CLOEXEC, 3));
	if (sink.fd < 0)
		return fail("VMTRACE_OUT=", config.out, sink.fd);
	sys_fstat((int)fd, &st);
	sink.is_socket = S_ISSOCK(st.st_mode);
	return 0;
}

static int open_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	long err;

	if (len >= sizeof(addr.sun_path))
		return fail("VMTRACE_OUT=", config.out, -ENAMETOOLONG);
	memcpy(addr.sun_path, path, len + 1);
	sink.fd = fds_adopt((int)sys_call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0, 0));
	if (sink.fd < 0)
		return fail("VMTRACE_OUT=", config.out, sink.fd);
	err = sys_call(SYS_connect, fds_now(sink.fd), (long)&addr, sizeof(addr), 0, 0, 0);
	if (err) {
		fds_close(sink.fd);
		sink.fd = -1;
		return fail("VMTRACE_OUT=", config.out, (int)err);
	}
	sink.is_socket = true;
	return 0;
}

int sink_open(bool child)
{
	if (sink.fd >= 0)
		fds_close(sink.fd);
	sink.fd = -1;
	sink.broken = sink.is_file = sink.is_socket = sink.is_packed = false;
	zsink_begin(NULL, 0);
	sink.path[0] = '\0';
	sink.length = sink.ready = sink.retired = 0;
	sink.pid = sys_getpid();
	sink.is_full = false;
	if (!strncmp(config.out, "fd:", 3))
		return child ? -ENOTSUP : open_inherited(config.out + 3);
	if (!strncmp(config.out, "unix:", 5))
		return open_socket(config.out + 5);
	return open_file(child);
}

void sink_abandon(int err)
{
	if (*sink.path)
		sys_call(SYS_unlink, (long)sink.path, 0, 0, 0, 0, 0);
	fds_close(sink.fd);
	sink.fd = -1;
	(void)fail("can't record to ", *sink.path ? sink.path : config.out, err);
}

void sink_detach(void)
{
	if (sink.window)
		sys_mmap(sink.window, sink.window_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void sink_fork_child(void)
{
	sink.nr_ahead = 0;
	sink.fills_ahead = false;
}

uint64_t sink_shrink(uint64_t *ret_start)
{
	uint64_t keep = (sink.length + WINDOW_KEEP + 4095) & ~4095ull, cut;

	if (keep >= sink.window_bytes)
		return 0;
	cut = sink.window_bytes - keep;
	sink.window_bytes = keep;
	*ret_start = sink_end();
	return cut;
}

/* A number the program closed behind our back may be its own file by now. */
static bool still_ours(void)
{
	struct stat st;

	return !sys_fstat(fds_now(sink.fd), &st) && st.st_dev == sink.dev && st.st_ino == sink.ino;
}

/*
 * The window was cut short, and all of it is used: more of it, at its end. What is there stays
 * mapped, for threads still write to their chunks. Return: 0, -errno.
 */
static int grow_window(uint64_t end)
{
	uint64_t more = WINDOW_GROWTH;
	int err;

	if (end <= sink.window_bytes)
		return 0;
	/* By a part of it: a long record of the whole map may need many, which are all told after it. */
	while (more < end - sink.window_bytes || more < sink.window_bytes / 4)
		more += WINDOW_GROWTH;
	err = own_grow(sink_end(), more);
	if (!err)
		sink.window_bytes += more;
	return err;
}

/*
 * Packed: each page is a frame of its own, so that a file whose growth was killed is whole, too. As one
 * piece, for the page cache takes a large one faster.
 */
static struct iovec fill(uint64_t at, uint64_t left)
{
	size_t len = FILLER_PAGE - at % FILLER_PAGE;

	if (!zsink_is_on() || len == FILLER_PAGE)
		return (struct iovec){ filler, left < sizeof(filler) ? left : sizeof(filler) };
	return (struct iovec){ first_filler, zsink_fill_page(first_filler, len) };
}

/*
 * Packed: a part of a page is a part of a frame, and goes again. A limit that is no multiple of
 * pages leaves one. Return: there was one.
 */
static bool drop_part_of_page(uint64_t at, uint64_t end)
{
	uint64_t whole = at & ~(uint64_t)(FILLER_PAGE - 1);

	if (!zsink_is_on() || at == whole || at == end)
		return false;
	if (whole < sink.length + sizeof(first_filler))
		whole = sink.length;
	(void)sys_ftruncate(fds_now(sink.fd), (off_t)whole);
	sink.ready = whole;
	sink.err = -EFBIG;
	return true;
}

/* Up to @end, where the file ends now. Return: how far that came. */
static long write_filler(uint64_t at, uint64_t end)
{
	struct iovec iov[4];
	uint64_t left = end - at;
	size_t i;
	long n;

	for (i = 0; i < sizeof(iov) / sizeof(iov[0]) && left; i++) {
		iov[i] = fill(end - left, left);
		left -= iov[i].iov_len;
	}
	do {
		n = sys_call(SYS_pwritev, fds_now(sink.fd), (long)iov, (long)i, (long)at, 0, 0);
	} while (n == -EINTR);
	if (n == -EFBIG)
		sys_discard_signal(SIGXFSZ);
	return n ? n : -ENOSPC;
}

static bool extend_blocked(size_t size)
{
	uint64_t at, end = sink.length + size;
	long n;
	int err;

	/* Who does not come to an end may yet write where the file ends now. */
	if (!sink_settle() || !still_ours()) {
		sink.err = sink.nr_ahead ? -EAGAIN : -EBADF;
		return false;
	}
	err = grow_window(end);
	if (err) {
		sink.err = err;
		return false;
	}
	for (at = sink.ready > sink.length ? sink.ready : sink.length; at < end; at += (uint64_t)n) {
		n = write_filler(at, end);
		if (n < 0) {
			sink.err = (int)n;
			return false;
		}
		if (drop_part_of_page(at + (uint64_t)n, end))
			return false;
	}
	sink.ready = at;
	sink.is_full = false;
	return true;
}

/* A write beyond a limit raises a signal, which must stay pending until it is taken away again. */
static bool extend(size_t size)
{
	uint64_t signals;
	bool done;

	if (sink.length + size <= __atomic_load_n(&sink.ready, __ATOMIC_ACQUIRE))
		return true;
	sys_block_signals(&signals);
	done = extend_blocked(size);
	sys_restore_signals(&signals);
	return done;
}

/* Pages of the window that need not stay resident: the page cache has them. Return: they were let go. */
static bool retire(uint64_t start, uint64_t end)
{
	start = (start + FILLER_PAGE - 1) & ~(uint64_t)(FILLER_PAGE - 1);
	end &= ~(uint64_t)(FILLER_PAGE - 1);
	if (end <= start || !own_has_room())
		return false;
	own_call(MM_MADVISE, SYS_madvise,
		 (uint64_t[6]){ sink_start() + start, end - start, MADV_DONTNEED });
	return true;
}

/* Not of a packed file: there a chunk is not a part of the file's end. */
static void fill_ahead(void)
{
	uint64_t length = __atomic_load_n(&sink.length, __ATOMIC_RELAXED);
	long n;

	if (zsink_is_on() || sink.is_full || length < AHEAD_FROM ||
	    sink.ready - length >= AHEAD_BYTES / 2 || length + AHEAD_BYTES > sink.window_bytes)
		return;
	n = still_ours() ? write_filler(sink.ready, length + AHEAD_BYTES) : -EBADF;
	if (n < 0)
		sink.is_full = true;
	else
		__atomic_store_n(&sink.ready, sink.ready + (uint64_t)n, __ATOMIC_RELEASE);
}

/* A task that shares the memory, and no more, can be killed alone: nobody must wait for it. */
bool sink_ahead_begin(void)
{
	if (!sink.is_file || sys_getpid() != sink.pid)
		return false;
	__atomic_fetch_add(&sink.nr_ahead, 1, __ATOMIC_RELAXED);
	return true;
}

/* The pages for a third of what their faults would take; a kernel before 5.14 has those instead. */
void sink_ahead(char *chunk, size_t size)
{
	sys_madvise(chunk, size, MADV_POPULATE_WRITE);
	if (!__atomic_exchange_n(&sink.fills_ahead, true, __ATOMIC_ACQUIRE)) {
		fill_ahead();
		__atomic_store_n(&sink.fills_ahead, false, __ATOMIC_RELEASE);
	}
	__atomic_fetch_sub(&sink.nr_ahead, 1, __ATOMIC_RELEASE);
}

bool sink_settle(void)
{
	unsigned int tries;

	for (tries = 0; __atomic_load_n(&sink.nr_ahead, __ATOMIC_ACQUIRE); tries++) {
		if (tries == SETTLE_YIELDS + SETTLE_MS)
			return false;
		/* One that has not the time to end needs more than a yield. */
		if (tries < SETTLE_YIELDS)
			sys_yield();
		else
			sys_sleep_ms();
	}
	return true;
}

/* The others go together, with what follows them. */
void sink_retire(const char *chunk, size_t size)
{
	uint64_t start = (uint64_t)(chunk - sink.window);

	if (start < sink.retired)
		(void)retire(start, start + size);
}

char *sink_chunk(size_t want, size_t *ret_size)
{
	size_t size = (want + 4095) & ~(size_t)4095;
	char *chunk = sink.window + sink.length;

	if (zsink_is_on())
		return zsink_chunk(want, ret_size);
	/* What is still in use comes back page by page, until sink_retire(). */
	if (sink.length - sink.retired >= RETIRE_BYTES && retire(sink.retired, sink.length))
		sink.retired = sink.length;
	if (!lengthen(size))
		return NULL;
	*ret_size = size;
	return chunk;
}

void sink_reserve(size_t bytes)
{
	bytes = ((sink.length + bytes + 4095) & ~4095ull) - sink.length;
	if (sink.is_file)
		(void)extend(bytes);
}

static bool cut(uint64_t length)
{
	if (!sink_settle() || !still_ours() || sys_ftruncate(fds_now(sink.fd), (off_t)length))
		return false;
	sink.length = sink.ready = length;
	return true;
}

void sink_trim(const char *chunk, size_t size, size_t used)
{
	uint64_t offset = (uint64_t)(chunk - sink.window);

	if (zsink_is_on())
		zsink_trim();
	else if (offset + size == sink.length)
		(void)cut(offset + used);
	else if (sink.ready > sink.length)
		(void)cut(sink.length);
}

static ssize_t write_some(const char *buf, size_t len)
{
	if (sink.is_socket)
		return sys_call(SYS_sendto, fds_now(sink.fd), (long)buf, (long)len, MSG_NOSIGNAL, 0, 0);
	return sys_write(fds_now(sink.fd), buf, len);
}

static bool stream_blocked(const char *buf, size_t len)
{
	size_t done = 0;

	while (!sink.broken && done < len) {
		struct pollfd poll = { .fd = fds_now(sink.fd), .events = POLLOUT };
		ssize_t n = write_some(buf + done, len - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n == -EPIPE && !sink.is_socket)
			sys_discard_signal(SIGPIPE);
		if (n == -EFBIG)
			sys_discard_signal(SIGXFSZ);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN && sys_call(SYS_poll, (long)&poll, 1, STREAM_PATIENCE_MS, 0, 0, 0) > 0)
			continue;
		sink.err = n ? (int)n : -ENOSPC;
		/* A stream cut inside a record can't be mended; on a full disk it may go on. */
		sink.broken = done || n == -EPIPE || n == -EBADF;
		return false;
	}
	sink.length += done;
	return done == len;
}

/* As extend(): whoever reads may be gone. */
bool sink_stream(const char *buf, size_t len)
{
	uint64_t signals;
	bool done;

	if (sink.is_packed) {
		buf = zsink_pack_record(buf, len, &len);
		if (!buf) {
			sink.err = -ENOMEM;
			return false;
		}
	}
	sys_block_signals(&signals);
	done = stream_blocked(buf, len);
	sys_restore_signals(&signals);
	return done;
}
