/* SPDX-License-Identifier: MIT */
/* The events that change the map: call, shadow, record, verify, in this order under one lock. */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "arena.h"
#include "config.h"
#include "errnames.h"
#include "fds.h"
#include "kmaps.h"
#include "lock.h"
#include "modules.h"
#include "own.h"
#include "patch.h"
#include "process.h"
#include "recorder.h"
#include "sink.h"
#include "sys.h"
#include "thread.h"
#include "verify.h"

#include "no_heap.h"

#define NR_RESOLVED 8	/* questions to the kernel about one event, at most */

#define NR_RANGES 128	/* of one process_madvise(); the kernel takes 1024 */

struct mm capture_mm;

static volatile bool on;
static volatile char not_alive, *alive = &not_alive;
static volatile bool has_userfaultfd, has_uffd_events;
static volatile uint64_t uffds[16];	/* descriptors below 1024 with which ranges were registered */
static uint64_t seq;
static uint64_t last_checkpoint_ns;
static volatile bool checkpoint_wanted;

static const struct {
	const char *name, *args;
} calls[MM_OP_COUNT] = {
#define CALL(op, name, args) [op] = { name, args },
	TRACE_CALLS(CALL)
#undef CALL
};

static const char *const origins[] = {
#define ORIGIN(symbol, name) name,
	TRACE_ORIGINS(ORIGIN)
#undef ORIGIN
};

/* One call on its way through. */
struct event {
	struct mm_call call;
	struct vma_file file;
	char name[MAPS_LINE_MAX];	/* of the file */
	char anon_name[88];		/* PR_SET_VMA's, at most 80 */
	uint64_t ns;			/* when, by is_release() */
	uint64_t old_brk;
	enum trace_origin origin;
	int tid;
	uint32_t stack;
	struct mm_range ranges[NR_RANGES];	/* process_madvise()'s */
	int nr_resolved;
	uint64_t resolved[NR_RESOLVED][2];
	struct mm_effect effect;
};

/* One argument as the trace names it. */
struct arg {
	const char *key;
	size_t len;
	bool is_hex;
};

/* Under the capture lock only one event is in flight; it is too large for a program's stack. */
static struct event event;
static struct event own_event;	/* the sink's, in between */

bool capture_is_on(void)
{
	return on && *alive;
}

bool capture_was_on(void)
{
	return on;
}

void capture_set_on(bool value)
{
	if (value && alive == &not_alive) {
		void *page = arena_map(MM_PAGE_SIZE);

		/* Before Linux 4.14 there is no such advice: then on is as good as it gets. */
		if (page)
			alive = page;
		sys_madvise(page, MM_PAGE_SIZE, MADV_WIPEONFORK);
	}
	if (alive != &not_alive)
		*alive = value;
	on = value && alive != &not_alive;
}

void capture_request_checkpoint(void)
{
	checkpoint_wanted = true;
}

static bool is_mmap_like(enum mm_op op)
{
	return op == MM_MMAP || op == MM_MREMAP || op == MM_BRK || op == MM_SHMAT;
}

/* Growing what is locked fills it, and what is registered with a userfaultfd waits for its monitor. */
static bool fills_registered(const uint64_t arg[6])
{
	struct vma *vma = has_userfaultfd && arg[2] > arg[1] ? vma_lookup(&capture_mm, arg[0]) : NULL;
	uint64_t uffd = VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR, flags;

	flags = vma ? vma->vm_flags | vma->vm_flags_unknown : 0;
	return flags & VM_LOCKED && flags & uffd;
}

/* Calls that may wait for another thread of the program are never made under the lock. Under it. */
static bool may_block(enum mm_op op, const uint64_t arg[6])
{
	switch (op) {
	case MM_MLOCK:
	case MM_MLOCK2:
	case MM_MLOCKALL:
		return true;
	case MM_MUNMAP:
		return has_uffd_events;
	case MM_MREMAP:
		return has_uffd_events || fills_registered(arg);
	case MM_MADVISE:
		/* MADV_POPULATE_READ, _WRITE */
		return has_uffd_events || arg[2] == 22 || arg[2] == 23;
	case MM_PROCESS_MADVISE:
		return has_uffd_events || arg[3] == 22 || arg[3] == 23;
	default:
		return false;
	}
}

/* Releases are stamped before the call, everything else after it. */
static bool is_release(enum mm_op op)
{
	return op == MM_MUNMAP || op == MM_SHMDT;
}

/* What lies behind a new mapping, asked of the kernel: only it knows the device as maps shows it. */
static void look_up_file(struct event *e, uint64_t addr, int fd)
{
	struct vma_desc desc;
	struct statfs fs;
	int mode;

	if (kmaps_query(addr, &desc, e->name, sizeof(e->name)) || desc.vm_start > addr)
		return;
	if (!desc.inode && !desc.dev_major && !desc.dev_minor)
		return;
	e->file = (struct vma_file){ .dev_major = desc.dev_major, .dev_minor = desc.dev_minor,
				     .inode = desc.inode, .name = e->name };
	if (fd >= 0) {
		mode = sys_fcntl(fd, F_GETFL, 0);
		e->file.no_write = mode >= 0 && (mode & O_ACCMODE) == O_RDONLY;
		if (!sys_call(SYS_fstatfs, fd, (long)&fs, 0, 0, 0, 0)) {
			e->file.no_exec = fs.f_flags & ST_NOEXEC;
			e->file.is_hugetlb = fs.f_type == HUGETLBFS_MAGIC;
			e->file.thp_align = fs.f_type == EXT4_SUPER_MAGIC ||
					    fs.f_type == XFS_SUPER_MAGIC ||
					    fs.f_type == BTRFS_SUPER_MAGIC;
		}
	} else {
		e->file.is_hugetlb = e->call.op == MM_MMAP && e->call.arg[3] & MAP_HUGETLB;
		e->file.has_close = e->call.op == MM_SHMAT;
	}
	e->call.file = &e->file;
}

/* Bytes of the segment that was attached at @addr; IPC_STAT needs no permission to read here. */
static uint64_t segment_bytes(int id)
{
	struct shmid_ds ds;

	return sys_call(SYS_shmctl, id, IPC_STAT, (long)&ds, 0, 0, 0) ? 0 : ds.shm_segsz;
}

/* hugetlbfs may refuse after the range was cleared: the shadow must know that it was asked. */
static void look_up_failed(struct event *e)
{
	struct statfs fs;

	if (sys_call(SYS_fstatfs, (int)e->call.arg[4], (long)&fs, 0, 0, 0, 0) ||
	    fs.f_type != HUGETLBFS_MAGIC)
		return;
	e->file = (struct vma_file){ .is_hugetlb = true };
	e->call.file = &e->file;
}

/* What to register, or no longer: struct uffdio_range, and the mode behind it. */
static void complete_ioctl(struct event *e)
{
	uint64_t *arg = e->call.arg, fd = arg[0];
	bool add = (uint32_t)arg[1] == UFFDIO_REGISTER;
	uint64_t asked[3] = { 0, 0, 0 };
	size_t bytes = (add ? 3 : 2) * sizeof(asked[0]);

	if (sys_read_user(asked, (const void *)arg[2], bytes) != bytes)
		asked[0] = asked[1] = asked[2] = 0;
	memcpy(arg + 3, asked, sizeof(asked));
	if (!add || e->call.ret)
		return;
	has_userfaultfd = true;
	if (fd < 64 * sizeof(uffds) / sizeof(uffds[0]))
		uffds[fd / 64] |= 1ull << fd % 64;
}

/* Does the pidfd stand for this process, or one of its threads? */
static bool is_own_process(int pidfd)
{
	char path[48] = "/proc/self/fdinfo/", text[512];
	const char *s;
	long pid = 0;

	/* PIDFD_SELF_THREAD, PIDFD_SELF_THREAD_GROUP */
	if (pidfd == -10000 || pidfd == -10001)
		return true;
	if (pidfd < 0)
		return false;
	path[18 + jsonw_put_num(path + 18, pidfd)] = '\0';
	if (sys_read_file(path, text, sizeof(text)) <= 0)
		return false;
	s = strstr(text, "\nPid:\t");
	for (s = s ? s + 6 : ""; *s >= '0' && *s <= '9'; s++)
		pid = pid * 10 + (*s - '0');
	return pid && !sys_call(SYS_tgkill, sys_getpid(), pid, 0, 0, 0, 0);
}

static void complete_advice(struct event *e)
{
	const uint64_t *arg = e->call.arg;
	struct iovec iov;
	size_t i;

	for (i = 0; i < arg[2] && i < NR_RANGES; i++) {
		uint64_t start;

		if (sys_read_user(&iov, (const struct iovec *)arg[1] + i, sizeof(iov)) != sizeof(iov))
			break;
		start = (uint64_t)(uintptr_t)iov.iov_base;
		e->ranges[i] = (struct mm_range){ start, start + iov.iov_len };
		if (e->ranges[i].end < start)
			e->ranges[i].end = ~0ull;
	}
	e->call.ranges = e->ranges;
	e->call.nr_ranges = i;
}

bool capture_is_uffd_ioctl(uint64_t request)
{
	return (uint32_t)request == UFFDIO_REGISTER || (uint32_t)request == UFFDIO_UNREGISTER;
}

bool capture_is_uffd_api(uint64_t request)
{
	return (uint32_t)request == UFFDIO_API;
}

bool capture_is_uffd(int fd)
{
	return has_userfaultfd && fd >= 0 && (size_t)fd < 64 * sizeof(uffds) / sizeof(uffds[0]) &&
	       uffds[fd / 64] >> fd % 64 & 1;
}

/* What the arguments alone don't say. */
static void complete(struct event *e)
{
	const uint64_t *arg = e->call.arg;
	int64_t ret = e->call.ret;
	struct vma_desc desc;
	uint64_t ring;

	switch (e->call.op) {
	case MM_MMAP:
		if (ret >= 0 || ret < -SYS_ERR_MAX) {
			if (!(arg[3] & MAP_ANONYMOUS))
				look_up_file(e, (uint64_t)ret, (int)arg[4]);
			else if ((arg[3] & MAP_TYPE) != MAP_PRIVATE || arg[3] & MAP_HUGETLB)
				look_up_file(e, (uint64_t)ret, -1);
		} else if ((ret == -ENOMEM || ret == -EINVAL) &&
			   (arg[3] & (MAP_FIXED | MAP_ANONYMOUS)) == MAP_FIXED) {
			look_up_failed(e);
		}
		break;
	case MM_SHMAT:
		e->call.len = segment_bytes((int)arg[0]);
		if (sys_is_err(ret))
			break;
		look_up_file(e, (uint64_t)ret, -1);
		/* The segment may be gone or unreadable: what was mapped tells as much. */
		if (!e->call.len && !kmaps_query((uint64_t)ret, &desc, NULL, 0))
			e->call.len = desc.vm_end - (uint64_t)ret;
		break;
	case MM_IO_SETUP:
		e->call.arg[2] = 0;
		if (ret || sys_read_user(&ring, (const void *)arg[1], sizeof(ring)) != sizeof(ring) ||
		    kmaps_query(ring, &desc, NULL, 0) || desc.vm_start != ring)
			break;
		e->call.arg[2] = ring;
		e->call.len = desc.vm_end - desc.vm_start;
		look_up_file(e, ring, -1);
		break;
	case MM_PROCESS_MADVISE:
		if (is_own_process((int)arg[0]))
			complete_advice(e);
		break;
	case MM_IOCTL:
		complete_ioctl(e);
		break;
	case MM_PRCTL:
		if (arg[0] == PR_SET_VMA && arg[4]) {
			sys_read_user_string(e->anon_name, (const char *)arg[4],
					     sizeof(e->anon_name));
			e->call.name = e->anon_name;
		}
		break;
	default:
		break;
	}
}

/* Ask the kernel about each boundary the shadow could not be sure of. */
static void resolve(struct event *e)
{
	uint64_t addr = e->effect.start ? e->effect.start - 1 : 0;
	struct vma_desc desc;

	if (!e->effect.uncertain || !kmaps_has_query())
		return;
	while (e->nr_resolved < NR_RESOLVED && !kmaps_query(addr, &desc, NULL, 0) &&
	       desc.vm_start <= e->effect.end) {
		if (mm_resolve(&capture_mm, desc.vm_start, desc.vm_end) == 0) {
			e->resolved[e->nr_resolved][0] = desc.vm_start;
			e->resolved[e->nr_resolved++][1] = desc.vm_end;
		}
		addr = desc.vm_end;
	}
	/* The vma the effect pointed to may have been merged away. */
	if (is_mmap_like(e->call.op) && !sys_is_err(e->call.ret))
		e->effect.vma = vma_lookup(&capture_mm, (uint64_t)e->call.ret -
					   (e->call.op == MM_BRK ? 1 : 0));
}

/* "addr:x length:d" taken apart, once for each call. Under the lock. */
static const struct arg *args_of(enum mm_op op)
{
	static struct arg all[MM_OP_COUNT][7];
	const char *s = calls[op].args;
	struct arg *arg = all[op];

	if (arg->key)
		return arg;
	for (; *s && arg < all[op] + 6; arg++) {
		size_t n = (size_t)(strchr(s, ':') - s);

		*arg = (struct arg){ .key = s, .len = n, .is_hex = s[n + 1] == 'x' };
		s += n + 2;
		s += *s == ' ';
	}
	return all[op];
}

static void put_args(struct jsonw *w, const struct mm_call *call)
{
	const struct arg *arg = args_of(call->op);
	const uint64_t *value = call->arg;

	jsonw_object(w, "args");
	for (; arg->key; arg++, value++) {
		if (arg->is_hex)
			jsonw_hex_n(w, arg->key, arg->len, *value);
		else
			jsonw_num_n(w, arg->key, arg->len, (int64_t)*value);
	}
	jsonw_object_end(w);
}

static void put_file(struct jsonw *w, const struct vma_file *file)
{
	jsonw_object(w, "file");
	verify_put_dev(w, "dev", file->dev_major, file->dev_minor);
	jsonw_num(w, "inode", (int64_t)file->inode);
	jsonw_str(w, "name", file->name ? file->name : "");
	if (file->is_hugetlb)
		jsonw_bool(w, "hugetlb", true);
	if (file->no_write)
		jsonw_bool(w, "no_write", true);
	if (file->no_exec)
		jsonw_bool(w, "no_exec", true);
	if (file->has_close)
		jsonw_bool(w, "close", true);
	jsonw_object_end(w);
}

static void put_result(struct jsonw *w, const struct mm_call *call)
{
	if (sys_is_err(call->ret)) {
		jsonw_str(w, "errno", errname((int)-call->ret));
		jsonw_num(w, "errno_nr", -call->ret);
	} else if (is_mmap_like(call->op)) {
		jsonw_hex(w, "ret", (uint64_t)call->ret);
	} else {
		jsonw_num(w, "ret", call->ret);
	}
}

static void put_ranges(struct jsonw *w, const struct mm_call *call)
{
	jsonw_array(w, "ranges");
	for (size_t i = 0; i < call->nr_ranges; i++) {
		jsonw_array(w, NULL);
		jsonw_hex(w, NULL, call->ranges[i].start);
		jsonw_hex(w, NULL, call->ranges[i].end);
		jsonw_array_end(w);
	}
	jsonw_array_end(w);
}

static void put_effect(struct jsonw *w, const struct event *e)
{
	int i;

	jsonw_num(w, "map_count", capture_mm.map_count);
	if (e->effect.vma && is_mmap_like(e->call.op)) {
		jsonw_array(w, "vma");
		jsonw_hex(w, NULL, e->effect.vma->vm_start);
		jsonw_hex(w, NULL, e->effect.vma->vm_end);
		jsonw_array_end(w);
	}
	if (e->nr_resolved) {
		jsonw_array(w, "resolved");
		for (i = 0; i < e->nr_resolved; i++) {
			jsonw_array(w, NULL);
			jsonw_hex(w, NULL, e->resolved[i][0]);
			jsonw_hex(w, NULL, e->resolved[i][1]);
			jsonw_array_end(w);
		}
		jsonw_array_end(w);
	}
	if (e->call.passed)
		jsonw_hex(w, "passed", e->call.passed);
	if (e->call.stopped)
		jsonw_hex(w, "stopped", e->call.stopped);
	if (e->effect.predicted)
		jsonw_hex(w, "predicted", e->effect.predicted);
}

static void record(const struct event *e)
{
	struct jsonw *w = recorder_writer();

	jsonw_event(w, "call");
	jsonw_num(w, "seq", (int64_t)e->call.event);
	jsonw_num(w, "t", (int64_t)e->ns);
	jsonw_num(w, "tid", e->tid);
	if (thread_is_in_other_process())
		jsonw_num(w, "pid", sys_getpid());
	jsonw_str(w, "call", calls[e->call.op].name);
	put_args(w, &e->call);
	put_result(w, &e->call);
	jsonw_str(w, "origin", origins[e->origin]);
	jsonw_num(w, "stack", e->stack);
	if (e->call.file)
		put_file(w, e->call.file);
	if (e->call.len)
		jsonw_num(w, "len", (int64_t)e->call.len);
	if (e->call.name)
		jsonw_str(w, "name", e->call.name);
	if (e->call.nr_ranges)
		put_ranges(w, &e->call);
	put_effect(w, e);
	recorder_commit_model(w);
}

/* Whole pages of [start, start + len), or nothing if that is no range of this address space. */
static struct verify_range pages(uint64_t start, uint64_t len)
{
	start &= ~(MM_PAGE_SIZE - 1);
	len = (len + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1);
	if (!len || start + len < start || start + len > capture_mm.task_size)
		return (struct verify_range){ 0, 0 };
	return (struct verify_range){ start, start + len };
}

static enum verify_effect visible_effect(enum mm_op op)
{
	switch (op) {
	case MM_MMAP:
	case MM_MUNMAP:
	case MM_MREMAP:
	case MM_BRK:
	case MM_REMAP_FILE_PAGES:
	case MM_SHMAT:
	case MM_SHMDT:
	case MM_IO_SETUP:
	case MM_IO_DESTROY:
		return VERIFY_MAPPING;
	case MM_MPROTECT:
	case MM_PKEY_MPROTECT:
		return VERIFY_PERMS;
	default:
		return VERIFY_NOTHING;
	}
}

/*
 * The addresses a call was about, whether or not it did anything: there the shadow must be right.
 * Around them, where vmas were joined, the kernel may know of changes that were not captured.
 */
static void touched(const struct event *e, struct verify_touched *ret)
{
	const uint64_t *arg = e->call.arg;
	uint64_t now = (uint64_t)e->call.ret;
	bool failed = sys_is_err(e->call.ret);

	ret->effect = visible_effect(e->call.op);
	ret->range[0] = ret->range[1] = (struct verify_range){ 0, 0 };
	switch (e->call.op) {
	case MM_MMAP:
		ret->range[0] = failed ? ret->range[0] : pages(now, arg[1]);
		break;
	case MM_BRK:
		ret->range[0] = e->old_brk < now ? pages(e->old_brk, now - e->old_brk) :
						   pages(now, e->old_brk - now);
		break;
	case MM_MREMAP:
		ret->range[1] = failed ? ret->range[1] : pages(now, arg[2]);
		/* Of something that nobody saw being mapped: what it is can't be known. */
		if (!failed && e->effect.start == e->effect.end && !vma_lookup(&capture_mm, arg[0]))
			ret->effect = VERIFY_NOTHING;
		/* fallthrough */
	case MM_MUNMAP:
	case MM_MPROTECT:
	case MM_PKEY_MPROTECT:
	case MM_MADVISE:
	case MM_MLOCK:
	case MM_MLOCK2:
	case MM_MUNLOCK:
	case MM_MSEAL:
	case MM_REMAP_FILE_PAGES:
	case MM_MBIND:
		ret->range[0] = pages(arg[0], arg[1]);
		break;
	case MM_IOCTL:
		ret->range[0] = pages(arg[3], arg[4]);
		break;
	case MM_MLOCKALL:
	case MM_MUNLOCKALL:
	case MM_PRCTL:
	case MM_CLOSE:
		/* About everything, so also about what was never captured; or about attributes only. */
		break;
	default:
		ret->range[0] = (struct verify_range){ e->effect.start, e->effect.end };
	}
	ret->check = ret->range[0];
	verify_join(&ret->check, &ret->range[1]);
	verify_join(&ret->check, &(struct verify_range){ e->effect.start, e->effect.end });
}

/* A release made outside the lock may be stamped before the last checkpoint. */
static bool is_due(uint64_t now)
{
	return config.checkpoint_seconds &&
	       now >= last_checkpoint_ns + config.checkpoint_seconds * 1000000000ull;
}

/* What a failed call leaves behind may depend on the limit it has hit. */
static void update_limits(const struct event *e)
{
	const struct mm_call *call = &e->call;
	bool refused = call->ret == -ENOMEM || call->ret == -EAGAIN || call->ret == -EPERM;
	struct jsonw *w;

	if (call->op == MM_BRK)
		refused = (uint64_t)call->ret != call->arg[0];
	if (!refused || !process_update_limits(&capture_mm))
		return;
	w = recorder_writer();
	jsonw_event(w, "limits");
	jsonw_num(w, "t", (int64_t)e->ns);
	process_put_limits(w, "limits", &capture_mm);
	recorder_commit_model(w);
}

/* Where a call that failed half-way has stopped, as far as it hinges on what can't be seen. */
static void ask_where_stopped(struct event *e)
{
	struct vma_desc desc;
	uint64_t addr;

	while (kmaps_has_query() && (addr = mm_ask(&capture_mm, &e->call)))
		mm_answer(&e->call, addr, kmaps_query(addr, &desc, NULL, 0) ||
			  desc.vm_start > addr ? NULL : &desc);
}

/* To the shadow and to the trace. */
static void tell(struct event *e)
{
	update_limits(e);
	complete(e);
	e->call.event = ++seq;
	e->call.own = e->origin == TRACE_ORIGIN_SELF;
	ask_where_stopped(e);
	if (mm_apply(&capture_mm, &e->call, &e->effect))
		recorder_lost("event", "memory", 1);
	resolve(e);
	record(e);
}

static void tell_own_calls(uint64_t ns, unsigned int nr)
{
	struct own_call call;

	for (; nr && own_take(&call); nr--) {
		own_event.call = (struct mm_call){ .op = call.op, .ret = call.ret };
		memcpy(own_event.call.arg, call.arg, sizeof(call.arg));
		own_event.origin = TRACE_ORIGIN_SELF;
		own_event.tid = call.tid;
		own_event.stack = 0;
		own_event.nr_resolved = 0;
		own_event.effect = (struct mm_effect){ 0 };
		own_event.ns = ns;
		tell(&own_event);
	}
}

/* Telling one may fill a chunk, which is another; chunks are far larger than records. */
void capture_tell_own_calls(uint64_t ns)
{
	while (own_nr_pending())
		tell_own_calls(ns, own_nr_pending());
}

void capture_own_calls(void)
{
	struct lock_state state;

	lock_take(&state);
	capture_tell_own_calls(recorder_now());
	lock_drop(&state);
}

/* A copy of libc, loaded into another namespace. */
static void note_text(const struct event *e)
{
	const struct vma *vma = e->effect.vma;

	if (e->call.op == MM_MMAP && e->call.file && e->file.name && vma &&
	    (vma->vm_flags & (VM_READ | VM_EXEC)) == (VM_READ | VM_EXEC))
		patch_note_text(vma->vm_start, vma->vm_end, e->file.name);
}

/* The number may be given to another file. */
static void forget_uffd(const struct mm_call *call)
{
	uint64_t fd = call->arg[0];

	if (call->op == MM_CLOSE && capture_is_uffd((int)fd))
		uffds[fd / 64] &= ~(1ull << fd % 64);
}

/* Everything after the system call. Under the lock. */
static void finish_event(struct event *e)
{
	struct verify_touched what;

	/* Those made before the event's call; what telling them makes came after it. */
	tell_own_calls(e->ns, own_nr_pending());
	verify_catch_up(&capture_mm, seq);
	tell(e);
	forget_uffd(&e->call);
	touched(e, &what);
	note_text(e);
	capture_tell_own_calls(e->ns);
	if (config.verify == VERIFY_EVERY && seq % config.verify_every == 0 &&
	    what.check.start < what.check.end)
		verify_event(&capture_mm, &what, seq);
	if (checkpoint_wanted || is_due(e->ns)) {
		capture_checkpoint(checkpoint_wanted ? "signal" : "timer",
				   config.frames == FRAMES_CHECKPOINT);
		checkpoint_wanted = false;
	}
}

void capture_checkpoint(const char *why, bool frames)
{
	capture_tell_own_calls(recorder_now());
	last_checkpoint_ns = recorder_now();
	checkpoint_record(why, frames, seq);
	capture_tell_own_calls(recorder_now());
}

/* Fill the one event in flight. */
static void begin_event(enum mm_op op, const uint64_t arg[6], enum trace_origin origin)
{
	event.call = (struct mm_call){ .op = op };
	memcpy(event.call.arg, arg, sizeof(event.call.arg));
	event.origin = origin;
	event.tid = thread_tid();
	event.nr_resolved = 0;
	event.old_brk = capture_mm.brk;
	event.effect = (struct mm_effect){ 0 };
}

static bool pass_through(enum mm_op op)
{
	if (tls.self_test)
		tls.self_test_seen |= 1u << op;
	else if (capture_is_on() && tls.locked)
		recorder_lost("call", "guard", 1);
	return !capture_is_on() || tls.self_test || tls.locked;
}

/*
 * A site in the loader's text is the loader's. libc's is libc's own if libc called the function it
 * is in: mmap() called by malloc(). Called from elsewhere, past our symbol, it is the program's.
 */
static enum trace_origin origin_of_stack(uint32_t stack)
{
	int by_symbol = tls.symbol_origin;
	uint64_t ips[2] = { 0, 0 };

	tls.symbol_origin = 0;
	if (by_symbol)
		return (enum trace_origin)(by_symbol - 1);
	if (tls.unwinding)
		return TRACE_ORIGIN_SELF;
	capture_innermost(stack, ips);
	if (modules_origin(ips[0]) == TRACE_ORIGIN_LOADER)
		return TRACE_ORIGIN_LOADER;
	return ips[1] ? modules_origin(ips[1]) : TRACE_ORIGIN_LIBC;
}

/* What the call is about to work on, brought up to date. Under the lock. */
static void look_before(enum mm_op op, const uint64_t arg[6])
{
	struct verify_range range = { 0, 0 }, target = { 0, 0 };

	if (config.verify != VERIFY_EVERY)
		return;
	switch (op) {
	case MM_MMAP:
		if (arg[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE))
			range = pages(arg[0], arg[1]);
		break;
	case MM_MREMAP:
		if (arg[3] & MREMAP_FIXED)
			target = pages(arg[4], arg[2]);
		/* fallthrough */
	case MM_MUNMAP:
	case MM_MPROTECT:
	case MM_PKEY_MPROTECT:
	case MM_MADVISE:
	case MM_MLOCK:
	case MM_MLOCK2:
	case MM_MUNLOCK:
	case MM_MSEAL:
	case MM_REMAP_FILE_PAGES:
	case MM_MBIND:
		range = pages(arg[0], arg[1]);
		break;
	default:
		break;
	}
	if (range.start < range.end)
		verify_growth(&capture_mm, range.start, range.end, seq);
	if (target.start < target.end)
		verify_growth(&capture_mm, target.start, target.end, seq);
}

long capture_call(enum mm_op op, long nr, const uint64_t arg[6], enum trace_origin origin)
{
	struct lock_state state;
	uint32_t stack;
	uint64_t ns;
	bool blocks;
	long ret;

	if (pass_through(op))
		return sys_forward(nr, (long)arg[0], (long)arg[1], (long)arg[2], (long)arg[3],
				(long)arg[4], (long)arg[5]);
	tls.depth++;
	stack = capture_stack();
	if (origin == CAPTURE_ORIGIN_OF_STACK)
		origin = origin_of_stack(stack);
	lock_take(&state);
	look_before(op, arg);
	blocks = may_block(op, arg);
	if (blocks)
		lock_drop(&state);
	ns = is_release(op) ? recorder_now() : 0;
	ret = sys_forward(nr, (long)arg[0], (long)arg[1], (long)arg[2], (long)arg[3], (long)arg[4],
		       (long)arg[5]);
	if (blocks)
		lock_take(&state);
	begin_event(op, arg, origin);
	event.call.ret = ret;
	event.ns = is_release(op) ? ns : recorder_now();
	event.stack = stack;
	finish_event(&event);
	lock_drop(&state);
	tls.depth--;
	return ret;
}

void *capture_brk(void *(*move)(intptr_t arg), intptr_t arg, bool is_sbrk,
		  enum trace_origin origin)
{
	uint64_t args[6] = { 0 };
	struct lock_state state;
	uint32_t stack;
	void *ret;
	int err;

	if (patch_has(SYS_brk)) {
		tls.symbol_origin = 1 + (int)origin;
		ret = move(arg);
		tls.symbol_origin = 0;
		return ret;
	}
	if (pass_through(MM_BRK) || (is_sbrk && !arg))
		return move(arg);
	tls.depth++;
	stack = capture_stack();
	lock_take(&state);
	args[0] = is_sbrk ? sys_brk(0) + (uint64_t)arg : (uint64_t)arg;
	begin_event(MM_BRK, args, origin);
	ret = move(arg);
	err = errno;
	event.call.ret = (int64_t)sys_brk(0);
	event.ns = recorder_now();
	event.stack = stack;
	finish_event(&event);
	lock_drop(&state);
	tls.depth--;
	errno = err;
	return ret;
}

void capture_shrink(void)
{
	uint64_t start[2] = { 0, 0 }, bytes[2];
	struct lock_state state;
	int i;

	if (!capture_is_on() || tls.locked)
		return;
	lock_take(&state);
	bytes[0] = arena_shrink(&start[0]);
	bytes[1] = sink_shrink(&start[1]);
	lock_drop(&state);
	for (i = 0; i < 2; i++) {
		const uint64_t arg[6] = { start[i], bytes[i] };

		if (bytes[i])
			capture_call(MM_MUNMAP, SYS_munmap, arg, TRACE_ORIGIN_SELF);
	}
}

long capture_uffd_api(int fd, uint64_t arg)
{
	struct uffdio_api api;

	/* Before the call, which stores what features there are. */
	has_userfaultfd = true;
	if (sys_read_user(&api, (const void *)arg, sizeof(api)) == sizeof(api) &&
	    api.features & (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			    UFFD_FEATURE_EVENT_UNMAP))
		has_uffd_events = true;
	return sys_call(SYS_ioctl, fd, (long)UFFDIO_API, (long)arg, 0, 0, 0);
}

uint64_t capture_seq(void)
{
	return seq;
}

void capture_reset(void)
{
	seq = 0;
	own_forget();
	last_checkpoint_ns = 0;
	checkpoint_wanted = false;
}
