/* SPDX-License-Identifier: MIT */
/* /proc/self/stat, the auxiliary vector, limits and sysctls. */
#include "process.h"

#include <elf.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "arena.h"
#include "modules.h"
#include "proc_lines.h"
#include "rules.h"
#include "sys.h"

#include "no_heap.h"

#ifndef PR_GET_MEMORY_MERGE
#define PR_GET_MEMORY_MERGE 68
#endif

#define NR_ARGV 64
#define ARGV_BYTES 4096
#define NR_AUXV 64

static char argv_text[ARGV_BYTES];	/* NUL-terminated, one behind the other */
static int nr_argv;
static bool argv_cut;
static Elf64_auxv_t auxv[NR_AUXV];
static int nr_auxv;

void process_init(int argc, char **argv, char **envp)
{
	const Elf64_auxv_t *aux;
	size_t used = 0, len;

	for (; nr_argv < argc && nr_argv < NR_ARGV; nr_argv++) {
		len = strlen(argv[nr_argv]) + 1;
		if (len > sizeof(argv_text) - used)
			break;
		memcpy(argv_text + used, argv[nr_argv], len);
		used += len;
	}
	argv_cut = nr_argv < argc;
	for (; envp && *envp; envp++)
		;
	for (aux = envp ? (const void *)(envp + 1) : NULL;
	     aux && aux->a_type != AT_NULL && nr_auxv < NR_AUXV; aux++)
		auxv[nr_auxv++] = *aux;
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
	char text[32];

	return sys_read_file(path, text, sizeof(text)) > 0 ? proc_digits(text) : otherwise;
}

/* Field @nr (from 1, as proc(5) counts) of the text behind the command's closing bracket. */
static uint64_t stat_field(const char *text, int nr)
{
	const char *s = strrchr(text, ')');
	int i;

	for (i = 2; s && i < nr; i++)
		s = strchr(s + 1, ' ');
	return s ? proc_digits(s + 1) : 0;
}

/* CAP_IPC_LOCK makes RLIMIT_MEMLOCK void (capabilities(7)). */
static bool may_lock_all(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (sys_call(SYS_capget, (long)&header, (long)data, 0, 0, 0, 0))
		return false;
	return data[0].effective & 1u << CAP_IPC_LOCK;
}

static bool update_limit(int resource, uint64_t *limit)
{
	uint64_t now = *limit;
	bool changed;

	if (resource == RLIMIT_MEMLOCK && may_lock_all())
		now = RLIM_INFINITY;
	else
		sys_getrlimit(resource, &now);
	changed = now != *limit;
	*limit = now;
	return changed;
}

bool process_update_limits(struct mm *mm)
{
	bool changed = update_limit(RLIMIT_AS, &mm->rlimit_as);

	changed |= update_limit(RLIMIT_DATA, &mm->rlimit_data);
	changed |= update_limit(RLIMIT_STACK, &mm->rlimit_stack);
	changed |= update_limit(RLIMIT_MEMLOCK, &mm->rlimit_memlock);
	return changed;
}

void process_fill_mm(struct mm *mm)
{
	static uint32_t rules;
	static uint64_t task_size;
	char text[1024];

	if (sys_read_file("/proc/self/stat", text, sizeof(text)) > 0) {
		mm->start_code = stat_field(text, 26);
		mm->end_code = stat_field(text, 27);
		mm->start_stack = stat_field(text, 28);
		mm->start_data = stat_field(text, 45);
		mm->end_data = stat_field(text, 46);
		mm->start_brk = stat_field(text, 47);
		mm->arg_start = stat_field(text, 48);
		mm->arg_end = stat_field(text, 49);
		mm->env_start = stat_field(text, 50);
		mm->env_end = stat_field(text, 51);
	}
	mm->brk = sys_brk(0);
	/* exec maps the loader right below mmap_base (mm/util.c: mmap_base()). */
	mm->mmap_base = modules_loader_end();
	mm->mmap_min_addr = read_number("/proc/sys/vm/mmap_min_addr", 65536);
	mm->max_map_count = (uint32_t)read_number("/proc/sys/vm/max_map_count", 65530);
	process_update_limits(mm);
	/* The kernel's own: a fork child's are its parent's. */
	if (!rules) {
		rules = rules_probe();
		task_size = rules_task_size();
	}
	mm->task_size = task_size;
	mm->rules = rules | rules_settings();
	mm->ksm_merge_any = sys_call(SYS_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0, 0) == 1;
}

static void put_limit(struct jsonw *w, const char *key, uint64_t limit)
{
	if (limit == RLIM_INFINITY)
		jsonw_null(w, key);
	else
		jsonw_num(w, key, (int64_t)limit);
}

void process_put_limits(struct jsonw *w, const char *key, const struct mm *mm)
{
	jsonw_object(w, key);
	put_limit(w, "as", mm->rlimit_as);
	put_limit(w, "data", mm->rlimit_data);
	put_limit(w, "stack", mm->rlimit_stack);
	put_limit(w, "memlock", mm->rlimit_memlock);
	jsonw_object_end(w);
}

static void put_mm(struct jsonw *w, const struct mm *mm)
{
	jsonw_object(w, "mm");
	jsonw_hex(w, "start_code", mm->start_code);
	jsonw_hex(w, "end_code", mm->end_code);
	jsonw_hex(w, "start_data", mm->start_data);
	jsonw_hex(w, "end_data", mm->end_data);
	jsonw_hex(w, "start_brk", mm->start_brk);
	jsonw_hex(w, "brk", mm->brk);
	jsonw_hex(w, "start_stack", mm->start_stack);
	jsonw_hex(w, "arg_start", mm->arg_start);
	jsonw_hex(w, "arg_end", mm->arg_end);
	jsonw_hex(w, "env_start", mm->env_start);
	jsonw_hex(w, "env_end", mm->env_end);
	jsonw_hex(w, "mmap_base", mm->mmap_base);
	jsonw_hex(w, "mmap_min_addr", mm->mmap_min_addr);
	jsonw_hex(w, "task_size", mm->task_size);
	jsonw_object_end(w);
}

static void put_auxv(struct jsonw *w)
{
	static const struct {
		uint64_t type;
		const char *name;
	} names[] = {
		{ AT_PHDR, "AT_PHDR" }, { AT_PHENT, "AT_PHENT" }, { AT_PHNUM, "AT_PHNUM" },
		{ AT_PAGESZ, "AT_PAGESZ" }, { AT_BASE, "AT_BASE" }, { AT_FLAGS, "AT_FLAGS" },
		{ AT_ENTRY, "AT_ENTRY" }, { AT_UID, "AT_UID" }, { AT_EUID, "AT_EUID" },
		{ AT_GID, "AT_GID" }, { AT_EGID, "AT_EGID" }, { AT_CLKTCK, "AT_CLKTCK" },
		{ AT_HWCAP, "AT_HWCAP" }, { AT_HWCAP2, "AT_HWCAP2" }, { AT_SECURE, "AT_SECURE" },
		{ AT_RANDOM, "AT_RANDOM" }, { AT_EXECFN, "AT_EXECFN" },
		{ AT_PLATFORM, "AT_PLATFORM" }, { AT_SYSINFO_EHDR, "AT_SYSINFO_EHDR" },
		{ AT_MINSIGSTKSZ, "AT_MINSIGSTKSZ" },
	};
	char number[24];
	size_t k;
	int i;

	jsonw_object(w, "auxv");
	for (i = 0; i < nr_auxv; i++) {
		const char *name = NULL;

		for (k = 0; k < sizeof(names) / sizeof(names[0]) && !name; k++)
			name = names[k].type == auxv[i].a_type ? names[k].name : NULL;
		if (!name) {
			number[jsonw_put_num(number, (int64_t)auxv[i].a_type)] = '\0';
			name = number;
		}
		jsonw_hex(w, name, auxv[i].a_un.a_val);
	}
	jsonw_object_end(w);
}

void process_put(struct jsonw *w, const struct mm *mm)
{
	static char exe[4096];
	struct utsname uts;
	const char *arg = argv_text;
	int i;

	if (sys_readlink("/proc/self/exe", exe, sizeof(exe)) > 0)
		jsonw_str(w, "exe", exe);
	else
		jsonw_null(w, "exe");
	jsonw_array(w, "argv");
	for (i = 0; i < nr_argv; i++, arg += strlen(arg) + 1)
		jsonw_str(w, NULL, arg);
	jsonw_array_end(w);
	if (argv_cut)
		jsonw_bool(w, "argv_cut", true);
	sys_call(SYS_uname, (long)&uts, 0, 0, 0, 0, 0);
	jsonw_object(w, "kernel");
	jsonw_str(w, "release", uts.release);
	jsonw_str(w, "machine", uts.machine);
	jsonw_object_end(w);
	jsonw_num(w, "page_size", MM_PAGE_SIZE);
	jsonw_num(w, "rules", mm->rules);
	jsonw_num(w, "max_map_count", mm->max_map_count);
	process_put_limits(w, "limits", mm);
	put_mm(w, mm);
	put_auxv(w);
}
