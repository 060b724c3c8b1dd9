/* SPDX-License-Identifier: MIT */
/*
 * The constructor (first of all, -z initfirst) and what a fork child repeats of it:
 *
 *     config ─▶ own memory ─▶ output ─▶ unwinder ─▶ the map as it is ─▶ header ─▶ recording is on
 *
 * Before the constructor hooks pass straight through; what happened then is in the first map.
 */
#include "start.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "capture.h"
#include "clock.h"
#include "config.h"
#include "errnames.h"
#include "exec.h"
#include "frames.h"
#include "heap_time.h"
#include "hooks_alloc.h"
#include "kmaps.h"
#include "lock.h"
#include "modules.h"
#include "next.h"
#include "patch.h"
#include "proc_lines.h"
#include "process.h"
#include "recorder.h"
#include "sample.h"
#include "selftest.h"
#include "sink.h"
#include "snapshot.h"
#include "stacks.h"
#include "sud.h"
#include "sys.h"
#include "task.h"
#include "thread.h"
#include "verify.h"

#include "no_heap.h"

static const struct mm_alloc mm_memory = { .alloc = arena_mm_alloc };
static uint64_t start_ns, realtime_ns;
static enum config_tier tier;
static bool speaks;		/* the start and the end line go to a terminal */

/* The trace this process' parent writes; pid 0: none. */
static struct {
	int pid;
	char path[CONFIG_PATH_MAX];
	uint64_t seq;
} parent;

static uint64_t read_realtime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void put_config(struct jsonw *w)
{
	jsonw_object(w, "verify");
	if (config.verify == VERIFY_EVERY && config.verify_every > 1)
		jsonw_num(w, "mode", config.verify_every);
	else
		jsonw_str(w, "mode", config.verify == VERIFY_OFF ? "off" :
			  config.verify == VERIFY_FINAL ? "final" :
			  config.verify == VERIFY_CHECKPOINT ? "checkpoint" : "event");
	jsonw_str(w, "source", kmaps_has_query() ? "query" : "text");
	jsonw_object_end(w);
	jsonw_str(w, "heap", !config.heap ? "off" : config.heap_sample ? "sample" : "all");
	if (config.heap_sample)
		jsonw_num(w, "heap_sample", config.heap_sample);
	jsonw_num(w, "stacks", config.stacks);
	jsonw_str(w, "frames", config.frames == FRAMES_OFF ? "off" :
		  config.frames == FRAMES_FINAL ? "final" : "checkpoint");
	jsonw_object(w, "privileges");
	jsonw_num(w, "uid", sys_call(SYS_getuid, 0, 0, 0, 0, 0, 0));
	jsonw_num(w, "euid", sys_call(SYS_geteuid, 0, 0, 0, 0, 0, 0));
	jsonw_str(w, "pfn", frames_pfn_visible() ? "visible" : "hidden");
	jsonw_object_end(w);
}

static void put_parent(struct jsonw *w)
{
	jsonw_str(w, "reason", parent.pid ? "fork" : "start");
	if (!parent.pid) {
		jsonw_null(w, "parent");
		return;
	}
	jsonw_object(w, "parent");
	jsonw_num(w, "pid", parent.pid);
	jsonw_str(w, "trace", parent.path);
	jsonw_num(w, "event", (int64_t)parent.seq);
	jsonw_object_end(w);
}

static void put_own(struct jsonw *w)
{
	jsonw_array(w, "own");
	jsonw_array(w, NULL);
	jsonw_hex(w, NULL, arena_start());
	jsonw_hex(w, NULL, arena_end());
	jsonw_str(w, NULL, "region");
	jsonw_array_end(w);
	if (sink_is_file()) {
		jsonw_array(w, NULL);
		jsonw_hex(w, NULL, sink_start());
		jsonw_hex(w, NULL, sink_end());
		jsonw_str(w, NULL, "output");
		jsonw_array_end(w);
	}
	modules_put_own(w);
	jsonw_array_end(w);
}

static bool record_header(void)
{
	struct jsonw *w = recorder_writer();

	jsonw_event(w, "header");
	jsonw_num(w, "version", TRACE_VERSION);
	jsonw_num(w, "pid", sys_getpid());
	jsonw_num(w, "ppid", sys_getppid());
	jsonw_num(w, "tid", sys_gettid());
	process_put(w, &capture_mm);
	jsonw_object(w, "clock");
	jsonw_str(w, "source", clock_source());
	jsonw_num(w, "start_ns", (int64_t)start_ns);
	jsonw_num(w, "realtime_ns", (int64_t)realtime_ns);
	jsonw_object_end(w);
	selftest_put(w, tier);
	put_config(w);
	put_parent(w);
	put_own(w);
	if (*snapshot_vsyscall())
		jsonw_str(w, "vsyscall", snapshot_vsyscall());
	else
		jsonw_null(w, "vsyscall");
	return recorder_commit(w);
}

static void record_threads(void)
{
	static char entries[8192];
	int fd = sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long n, at;

	while (fd >= 0 && (n = sys_call(SYS_getdents64, fd, (long)entries, sizeof(entries), 0, 0, 0)) > 0) {
		for (at = 0; at < n;) {
			/* struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name */
			const char *name = entries + at + 19;
			unsigned short length;
			int64_t tid;
			struct jsonw *w;

			memcpy(&length, entries + at + 16, sizeof(length));
			at += length;
			tid = (int64_t)proc_digits(name);
			if (!tid)
				continue;
			w = recorder_writer();
			jsonw_event(w, "thread");
			jsonw_num(w, "t", 0);
			jsonw_num(w, "tid", tid);
			jsonw_str(w, "op", "present");
			recorder_commit(w);
		}
	}
	if (fd >= 0)
		sys_close(fd);
}

/* A new trace of the process as it is now. Under the lock. Return: 0, -errno. */
static int begin_trace(struct mm *old)
{
	int err;

	clock_start(&start_ns);
	heap_time_start();
	realtime_ns = read_realtime();
	err = kmaps_init(config.maps_text);
	if (err)
		return err;
	frames_init();
	if (config.verify_default)
		config.verify = kmaps_has_query() ? VERIFY_EVERY : VERIFY_CHECKPOINT;
	mm_init(&capture_mm, &mm_memory);
	process_fill_mm(&capture_mm);
	capture_mm.is_inherited = old;
	err = snapshot_take(&capture_mm, old);
	if (err)
		return err;
	/* Without a header nothing that follows could be read. */
	if (!record_header())
		return sink_error() ?: -ENOMEM;
	snapshot_record(&capture_mm);
	if (old)
		modules_tell_again();
	record_threads();
	capture_checkpoint("start", config.frames == FRAMES_CHECKPOINT);
	return 0;
}

static bool try_begin_trace(struct mm *old)
{
	int err;

	/* What it maps belongs into the snapshot; nothing is recorded before the lock is dropped. */
	capture_set_on(true);
	err = begin_trace(old);

	if (err)
		sink_abandon(err);
	capture_set_on(!err);
	return !err;
}

/* Programs started from here won't see the variable, @name with its '='. */
static void drop_variable(char **envp, const char *name)
{
	char **to = envp;

	for (; *envp; envp++) {
		if (strncmp(*envp, name, strlen(name)))
			*to++ = *envp;
	}
	*to = NULL;
}

/* @is_traced: false: there will be no trace. */
static void shake_hands(char **envp, bool is_traced)
{
	const char *word = is_traced ? "vmtrace " : "untraced ";
	const char *path = is_traced ? sink_path() : "";
	size_t n = strlen(word), len = strlen(path);
	char line[CONFIG_PATH_MAX + 64];
	struct stat st;

	if (config.handshake_fd < 0)
		return;
	/* The launcher's pipe is this process' only: not a descendant's descriptor of that number. */
	drop_variable(envp, "VMTRACE_HANDSHAKE=");
	if (sys_fstat(config.handshake_fd, &st) || !S_ISFIFO(st.st_mode))
		return;
	memcpy(line, word, n);
	n += jsonw_put_num(line + n, sys_getpid());
	line[n++] = ' ';
	memcpy(line + n, path, len);
	n += len;
	line[n++] = '\n';
	(void)sys_write(config.handshake_fd, line, n);
	sys_close(config.handshake_fd);
}

static void on_checkpoint_signal(int sig)
{
	(void)sig;
	capture_request_checkpoint();
}

/*
 * The first handler registered is the last to run: after main's other handlers and after all
 * destructors, which libc's start code registers later than this library's constructor.
 */
static void on_exit_status(int status, void *arg)
{
	(void)arg;
	if (!capture_is_on() || thread_is_in_other_process())
		return;
	capture_finish("exit", status);
	if (speaks)
		config_warn("trace in ", *sink_path() ? sink_path() : config.out, NULL);
}

static void start_line(void)
{
	struct termios tio;

	speaks = config.quiet == QUIET_NOT && !sys_ioctl(2, TCGETS, &tio);
	if (speaks)
		config_warn("recording to ", *sink_path() ? sink_path() : config.out, NULL);
}

/* Into libc and the loader, outside them too if asked, and a trial of everything. */
static void reach_tier(void)
{
	const char *site = NULL;
	int err = 0;

	tier = TIER_SYMBOLS;
	if (config.tier >= TIER_LIBC && !kmaps_init(config.maps_text) &&
	    patch_init(config.tier == TIER_ALL))
		tier = TIER_LIBC;
	if (config.tier == TIER_ALL && tier == TIER_LIBC && !(err = sud_init()))
		tier = TIER_ALL;
	if (patch_has(SYS_rt_sigaction))
		lock_trust_sites();
	selftest_run(tier);
	if (config.tier > TIER_SYMBOLS && tier == TIER_SYMBOLS)
		config_warn("VMTRACE_CAPTURE=", config_tier_name(config.tier), ": ",
			    "libc can't be patched; calls made inside it are not captured", NULL);
	else if (tier < config.tier)
		config_warn("VMTRACE_CAPTURE=all: the kernel refuses system-call dispatch: ",
			    errname(-err), "; calls made outside libc are not captured", NULL);
	else if ((site = patch_missing(0)))
		config_warn("no system call to patch in ", site, "; its changes are not captured",
			    NULL);
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	struct lock_state state;
	bool on = false;

	next_resolve();
	/* A set-user-ID program is none of our business (ld.so(8), secure-execution mode). */
	if (getauxval(AT_SECURE))
		return;
	config_read(&config, envp);
	clock_init();
	process_init(argc, argv, envp);
	tls.depth++;
	thread_init();
	modules_init();
	if (!arena_init() && recorder_init() && stacks_init() &&
	    (!config.heap_sample || sample_init(config.heap_sample)) && !sink_open(false)) {
		/* Without stacks, too: a call's innermost frames say whose it is. */
		tls.unwinding = true;
		/* The kernel puts argc there, and the arguments behind it. */
		capture_stack_init((uintptr_t)(argv - 1));
		tls.unwinding = false;
		hooks_alloc_init();
		reach_tier();
		exec_init(envp);
		clock_calibrate();
		lock_take(&state);
		on = try_begin_trace(NULL);
		lock_drop(&state);
	}
	if (on) {
		modules_refresh();
		task_init();
		on_exit(on_exit_status, NULL);
		if (config.checkpoint_signal)
			signal(config.checkpoint_signal, on_checkpoint_signal);
		if (!config.follow)
			drop_variable(envp, "LD_PRELOAD=");
		start_line();
	}
	shake_hands(envp, on);
	tls.depth--;
}

void start_fork_child(int parent_pid, bool traced)
{
	static struct mm old;

	tls.vfork_child = false;
	if (!capture_was_on())
		return;
	memcpy(parent.path, sink_path(), sizeof(parent.path));
	parent.pid = parent_pid;
	parent.seq = capture_seq();
	speaks = false;
	capture_set_on(false);
	old = capture_mm;
	thread_fork_child();
	sink_fork_child();
	capture_reset();
	verify_reset();
	stacks_reset();
	if (!traced)
		sink_detach();
	if (!traced || !config.follow || !recorder_init() || sink_open(true))
		return;
	try_begin_trace(&old);
}
