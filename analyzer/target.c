/* SPDX-License-Identifier: MIT */
/*
 * Judges a program before it is started: can the dynamic loader put libvmtrace.so into it?
 *
 * It can't in a static program (no loader runs), in one of another architecture or another C
 * library (the loader is not ours), and in one that gains privileges (the loader ignores
 * LD_PRELOAD). Nothing about an architecture stands here: the launcher was built for the one that
 * the library was built for, so its own ELF header and its own loader are what is compared with.
 */
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Scripts of scripts that the kernel follows before a program must come (exec_binprm()). */
#define SCRIPTS_MAX 5
/* Bytes of a file that the kernel looks at for a `#!` line (BINPRM_BUF_SIZE). */
#define SCRIPT_LINE_MAX 256

struct reason {
	char *text;
	size_t size;
};

/* What of an ELF file decides. */
struct elf_facts {
	unsigned char class, data;
	Elf64_Half machine;
	char loader[PATH_MAX]; /* PT_INTERP, empty if there is none */
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reason *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why->text, why->size, format, args);
	va_end(args);
	return -1;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Finds what execvp() would run. */
static int target_find(const char *name, char *ret_path, struct reason *why)
{
	const char *path = getenv("PATH"), *end;
	char first[PATH_MAX] = "";
	struct stat st;

	if (!*name)
		return refuse(why, "the program's name is empty");
	if (strchr(name, '/')) {
		if (strlen(name) >= PATH_MAX || stat(name, &st) < 0)
			return refuse(why, "%s: %s", name, strerror(errno));
		if (!S_ISREG(st.st_mode))
			return refuse(why, "%s: not a program but %s", name,
				      S_ISDIR(st.st_mode) ? "a directory" : "a special file");
		if (access(name, X_OK) < 0)
			return refuse(why, "%s: not executable: %s", name, strerror(errno));
		strcpy(ret_path, name);
		return 0;
	}
	for (path = path ? path : "/bin:/usr/bin"; path; path = *end ? end + 1 : NULL) {
		char file[PATH_MAX];
		int length;

		end = strchrnul(path, ':');
		length = snprintf(file, sizeof(file), "%.*s%s%s", (int)(end - path), path,
				  end > path ? "/" : "./", name);
		if (length >= (int)sizeof(file))
			continue;
		if (is_program(file)) {
			strcpy(ret_path, file);
			return 0;
		}
		if (!*first && stat(file, &st) == 0 && S_ISREG(st.st_mode))
			strcpy(first, file);
	}
	if (*first)
		return refuse(why, "%s: not executable", first);
	return refuse(why, "%s: not found in PATH", name);
}

/* Reads PT_INTERP of a file of our own class and byte order. */
static void elf_read_loader(int fd, const Elf64_Ehdr *header, struct elf_facts *facts)
{
	for (Elf64_Half i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)header->e_phoff + (off_t)i * header->e_phentsize;
		ssize_t length;

		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
			return;
		if (segment.p_type != PT_INTERP)
			continue;
		if (segment.p_filesz >= sizeof(facts->loader))
			return;
		length = pread(fd, facts->loader, segment.p_filesz, (off_t)segment.p_offset);
		facts->loader[length < 0 ? 0 : length] = '\0';
		return;
	}
}

static void elf_read(int fd, struct elf_facts *facts)
{
	Elf64_Ehdr header = {0};

	*facts = (struct elf_facts){0};
	if (pread(fd, &header, sizeof(header), 0) < (ssize_t)sizeof(Elf32_Ehdr))
		return;
	/* e_machine lies at the same place in both classes. */
	facts->class = header.e_ident[EI_CLASS];
	facts->data = header.e_ident[EI_DATA];
	facts->machine = header.e_machine;
	if (facts->class == ELFCLASS64)
		elf_read_loader(fd, &header, facts);
}

static int elf_read_own(struct elf_facts *facts)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	elf_read(fd, facts);
	close(fd);
	return 0;
}

/* As the kernel decides on AT_SECURE (bprm_fill_uid(), cap_bprm_creds_from_file()). */
static int privileges_check(const char *path, int fd, const struct stat *st, struct reason *why)
{
	struct statvfs fs;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	    (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_NOSUID))
		return 0;
	if (st->st_mode & S_ISUID && st->st_uid != getuid())
		return refuse(why,
			      "%s: setuid: the loader preloads nothing into a program that "
			      "changes its user",
			      path);
	if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getgid())
		return refuse(why,
			      "%s: setgid: the loader preloads nothing into a program that "
			      "changes its group",
			      path);
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return refuse(why,
			      "%s: has file capabilities: the loader preloads nothing into a "
			      "program that gains privileges",
			      path);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int elf_check(const char *path, int fd, struct reason *why)
{
	struct elf_facts own, its;
	struct stat st;

	if (elf_read_own(&own) < 0)
		return 0;
	elf_read(fd, &its);
	if (its.class != own.class)
		return refuse(why, "%s: a %s-bit program; libvmtrace.so is a %s-bit library", path,
			      its.class == ELFCLASS32 ? "32" : "64",
			      own.class == ELFCLASS32 ? "32" : "64");
	if (its.data != own.data || its.machine != own.machine)
		return refuse(why, "%s: for another architecture (ELF machine %u, not %u)", path,
			      its.machine, own.machine);
	if (!*its.loader)
		return refuse(why,
			      "%s: statically linked: no dynamic loader runs that could "
			      "preload anything",
			      path);
	if (strcmp(base_name(its.loader), base_name(own.loader)) != 0)
		return refuse(why, "%s: for another C library: its loader is %s, not %s", path,
			      its.loader, base_name(own.loader));
	if (fstat(fd, &st) < 0)
		return 0;
	return privileges_check(path, fd, &st, why);
}

/* Cuts the interpreter's path out of a `#!` line, as load_script() does. */
static int script_interpreter(char *line, char *ret_path)
{
	char *start = line + 2 + strspn(line + 2, " \t");
	size_t length = strcspn(start, " \t\n");

	if (!length || length >= PATH_MAX)
		return -ENOEXEC;
	memcpy(ret_path, start, length);
	ret_path[length] = '\0';
	return 0;
}

int target_check(const char *name, char *ret_why, size_t size)
{
	struct reason why = {ret_why, size};
	char path[PATH_MAX], head[SCRIPT_LINE_MAX + 1];
	int result = -1;

	if (target_find(name, path, &why) < 0)
		return -1;
	for (int depth = 0; depth <= SCRIPTS_MAX; depth++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length;

		if (fd < 0)
			return errno == EACCES && depth == 0
				       ? 0
				       : refuse(&why, "%s: %s", path, strerror(errno));
		length = pread(fd, head, SCRIPT_LINE_MAX, 0);
		head[length < 0 ? 0 : length] = '\0';
		if (length >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
			result = elf_check(path, fd, &why);
			close(fd);
			return result;
		}
		close(fd);
		/* Neither ELF nor `#!`: execvp() hands it to the shell. */
		if (strncmp(head, "#!", 2) != 0)
			strcpy(path, "/bin/sh");
		else if (script_interpreter(head, path) < 0)
			return refuse(&why, "%s: its #! line names no interpreter", name);
		if (!is_program(path))
			return refuse(&why, "%s: its interpreter %s is not there or not executable",
				      name, path);
	}
	return refuse(&why, "%s: its interpreter is a script of a script, too deep", name);
}
