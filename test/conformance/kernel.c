/* SPDX-License-Identifier: MIT */
/* Reading /proc/self: see kernel.h. */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.11; missing from older headers. */
struct procmap_query_arg {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};

#define PROCMAP_QUERY_ _IOWR('f', 17, struct procmap_query_arg)
#define PROCMAP_COVERING_OR_NEXT 0x10

static char text[8 << 20];
static int maps_fd = -1;

int kernel_open(void)
{
	if (maps_fd >= 0)
		close(maps_fd);
	maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	return maps_fd < 0 ? -errno : 0;
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t used = 0;

	while (used < size - 1) {
		ssize_t n = read(fd, buf + used, size - 1 - used);

		if (n < 0)
			return -errno;
		if (!n)
			break;
		used += n;
	}
	buf[used] = '\0';
	return used;
}

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read_all(fd, buf, size);
	close(fd);
	return n;
}

const char *kernel_maps(size_t *ret_len)
{
	ssize_t n;
	char *last;

	lseek(maps_fd, 0, SEEK_SET);
	n = read_all(maps_fd, text, sizeof(text));
	if (n < 0)
		n = 0;
	text[n] = '\0';
	last = n ? memrchr(text, '\n', n - 1) : NULL;
	if (last && strstr(last, "[vsyscall]")) {
		n = last + 1 - text;
		text[n] = '\0';
	}
	*ret_len = n;
	return text;
}

static int query_next(uint64_t addr, struct kernel_vma *vma)
{
	struct procmap_query_arg q = {
		.size = sizeof(q),
		.query_flags = PROCMAP_COVERING_OR_NEXT,
		.query_addr = addr,
		.vma_name_addr = (uintptr_t)vma->name,
		.vma_name_size = sizeof(vma->name),
	};

	if (ioctl(maps_fd, PROCMAP_QUERY_, &q) < 0)
		return -errno;
	if (!q.vma_name_size)
		vma->name[0] = '\0';
	vma->desc = (struct vma_desc) {
		.vm_start = q.vma_start,
		.vm_end = q.vma_end,
		.vm_flags = (q.vma_flags & 7) | (q.vma_flags & 8 ? VM_SHARED | VM_MAYSHARE : 0),
		.offset = q.vma_offset,
		.dev_major = q.dev_major,
		.dev_minor = q.dev_minor,
		.inode = q.inode,
		.name = vma->name,
	};
	return 0;
}

bool kernel_has_query(void)
{
	static struct kernel_vma vma;

	return query_next(0, &vma) == 0;
}

int kernel_next(uint64_t addr, bool query, struct kernel_vma *ret_vma)
{
	const char *line, *end;
	size_t len;

	if (query)
		return query_next(addr, ret_vma);
	line = kernel_maps(&len);
	end = line + len;
	while (line < end) {
		const char *eol = memchr(line, '\n', end - line);
		size_t n = (eol ? eol + 1 : end) - line;

		if (maps_parse_line(line, n, &ret_vma->desc, ret_vma->name, KERNEL_NAME_MAX))
			return -EINVAL;
		if (ret_vma->desc.vm_end > addr)
			return 0;
		line += n;
	}
	return -ENOENT;
}

static uint64_t flag_by_name(const char *two)
{
	static const struct { char name[3]; uint64_t flag; } table[] = {
		{ "rd", VM_READ }, { "wr", VM_WRITE }, { "ex", VM_EXEC }, { "sh", VM_SHARED },
		{ "mr", VM_MAYREAD }, { "mw", VM_MAYWRITE }, { "me", VM_MAYEXEC },
		{ "ms", VM_MAYSHARE }, { "gd", VM_GROWSDOWN }, { "pf", VM_PFNMAP },
		{ "lo", VM_LOCKED }, { "io", VM_IO }, { "sr", VM_SEQ_READ },
		{ "rr", VM_RAND_READ }, { "dc", VM_DONTCOPY }, { "de", VM_DONTEXPAND },
		{ "lf", VM_LOCKONFAULT }, { "ac", VM_ACCOUNT }, { "nr", VM_NORESERVE },
		{ "ht", VM_HUGETLB }, { "sf", VM_SYNC }, { "wf", VM_WIPEONFORK },
		{ "dd", VM_DONTDUMP }, { "sd", VM_SOFTDIRTY }, { "mm", VM_MIXEDMAP },
		{ "hg", VM_HUGEPAGE }, { "nh", VM_NOHUGEPAGE }, { "mg", VM_MERGEABLE },
		{ "um", VM_UFFD_MISSING }, { "uw", VM_UFFD_WP }, { "ui", VM_UFFD_MINOR },
		{ "dp", VM_DROPPABLE }, { "sl", VM_SEALED }, { "gu", VM_MAYBE_GUARD },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!memcmp(table[i].name, two, 2))
			return table[i].flag;
	return 0;
}

/* smaps: a maps line, then "Key: value" lines, the last of which is VmFlags. */
static int insert_from_smaps(struct mm *mm)
{
	static char smaps[4 << 20];
	static struct kernel_vma vma;
	ssize_t n = read_file("/proc/self/smaps", smaps, sizeof(smaps));
	bool have = false;

	if (n < 0)
		return n;
	for (char *line = smaps, *next; *line; line = next) {
		next = strchr(line, '\n');
		if (!next)
			break;
		next++;
		if (!strncmp(line, "Anonymous:", 10)) {
			vma.desc.anon_vma = strtoul(line + 10, NULL, 10) > 0;
		} else if (!strncmp(line, "VmFlags:", 8)) {
			vma.desc.vm_flags = 0;
			for (char *p = line + 9; p + 2 < next; p += 3)
				vma.desc.vm_flags |= flag_by_name(p);
			vma.desc.flags_known = true;
			if (have && strcmp(vma.name, "[vsyscall]") && mm_insert(mm, &vma.desc))
				return -ENOMEM;
		} else if (line[0] < 'A' || line[0] > 'Z') {
			have = !maps_parse_line(line, next - line, &vma.desc, vma.name,
						KERNEL_NAME_MAX);
		}
	}
	return 0;
}

static void read_stat(struct mm *mm)
{
	static char stat[4096];
	uint64_t *const fields[53] = {
		[26] = &mm->start_code, [27] = &mm->end_code, [28] = &mm->start_stack,
		[45] = &mm->start_data, [46] = &mm->end_data, [47] = &mm->start_brk,
		[48] = &mm->arg_start, [49] = &mm->arg_end, [50] = &mm->env_start,
		[51] = &mm->env_end,
	};
	const char *p;

	if (read_file("/proc/self/stat", stat, sizeof(stat)) <= 0)
		return;
	p = strrchr(stat, ')') + 2;
	for (int i = 3; i < 53; i++) {
		if (fields[i])
			*fields[i] = strtoull(p, NULL, 10);
		p = strchr(p, ' ');
		if (!p)
			return;
		p++;
	}
}

static uint64_t limit(int which)
{
	struct rlimit r;

	if (getrlimit(which, &r) || r.rlim_cur == RLIM_INFINITY)
		return ~0ull;
	return r.rlim_cur;
}

uint64_t kernel_memlock_limit(void)
{
	return geteuid() ? limit(RLIMIT_MEMLOCK) : ~0ull;
}

static uint64_t read_number(const char *path)
{
	char buf[64];

	return read_file(path, buf, sizeof(buf)) > 0 ? strtoull(buf, NULL, 10) : 0;
}

int kernel_snapshot(struct mm *mm)
{
	struct kernel_status status;
	char thp[64];
	int err = insert_from_smaps(mm);

	if (err)
		return err;
	read_stat(mm);
	mm->brk = syscall(SYS_brk, 0);
	/* A dynamic program's loader was the first thing mapped: it ends at mmap_base. */
	for (const struct vma *vma = mm->last; vma; vma = vma->vm_prev) {
		const char *name = vma_name(mm, vma);

		if (name[0] == '[' && strcmp(name, "[heap]"))
			continue;
		mm->mmap_base = vma->vm_end;
		break;
	}
	mm->max_map_count = read_number("/proc/sys/vm/max_map_count");
	/* A security module's own minimum (65536 by default) isn't shown anywhere. */
	if (read_number("/proc/sys/vm/mmap_min_addr") > mm->mmap_min_addr)
		mm->mmap_min_addr = read_number("/proc/sys/vm/mmap_min_addr");
	mm->rlimit_as = limit(RLIMIT_AS);
	mm->rlimit_stack = limit(RLIMIT_STACK);
	mm->rlimit_memlock = kernel_memlock_limit();
	if (read_file("/sys/kernel/mm/transparent_hugepage/enabled", thp, sizeof(thp)) > 0 &&
	    !strstr(thp, "[always]"))
		mm->rules |= MM_RULE_THP_MADVISE;
	if (!kernel_status(&status))
		mm->hiwater_vm = status.peak;
	return 0;
}

static uint64_t status_pages(const char *buf, const char *key)
{
	const char *p = strstr(buf, key);

	return p ? strtoull(p + strlen(key), NULL, 10) / (MM_PAGE_SIZE / 1024) : 0;
}

int kernel_status(struct kernel_status *ret_status)
{
	static char buf[8192];
	ssize_t n = read_file("/proc/self/status", buf, sizeof(buf));

	if (n < 0)
		return n;
	*ret_status = (struct kernel_status) {
		.peak = status_pages(buf, "VmPeak:"),
		.size = status_pages(buf, "VmSize:"),
		.locked = status_pages(buf, "VmLck:"),
		.data = status_pages(buf, "VmData:"),
		.stack = status_pages(buf, "VmStk:"),
		.exe = status_pages(buf, "VmExe:"),
		.lib = status_pages(buf, "VmLib:"),
	};
	return 0;
}
