/* SPDX-License-Identifier: MIT */
/* What only the kernel knows about a call: asked right after it. */
#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "capture.h"
#include "jsonw.h"
#include "kmaps.h"
#include "proc_lines.h"
#include "sys.h"

#include "no_heap.h"

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
	capture_note_registered(fd);
}

/* Does the pidfd stand for this process, or one of its threads? */
static bool is_own_process(int pidfd)
{
	char path[48] = "/proc/self/fdinfo/", text[512];
	const char *s;
	long pid;

	/* PIDFD_SELF_THREAD, PIDFD_SELF_THREAD_GROUP */
	if (pidfd == -10000 || pidfd == -10001)
		return true;
	if (pidfd < 0)
		return false;
	path[18 + jsonw_put_num(path + 18, pidfd)] = '\0';
	if (sys_read_file(path, text, sizeof(text)) <= 0)
		return false;
	s = strstr(text, "\nPid:\t");
	pid = s ? (long)proc_digits(s + 6) : 0;
	return pid && !sys_call(SYS_tgkill, sys_getpid(), pid, 0, 0, 0, 0);
}

static void complete_advice(struct event *e)
{
	const uint64_t *arg = e->call.arg;
	struct iovec iov;
	size_t i;

	for (i = 0; i < arg[2] && i < EVENT_NR_RANGES; i++) {
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

/* What the arguments alone don't say. */
void event_complete(struct event *e)
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
void event_resolve(struct event *e)
{
	uint64_t addr = e->effect.start ? e->effect.start - 1 : 0;
	struct vma_desc desc;

	if (!e->effect.uncertain || !kmaps_has_query())
		return;
	while (e->nr_resolved < EVENT_NR_RESOLVED && !kmaps_query(addr, &desc, NULL, 0) &&
	       desc.vm_start <= e->effect.end) {
		if (mm_resolve(&capture_mm, desc.vm_start, desc.vm_end) == 0) {
			e->resolved[e->nr_resolved][0] = desc.vm_start;
			e->resolved[e->nr_resolved++][1] = desc.vm_end;
		}
		addr = desc.vm_end;
	}
	/* The vma the effect pointed to may have been merged away. */
	if (event_is_mmap_like(e->call.op) && !sys_is_err(e->call.ret))
		e->effect.vma = vma_lookup(&capture_mm, (uint64_t)e->call.ret -
					   (e->call.op == MM_BRK ? 1 : 0));
}
