/* SPDX-License-Identifier: MIT */
/*
 * A program that starts others with an environment of its own making (env -i, sudo, cron-like
 * servers) would lose the trace there: LD_PRELOAD and the VMTRACE_* settings are put back, unless
 * VMTRACE_FOLLOW=none. Where a seccomp filter would kill for what the library does, it is taken out
 * instead. Everything here may run in a vfork child: nothing is kept.
 */
#include "exec.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "arena.h"
#include "capture.h"
#include "config.h"
#include "errnames.h"
#include "kmaps.h"
#include "lock.h"
#include "own.h"
#include "recorder.h"
#include "seccomp.h"
#include "sys.h"
#include "thread.h"

#include "no_heap.h"

#define NR_ARGV 64
#define ARGV_BYTES 4096
#define NR_SETTINGS 16
#define NR_ENV_ON_STACK 512
#define PRELOAD "LD_PRELOAD="
#define PRELOAD_BYTES 1024	/* of another LD_PRELOAD that ours joins */
#define HEAD_BYTES 4096
#define SCRIPT_DEPTH 4

static struct {
	char path[CONFIG_PATH_MAX];	/* the library's own */
	const char *name;		/* its last component */
	char *settings[NR_SETTINGS];	/* NAME=value */
	int nr;
} kept;

static size_t name_length(const char *entry)
{
	const char *equals = strchr(entry, '=');

	return equals ? (size_t)(equals - entry) + 1 : strlen(entry);
}

void exec_init(char *const envp[])
{
	struct vma_desc desc;
	size_t len;

	if (kmaps_query((uint64_t)(uintptr_t)exec_init, &desc, kept.path, sizeof(kept.path)))
		kept.path[0] = '\0';
	kept.name = strrchr(kept.path, '/');
	kept.name = kept.name ? kept.name + 1 : "";
	for (; *envp && kept.nr < NR_SETTINGS; envp++) {
		if (strncmp(*envp, "VMTRACE_", 8) || !strncmp(*envp, "VMTRACE_HANDSHAKE=", 18))
			continue;
		len = strlen(*envp) + 1;
		kept.settings[kept.nr] = arena_alloc(len);
		if (kept.settings[kept.nr])
			memcpy(kept.settings[kept.nr++], *envp, len);
	}
}

/* What the next image is, as far as following it goes. */
enum image {
	IMAGE_DYNAMIC, IMAGE_STATIC, IMAGE_FOREIGN, IMAGE_SETUID, IMAGE_SANDBOXED, IMAGE_UNKNOWN,
	IMAGE_MISSING
};

static enum image image_of_elf(int fd, const uint8_t *head, size_t len)
{
	const Elf64_Ehdr *ehdr = (const void *)head;
	Elf64_Phdr phdr;
	unsigned int i;

	if (len < sizeof(*ehdr) || head[EI_CLASS] != ELFCLASS64 || ehdr->e_machine != EM_X86_64)
		return IMAGE_FOREIGN;
	for (i = 0; i < ehdr->e_phnum; i++) {
		if (sys_pread(fd, &phdr, sizeof(phdr),
			      (off_t)(ehdr->e_phoff + i * sizeof(phdr))) != sizeof(phdr))
			return IMAGE_UNKNOWN;
		if (phdr.p_type == PT_INTERP)
			return IMAGE_DYNAMIC;
	}
	return IMAGE_STATIC;
}

static bool changes_user(int fd)
{
	struct stat st;

	return !sys_fstat(fd, &st) &&
	       ((st.st_mode & S_ISUID && st.st_uid != (uid_t)sys_call(SYS_getuid, 0, 0, 0, 0, 0, 0)) ||
		((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
		 st.st_gid != (gid_t)sys_call(SYS_getgid, 0, 0, 0, 0, 0, 0)));
}

/* "#!/bin/sh -e" -> "/bin/sh", in place. */
static const char *interpreter(char *head)
{
	char *start = head + 2 + strspn(head + 2, " \t");

	start[strcspn(start, " \t\n")] = '\0';
	return start;
}

static enum image image_of(int dir, const char *path, int depth)
{
	static const uint8_t elf[] = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3 };
	uint8_t head[sizeof(Elf64_Ehdr) + 256] __attribute__((aligned(8)));
	enum image image = IMAGE_UNKNOWN;
	ssize_t n;
	int fd;

	fd = (int)sys_call(SYS_openat, dir, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? IMAGE_MISSING : IMAGE_UNKNOWN;
	n = sys_pread(fd, head, sizeof(head) - 1, 0);
	head[n < 0 ? 0 : n] = '\0';
	if (n > 4 && !memcmp(head, elf, sizeof(elf)))
		image = changes_user(fd) ? IMAGE_SETUID : image_of_elf(fd, head, (size_t)n);
	else if (n > 2 && head[0] == '#' && head[1] == '!' && depth < SCRIPT_DEPTH)
		image = image_of(AT_FDCWD, interpreter((char *)head), depth + 1);
	sys_close(fd);
	return image;
}

static enum image next_image(long nr, const uint64_t arg[6])
{
	char path[64] = "/proc/self/fd/";
	const char *file = (const char *)(nr == SYS_execve ? arg[0] : arg[1]);
	int dir = nr == SYS_execve ? AT_FDCWD : (int)arg[0];
	char first = 0;

	if (nr == SYS_execveat && arg[4] & AT_EMPTY_PATH && sys_read_user(&first, file, 1) && !first) {
		path[14 + jsonw_put_num(path + 14, dir)] = '\0';
		return image_of(AT_FDCWD, path, 0);
	}
	return image_of(dir, file, 0);
}

static const char *image_name(enum image image)
{
	static const char *const names[] = { "dynamic", "static", "foreign", "setuid",
					     "sandboxed", "unknown" };

	return names[image];
}

/*
 * Where our library stands among the names of an LD_PRELOAD value, separated by spaces or colons; NULL: it
 * is not there. @ret_len: with the separator behind it.
 */
static char *find_us(char *list, size_t *ret_len)
{
	size_t ours = strlen(kept.name), len;

	for (; *list; list += *ret_len) {
		len = strcspn(list, " :");
		*ret_len = len + (list[len] != '\0');
		if (len >= ours && !strncmp(list + len - ours, kept.name, ours) &&
		    (len == ours || list[len - ours - 1] == '/'))
			return list;
	}
	return NULL;
}

/* The program's environment as it will be, in the caller's frame. */
struct env {
	char **entries;
	size_t nr, max;
	bool has_us, has[NR_SETTINGS];
	size_t preload;			/* index of its LD_PRELOAD, or max */
	char text[PRELOAD_BYTES];	/* PRELOAD, with us in front of what it said */
	bool is_trusted;		/* the program's pointers are */
};

static size_t read_string(const struct env *env, char *dst, const char *src, size_t size)
{
	size_t len;

	if (!env->is_trusted)
		return sys_read_user_string(dst, src, size);
	len = strnlen(src, size - 1);
	memcpy(dst, src, len);
	dst[len] = '\0';
	return len;
}

static size_t read_entries(const struct env *env, const char **dst, char *const *src, size_t bytes)
{
	if (!env->is_trusted)
		return sys_read_user(dst, src, bytes);
	memcpy(dst, src, bytes);
	return bytes;
}

static bool take_entry(struct env *env, const char *entry)
{
	char head[PRELOAD_BYTES];
	size_t len = strlen(PRELOAD), name;
	int i;

	if (env->nr + NR_SETTINGS + 2 > env->max)
		return false;
	read_string(env, head, entry, 32);
	if (!strncmp(head, PRELOAD, len)) {
		if (read_string(env, head, entry, sizeof(head)) == sizeof(head) - 1)
			return false;
		env->has_us = find_us(head + len, &name);
		env->preload = env->nr;
		memcpy(env->text, head, strlen(head) + 1);
	}
	for (i = 0; i < kept.nr; i++) {
		len = name_length(kept.settings[i]);
		if (!strncmp(head, kept.settings[i], len < 31 ? len : 31))
			env->has[i] = true;
	}
	env->entries[env->nr++] = (char *)entry;
	return true;
}

/* Return: false if it can't be read or has no room. */
static bool read_env(struct env *env, char *const *envp)
{
	const char *batch[32];
	size_t got, i;

	env->preload = env->max;
	for (; envp; envp += got) {
		/* A page at a time at most: the array may end right before a hole. */
		got = (4096 - ((uintptr_t)envp & 4095)) / sizeof(*batch);
		if (!got || got > sizeof(batch) / sizeof(*batch))
			got = got ? sizeof(batch) / sizeof(*batch) : 1;
		if (read_entries(env, batch, envp, got * sizeof(*batch)) != got * sizeof(*batch))
			return false;
		for (i = 0; i < got; i++) {
			if (!batch[i])
				return true;
			if (!take_entry(env, batch[i]))
				return false;
		}
	}
	return true;
}

/* Return: false if there is no room for the two together. */
static bool join_preload(struct env *env)
{
	size_t key = strlen(PRELOAD), ours = strlen(kept.path);
	size_t had = env->preload < env->max ? strlen(env->text) - key : 0;

	if (key + ours + 1 + had + 1 > sizeof(env->text))
		return false;
	memmove(env->text + key + ours + 1, env->text + key, had + 1);
	memcpy(env->text, PRELOAD, key);
	memcpy(env->text + key, kept.path, ours);
	env->text[key + ours] = had ? ':' : '\0';
	if (env->preload == env->max)
		env->preload = env->nr++;
	env->entries[env->preload] = env->text;
	return true;
}

static bool complete(struct env *env)
{
	int i;

	if (!env->has_us && !join_preload(env))
		return false;
	for (i = 0; i < kept.nr; i++) {
		if (!env->has[i])
			env->entries[env->nr++] = kept.settings[i];
	}
	env->entries[env->nr] = NULL;
	return true;
}

static void leave_out(struct env *env)
{
	char *list = env->text + strlen(PRELOAD), *at;
	size_t len;

	while ((at = find_us(list, &len)))
		memmove(at, at + len, strlen(at + len) + 1);
	env->entries[env->preload] = env->text;
	env->entries[env->nr] = NULL;
}

static long make(long nr, const uint64_t *a)
{
	return sys_forward(nr, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4], 0);
}

/*
 * With our library in the environment, or without it. Apart, for its frame: the stack of a posix_spawn()
 * child is small.
 */
static __attribute__((noinline)) long exec_with_env(long nr, const uint64_t arg[6], bool with_us)
{
	uint64_t with_env[6];
	char *entries[NR_ENV_ON_STACK];
	struct env env = { .entries = entries, .max = NR_ENV_ON_STACK };
	int at = nr == SYS_execve ? 2 : 3;
	char probe = 0, copy;

	/* Where a filter forbids to try pointers, the next image would be killed for sure. */
	env.is_trusted = !with_us && !sys_read_user(&copy, &probe, 1);

	memcpy(with_env, arg, sizeof(with_env));
	if (!read_env(&env, (char *const *)arg[at]))
		return make(nr, arg);
	if (!with_us && env.has_us)
		leave_out(&env);
	if (with_us ? complete(&env) : env.has_us)
		with_env[at] = (uint64_t)(uintptr_t)env.entries;
	return make(nr, with_env);
}

/* The program's own pointers: they may lead anywhere. */
static void put_argv(struct jsonw *w, char *const argv[])
{
	static char text[ARGV_BYTES];
	size_t left = ARGV_BYTES, n;
	const char *arg;
	int i;

	jsonw_array(w, "argv");
	for (i = 0; argv && i < NR_ARGV && left > 1; i++) {
		if (sys_read_user(&arg, &argv[i], sizeof(arg)) != sizeof(arg) || !arg)
			break;
		n = sys_read_user_string(text, arg, left);
		jsonw_strn(w, NULL, text, n);
		left -= n;
	}
	jsonw_array_end(w);
}

static void record(const char *path, char *const argv[], enum image image)
{
	static char text[ARGV_BYTES];
	struct lock_state state;
	struct jsonw *w;
	uint32_t stack;

	tls.depth++;
	stack = capture_stack();
	lock_take(&state);
	thread_flush_all();
	capture_checkpoint("exec", config.frames != FRAMES_OFF);
	recorder_flush_lost();
	capture_tell_own_calls(recorder_now());
	/* The next line is the last one. */
	own_hold(true);
	w = recorder_writer();
	jsonw_event(w, "exec");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	sys_read_user_string(text, path, sizeof(text));
	jsonw_str(w, "path", text);
	put_argv(w, argv);
	jsonw_str(w, "image", image_name(image));
	jsonw_num(w, "stack", stack);
	recorder_commit(w);
	recorder_trim();
	own_hold(false);
	lock_drop(&state);
	tls.depth--;
}

void exec_record_failure(int error)
{
	struct lock_state state;
	struct jsonw *w;

	if (!capture_is_on() || thread_is_in_other_process() || tls.locked)
		return;
	tls.depth++;
	lock_take(&state);
	w = recorder_writer();
	jsonw_event(w, "exec");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "tid", thread_tid());
	jsonw_str(w, "errno", errname(error));
	recorder_commit(w);
	lock_drop(&state);
	tls.depth--;
}

long exec_call(long nr, const uint64_t arg[6])
{
	enum image image = next_image(nr, arg);
	bool is_killed = seccomp_kills_images();
	int at = nr == SYS_execve ? 0 : 1;
	/* A name that leads nowhere is one of execvp()'s tries. */
	bool ours = !thread_is_in_other_process() && image != IMAGE_MISSING;
	long ret;

	if (is_killed && image == IMAGE_DYNAMIC)
		image = IMAGE_SANDBOXED;
	if (ours)
		record((const char *)arg[at], (char *const *)arg[at + 1], image);
	if (kept.path[0] && (is_killed || (config.follow && image == IMAGE_DYNAMIC)))
		ret = exec_with_env(nr, arg, !is_killed);
	else
		ret = make(nr, arg);
	if (ours)
		exec_record_failure((int)-ret);
	return ret;
}

void exec_record(const char *path, char *const argv[])
{
	if (capture_is_on() && !thread_is_in_other_process() && !tls.locked)
		record(path, argv, IMAGE_UNKNOWN);
}
