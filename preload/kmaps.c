/* SPDX-License-Identifier: MIT */
/* PROCMAP_QUERY where it exists, the text of /proc/self/maps where not. */
#include "kmaps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <string.h>
#include <sys/syscall.h>

#include "fds.h"
#include "sys.h"

#include "no_heap.h"

/* From linux/fs.h of 6.11, which Debian 12 does not ship yet. */
struct procmap_query {
	__u64 size, query_flags, query_addr;
	__u64 vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	__u32 dev_major, dev_minor, vma_name_size, build_id_size;
	__u64 vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_IOCTL _IOWR('f', 17, struct procmap_query)
#define PROCMAP_QUERY_COVERING_OR_NEXT 0x10
#define PROCMAP_READABLE 1
#define PROCMAP_WRITABLE 2
#define PROCMAP_EXECUTABLE 4
#define PROCMAP_SHARED 8

#define TEXT_BUF 16384	/* at least three lines of MAPS_LINE_MAX */

static int maps_fd = -1;
static bool has_query;
static char text[TEXT_BUF];	/* under the capture lock */

static int query(uint64_t addr, struct vma_desc *ret, char *name, size_t name_size)
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT,
		.query_addr = addr,
		.vma_name_addr = (uint64_t)(uintptr_t)name,
		.vma_name_size = name ? (__u32)name_size : 0,
	};
	int err = sys_ioctl(fds_now(maps_fd), PROCMAP_QUERY_IOCTL, &q);
	size_t i, len, grow;

	if (err)
		return err;
	*ret = (struct vma_desc){
		.vm_start = q.vma_start, .vm_end = q.vma_end, .offset = q.vma_offset,
		.dev_major = q.dev_major, .dev_minor = q.dev_minor, .inode = q.inode,
		.name = name,
	};
	ret->vm_flags = (q.vma_flags & PROCMAP_READABLE ? VM_READ : 0) |
			(q.vma_flags & PROCMAP_WRITABLE ? VM_WRITE : 0) |
			(q.vma_flags & PROCMAP_EXECUTABLE ? VM_EXEC : 0) |
			(q.vma_flags & PROCMAP_SHARED ? VM_MAYSHARE | VM_SHARED : 0);
	if (!name)
		return 0;
	len = q.vma_name_size ? q.vma_name_size - 1 : 0;
	name[len] = '\0';
	/* The text of maps writes a newline as \012; the ioctl gives the raw byte. */
	for (i = 0; i < len; i++) {
		grow = sizeof("\\012") - 2;
		if (name[i] != '\n' || len + grow + 1 > name_size)
			continue;
		memmove(name + i + 4, name + i + 1, len - i);
		memcpy(name + i, "\\012", 4);
		len += grow;
	}
	return 0;
}

int kmaps_init(bool text_only)
{
	struct vma_desc desc;
	int fd;

	if (maps_fd >= 0)
		fds_close(maps_fd);
	maps_fd = -1;
	fd = fds_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	maps_fd = fd;
	has_query = !text_only && !query(0, &desc, NULL, 0);
	return 0;
}

bool kmaps_has_query(void)
{
	return has_query;
}

bool kmaps_is_allowed(void)
{
	const long request[6] = { fds_now(maps_fd), PROCMAP_QUERY_IOCTL };
	const long read[6] = { fds_now(maps_fd) };

	if (!sys_filter)
		return true;
	return has_query ? sys_filter(SYS_ioctl, request) : sys_filter(SYS_pread64, read);
}

void kmaps_use_text(void)
{
	has_query = false;
}

/* The program may have closed our descriptor behind the hooks' back. */
static int reopen(int err)
{
	if (err != -EBADF && err != -ENOTTY && err != -ESRCH)
		return err;
	fds_forget(maps_fd);
	maps_fd = fds_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	return maps_fd < 0 ? maps_fd : 0;
}

static int walk_query(uint64_t start, uint64_t end,
		      int (*visit)(const struct vma_desc *desc, void *ctx), void *ctx)
{
	static char name[MAPS_LINE_MAX];
	struct vma_desc desc;
	int err;

	while (start < end) {
		err = query(start, &desc, name, sizeof(name));
		if (err == -ENOENT || (!err && desc.vm_start >= end))
			return 0;
		if (err && (!reopen(err) && !query(start, &desc, name, sizeof(name))))
			err = 0;
		if (!err)
			err = visit(&desc, ctx);
		if (err)
			return err;
		start = desc.vm_end;
	}
	return 0;
}

/* Parses the whole lines of text[0, len). Return: bytes used, or the visitor's word in *ret. */
static size_t walk_lines(size_t len, uint64_t start, uint64_t end, int *ret,
			 int (*visit)(const struct vma_desc *desc, void *ctx), void *ctx)
{
	static char name[MAPS_LINE_MAX];
	struct vma_desc desc;
	size_t used = 0;
	char *eol;

	while (!*ret && (eol = memchr(text + used, '\n', len - used))) {
		size_t n = (size_t)(eol - (text + used)) + 1;

		if (!maps_parse_line(text + used, n, &desc, name, sizeof(name)) &&
		    desc.vm_end > start && desc.vm_start < end && strcmp(name, "[vsyscall]"))
			*ret = visit(&desc, ctx);
		used += n;
	}
	return used;
}

static int walk_text(uint64_t start, uint64_t end,
		     int (*visit)(const struct vma_desc *desc, void *ctx), void *ctx)
{
	size_t len = 0, used;
	off_t pos = 0;
	ssize_t n;
	int ret = 0;

	/*
	 * A read of maps continues at an address: what changes below it meanwhile is not seen,
	 * which is as good as not atomic text gets.
	 */
	while ((n = sys_pread(fds_now(maps_fd), text + len, sizeof(text) - len, pos)) != 0) {
		if (n < 0 && (pos || reopen((int)n)))
			return (int)n;
		if (n < 0)
			continue;
		pos += n;
		len += (size_t)n;
		used = walk_lines(len, start, end, &ret, visit, ctx);
		if (ret)
			return ret;
		memmove(text, text + used, len - used);
		len -= used;
	}
	return 0;
}

int kmaps_walk(uint64_t start, uint64_t end, int (*visit)(const struct vma_desc *desc, void *ctx),
	       void *ctx)
{
	return has_query ? walk_query(start, end, visit, ctx) : walk_text(start, end, visit, ctx);
}

struct first {
	struct vma_desc *desc;
	char *name;
	size_t name_size;
};

static int take_first(const struct vma_desc *desc, void *ctx)
{
	struct first *first = ctx;
	size_t len = desc->name ? strlen(desc->name) : 0;

	*first->desc = *desc;
	first->desc->name = first->name;
	if (first->name) {
		if (len >= first->name_size)
			len = first->name_size - 1;
		memcpy(first->name, desc->name, len);
		first->name[len] = '\0';
	}
	return 1;
}

int kmaps_query(uint64_t addr, struct vma_desc *ret_desc, char *name, size_t name_size)
{
	struct first first = { ret_desc, name, name_size };
	int err;

	if (has_query) {
		err = query(addr, ret_desc, name, name_size);
		if (err && err != -ENOENT && !reopen(err))
			err = query(addr, ret_desc, name, name_size);
		return err;
	}
	err = walk_text(addr, ~0ull, take_first, &first);
	return err == 1 ? 0 : err ? err : -ENOENT;
}
