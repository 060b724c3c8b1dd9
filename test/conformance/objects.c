/* SPDX-License-Identifier: MIT */
/* Files of many kinds and shared memory segments, opened once and mapped by all generators. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"
#include "touch.h"

#define XFS_MAGIC 0x58465342
#define FILE_PAGES 64

struct objects objects = { .sink = -1, .zero = -1, .mem = -1, .self = -1 };

static char kept_path[64], shm_path[64];

/* File systems whose get_unmapped_area is thp_get_unmapped_area. */
static bool aligns_for_thp(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_MAGIC ||
				     fs.f_type == BTRFS_SUPER_MAGIC);
}

static int add_file(int fd, const char *name)
{
	struct file_info *file = &objects.files[objects.nr_files];
	struct statvfs fs;

	if (fd < 0)
		return -errno;
	objects.nr_files++;
	file->fd = fd;
	file->name = name;
	file->no_write = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
	file->no_exec = !fstatvfs(fd, &fs) && (fs.f_flag & ST_NOEXEC);
	file->thp_align = aligns_for_thp(fd);
	return 0;
}

/* As a file that may be truncated: @name's bytes are of no use to anybody. */
static int add_own_file(int fd, const char *name)
{
	int err = add_file(fd, name);

	if (err)
		return err;
	objects.files[objects.nr_files - 1].may_truncate = true;
	return ftruncate(fd, FILE_PAGES * PAGE) ? -errno : 0;
}

static int open_files(void)
{
	char gone_path[64];
	int err, fd;

	snprintf(gone_path, sizeof(gone_path), "vmtrace-conformance.%d.gone", getpid());
	snprintf(kept_path, sizeof(kept_path), "vmtrace-conformance.%d.kept", getpid());
	snprintf(shm_path, sizeof(shm_path), "/vmtrace-conformance.%d", getpid());
	err = add_own_file(open(gone_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "gone");
	if (err)
		return err;
	add_file(open(gone_path, O_RDWR | O_CLOEXEC), "gone, again");
	add_file(open(gone_path, O_RDONLY | O_CLOEXEC), "gone, O_RDONLY");
	unlink(gone_path);
	fd = memfd_create("one two", MFD_CLOEXEC);
	err = add_own_file(fd, "memfd");
	if (err)
		return err;
	add_file(dup(fd), "dup of memfd");
	add_file(open("/dev/zero", O_RDWR | O_CLOEXEC), "/dev/zero");
	add_file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "/proc/self/exe");
	add_own_file(open(kept_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "kept");
	add_own_file(shm_open(shm_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "shm_open");
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (!add_file(fd, "memfd, MFD_HUGETLB")) {
		objects.files[objects.nr_files - 1].is_hugetlb = true;
		if (ftruncate(fd, 4 << 21))
			return -errno;
	}
	return 0;
}

void objects_forked(void)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	/* The old number, if there is one. */
	objects.mem = objects.mem < 0 ? mem : dup3(mem, objects.mem, O_CLOEXEC);
	objects.self = objects.self < 0 ? self : dup3(self, objects.self, O_CLOEXEC);
	if (mem != objects.mem)
		close(mem);
	if (self != objects.self)
		close(self);
}

int objects_init(void)
{
	static const uint64_t sizes[NR_SEGMENTS] = { PAGE, 4 * PAGE, 9 * PAGE };
	int err = open_files();

	if (err)
		return err;
	objects.sink = memfd_create("sink", MFD_CLOEXEC);
	objects.zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < NR_SEGMENTS; i++) {
		objects.segment_bytes[i] = sizes[i];
		objects.segments[i] = shmget(IPC_PRIVATE, sizes[i], IPC_CREAT | 0666);
	}
	objects_forked();
	touch_init();
	return objects.sink < 0 || objects.zero < 0 ? -EMFILE : 0;
}

void objects_fini(void)
{
	for (int i = 0; i < NR_SEGMENTS; i++)
		if (objects.segments[i] >= 0)
			shmctl(objects.segments[i], IPC_RMID, NULL);
	unlink(kept_path);
	shm_unlink(shm_path);
}
