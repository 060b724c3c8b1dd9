/* SPDX-License-Identifier: MIT */
/*
 * The random calls: see calls.h.
 *
 * Most happen in a small window, so that neighbours meet often. The window moves on when sealed
 * vmas have piled up in it. A second, wider one holds mappings that grow downwards.
 */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE MM_PAGE_SIZE
#define WINDOW_PAGES 40
#define STACK_PAGES 2048
#define STACK_BASE 0x200000000000ull
#define NR_FILES 7
#define XFS_MAGIC 0x58465342
#define NR_SEGMENTS 3
#define SEALS_MAX 60

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

struct file_info {
	int fd;
	bool no_write, no_exec, thp_align;
};

static uint64_t rng, window = 0x100000000000ull;
static struct file_info files[NR_FILES];
static int segments[NR_SEGMENTS], sink = -1, zero = -1, nr_seals;
static uint64_t segment_bytes[NR_SEGMENTS], aio_ring, attached[8], floating[24], floating_len[24];
static unsigned int nr_attached, nr_floating;

static uint64_t next_random(void)
{
	uint64_t z = rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
	return next_random() % n;
}

static bool one_in(uint64_t n)
{
	return below(n) == 0;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* File systems whose get_unmapped_area is thp_get_unmapped_area. */
static bool aligns_for_thp(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_MAGIC ||
				     fs.f_type == BTRFS_SUPER_MAGIC);
}

int calls_init(void)
{
	static const uint64_t sizes[NR_SEGMENTS] = { PAGE, 4 * PAGE, 9 * PAGE };
	char path[] = "vmtrace-conformance.tmp";
	struct statvfs fs;
	bool no_exec = false;

	files[0].fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
	if (files[0].fd < 0)
		return files[0].fd;
	files[1].fd = open_file(path, O_RDWR);
	files[2].fd = open_file(path, O_RDONLY);
	files[2].no_write = true;
	unlink(path);
	if (!fstatvfs(files[0].fd, &fs))
		no_exec = fs.f_flag & ST_NOEXEC;
	for (int i = 0; i < 3; i++)
		files[i].no_exec = no_exec;
	files[3].fd = memfd_create("one two", MFD_CLOEXEC);
	files[4].fd = dup(files[3].fd);
	files[5].fd = open_file("/dev/zero", O_RDWR);
	files[5].no_exec = !statvfs("/dev", &fs) && (fs.f_flag & ST_NOEXEC);
	files[6].fd = open_file("/proc/self/exe", O_RDONLY);
	files[6].no_write = true;
	files[6].no_exec = no_exec;
	if (ftruncate(files[0].fd, 64 * PAGE) || ftruncate(files[3].fd, 64 * PAGE))
		return -errno;
	for (int i = 0; i < NR_FILES; i++)
		files[i].thp_align = aligns_for_thp(files[i].fd);
	sink = memfd_create("sink", MFD_CLOEXEC);
	zero = open_file("/dev/zero", O_RDONLY);
	for (int i = 0; i < NR_SEGMENTS; i++) {
		segment_bytes[i] = sizes[i];
		segments[i] = shmget(IPC_PRIVATE, sizes[i], IPC_CREAT | 0666);
	}
	return sink < 0 || zero < 0 ? -EMFILE : 0;
}

void calls_fini(void)
{
	for (int i = 0; i < NR_SEGMENTS; i++)
		if (segments[i] >= 0)
			shmctl(segments[i], IPC_RMID, NULL);
}

static void do_call(struct step *s, long nr, enum mm_op op, const uint64_t arg[6])
{
	register long r10 __asm__("r10") = arg[3];
	register long r8 __asm__("r8") = arg[4];
	register long r9 __asm__("r9") = arg[5];
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	s->kind = STEP_CALL;
	s->call.op = op;
	memcpy(s->call.arg, arg, sizeof(s->call.arg));
	s->call.ret = ret;
}

#define CALL(s, nr, op, ...) do_call(s, nr, op, (const uint64_t[6]) { __VA_ARGS__ })

/* A place in the window: mostly a few whole pages, sometimes nonsense. */
static uint64_t some_addr(void)
{
	uint64_t addr = window + below(WINDOW_PAGES) * PAGE;

	if (one_in(150))
		addr += 1 + below(PAGE - 1);
	return addr;
}

static uint64_t some_len(void)
{
	static const uint64_t odd[] = { 0, 1, PAGE - 1, PAGE + 1, ~0ull, 1ull << 47, 3 * PAGE + 5 };

	if (one_in(80))
		return odd[below(sizeof(odd) / sizeof(odd[0]))];
	if (one_in(12))
		return (1 + below(WINDOW_PAGES)) * PAGE;
	return (1 + below(6)) * PAGE;
}

static uint64_t some_prot(void)
{
	static const uint64_t prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE, PROT_EXEC,
	};

	/* Few kinds, or neighbours would seldom be alike. */
	return prots[one_in(5) ? below(8) : below(4)];
}

static void remember_floating(uint64_t addr, uint64_t len)
{
	if (nr_floating == sizeof(floating) / sizeof(floating[0]))
		return;
	floating[nr_floating] = addr;
	floating_len[nr_floating++] = len;
}

static void step_mmap(struct step *s, bool fixed)
{
	uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS, addr = 0, len = some_len(), off = 0;
	uint64_t kind = below(20), fd = -1;
	const struct file_info *file = NULL;

	if (kind < 5) {
		file = &files[below(NR_FILES)];
		fd = file->fd;
		off = below(6) * PAGE;
		flags = one_in(2) ? MAP_PRIVATE : MAP_SHARED;
		if (one_in(20))
			flags = MAP_SHARED_VALIDATE;
	} else if (kind == 5) {
		flags = MAP_SHARED | MAP_ANONYMOUS;
	} else if (kind == 6 && one_in(3)) {
		flags = MAP_DROPPABLE | MAP_ANONYMOUS;
	}
	if (one_in(12))
		flags |= MAP_NORESERVE;
	if (one_in(15))
		flags |= MAP_POPULATE;
	if (one_in(30))
		flags |= MAP_STACK;
	if (one_in(40))
		flags |= MAP_LOCKED;
	if (one_in(200))
		flags |= MAP_HUGETLB;
	if (fixed) {
		addr = some_addr();
		flags |= one_in(4) ? MAP_FIXED_NOREPLACE : MAP_FIXED;
		if (one_in(60))
			flags |= MAP_GROWSDOWN;
	} else {
		if (one_in(4))
			addr = one_in(3) ? below(1 << 20) : some_addr() + below(PAGE);
		if (one_in(40))
			flags |= MAP_32BIT;
		if (one_in(6))
			len = (1 + below(3)) << 21;
	}
	/* Sometimes the offset continues the file where the address does. */
	if (file && fixed && one_in(2))
		off = (addr - window) & ~(PAGE - 1);
	if (fixed && !file && one_in(3))
		len = len ? len : PAGE;
	CALL(s, SYS_mmap, MM_MMAP, addr, len, some_prot(), flags, fd, off);
	s->wants_file = s->call.ret > 0 && (file || (flags & (MAP_SHARED | MAP_HUGETLB)));
	if (file) {
		s->file.no_write = file->no_write;
		s->file.no_exec = file->no_exec;
		s->file.thp_align = file->thp_align;
	}
	if (!fixed && s->call.ret > 0)
		remember_floating(s->call.ret, len);
}

static void step_munmap(struct step *s)
{
	if (nr_floating && one_in(2)) {
		unsigned int i = below(nr_floating);
		uint64_t addr = floating[i], len = floating_len[i];

		nr_floating--;
		floating[i] = floating[nr_floating];
		floating_len[i] = floating_len[nr_floating];
		CALL(s, SYS_munmap, MM_MUNMAP, addr, len);
		return;
	}
	CALL(s, SYS_munmap, MM_MUNMAP, some_addr(), some_len());
}

static void step_mprotect(struct step *s)
{
	uint64_t prot = some_prot(), addr = some_addr(), len = some_len();

	if (one_in(60))
		prot |= PROT_GROWSDOWN;
	if (one_in(30)) {
		CALL(s, SYS_pkey_mprotect, MM_PKEY_MPROTECT, addr, len, prot,
		     one_in(2) ? -1ull : 0);
		return;
	}
	if (nr_floating && one_in(6)) {
		unsigned int i = below(nr_floating);

		len = floating_len[i];
		addr = floating[i] + below(len / PAGE + 1) * PAGE;
		len = floating[i] + len - addr;
		if (!one_in(3))
			len = len < PAGE ? len : PAGE;
	}
	CALL(s, SYS_mprotect, MM_MPROTECT, addr, len, prot);
}

static void step_mremap(struct step *s)
{
	uint64_t flags = one_in(4) ? 0 : MREMAP_MAYMOVE, len = some_len(), to = 0;
	uint64_t new_len = one_in(2) ? len : some_len(), addr = some_addr();

	if (one_in(2)) {
		flags = MREMAP_MAYMOVE | MREMAP_FIXED;
		to = some_addr();
	}
	if (one_in(5)) {
		flags |= MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
		new_len = len;
	}
	if (one_in(12))
		len = 0;
	CALL(s, SYS_mremap, MM_MREMAP, addr, len, new_len, flags, to);
	if (s->call.ret > 0 && !to && (uint64_t)s->call.ret != addr)
		remember_floating(s->call.ret, new_len);
}

static void step_brk(struct step *s, const struct mm *mm)
{
	uint64_t want = mm->brk + below(9) * PAGE - 4 * PAGE + (one_in(4) ? below(PAGE) : 0);

	if (mm->brk > mm->start_brk + 256 * PAGE)
		want = mm->start_brk + below(4) * PAGE;
	if (one_in(30))
		want = 0;
	CALL(s, SYS_brk, MM_BRK, want);
}

static void step_madvise(struct step *s)
{
	static const int flags[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTFORK, MADV_DOFORK,
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTDUMP, MADV_DODUMP, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_NORMAL, MADV_DODUMP,
	};
	static const int neutral[] = {
		MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_REMOVE,
		22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */, 25 /* COLLAPSE */,
		102 /* GUARD_INSTALL */, 103 /* GUARD_REMOVE */, 12345,
	};
	int advice = one_in(3) ? neutral[below(sizeof(neutral) / sizeof(int))] :
				 flags[below(sizeof(flags) / sizeof(int))];
	uint64_t len = some_len();

	/* Holes don't stop it: an endless range would throw away our own memory. */
	if (len == 1ull << 47)
		len = PAGE;
	CALL(s, SYS_madvise, MM_MADVISE, some_addr(), len, advice);
}

static void step_lock(struct step *s)
{
	uint64_t kind = below(20);

	if (kind < 6)
		CALL(s, SYS_mlock, MM_MLOCK, some_addr(), some_len());
	else if (kind < 9)
		CALL(s, SYS_mlock2, MM_MLOCK2, some_addr(), some_len(), below(3));
	else if (kind < 18)
		CALL(s, SYS_munlock, MM_MUNLOCK, some_addr(), some_len());
	else if (kind == 18 && one_in(6))
		CALL(s, SYS_mlockall, MM_MLOCKALL, 1 + below(7));
	else
		CALL(s, SYS_munlockall, MM_MUNLOCKALL, 0);
}

static void step_seal(struct step *s)
{
	if (nr_seals >= SEALS_MAX) {
		CALL(s, SYS_mseal, MM_MSEAL, some_addr(), some_len(), 1);
		return;
	}
	CALL(s, SYS_mseal, MM_MSEAL, some_addr(), some_len(), 0);
	/* What is sealed stays: leave it behind when there is too much of it. */
	if (!s->call.ret && ++nr_seals % 4 == 0)
		window += 4 * WINDOW_PAGES * PAGE;
}

static void step_shm(struct step *s)
{
	uint64_t addr = 0, flags = one_in(4) ? SHM_RDONLY : 0, i = below(NR_SEGMENTS);

	if (nr_attached && one_in(2)) {
		unsigned int n = below(nr_attached);

		addr = attached[n];
		attached[n] = attached[--nr_attached];
		CALL(s, SYS_shmdt, MM_SHMDT, addr);
		return;
	}
	if (nr_attached == sizeof(attached) / sizeof(attached[0])) {
		CALL(s, SYS_shmdt, MM_SHMDT, some_addr());
		return;
	}
	if (one_in(2)) {
		addr = some_addr();
		flags |= one_in(3) ? SHM_RND : SHM_REMAP;
	}
	if (one_in(8))
		flags |= SHM_EXEC;
	CALL(s, SYS_shmat, MM_SHMAT, segments[i], addr, flags);
	s->call.len = segment_bytes[i];
	s->wants_file = s->call.ret > 0;
	s->file.has_close = true;
	s->file.no_write = flags & SHM_RDONLY;
	if (s->call.ret > 0)
		attached[nr_attached++] = s->call.ret;
}

static void step_policy(struct step *s)
{
	static uint64_t node0 = 1;
	static const int modes[] = {
		MPOL_DEFAULT, MPOL_DEFAULT, MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE, MPOL_LOCAL,
	};
	int mode = modes[below(6)];

	if (one_in(6)) {
		CALL(s, SYS_set_mempolicy_home_node, MM_SET_MEMPOLICY_HOME_NODE, some_addr(),
		     some_len(), 0, 0);
		return;
	}
	if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
		CALL(s, SYS_mbind, MM_MBIND, some_addr(), some_len(), mode, 0, 0, 0);
	else
		CALL(s, SYS_mbind, MM_MBIND, some_addr(), some_len(), mode, (uintptr_t)&node0, 2,
		     below(4));
}

static void step_prctl(struct step *s, const struct mm *mm)
{
	static const char *const names[] = { "alpha", "beta" };
	uint64_t kind = below(8), n = below(3);

	if (kind < 5) {
		CALL(s, SYS_prctl, MM_PRCTL, PR_SET_VMA, 0, some_addr(), some_len(),
		     n < 2 ? (uintptr_t)names[n] : 0);
		s->call.name = n < 2 ? names[n] : NULL;
	} else if (kind < 7) {
		CALL(s, SYS_prctl, MM_PRCTL, PR_SET_MM, PR_SET_MM_START_STACK,
		     one_in(2) ? mm->start_stack : some_addr(), 0, 0);
	} else {
		CALL(s, SYS_prctl, MM_PRCTL, PR_SET_MEMORY_MERGE, one_in(4), 0, 0, 0);
	}
}

static void step_aio(struct step *s)
{
	static uint64_t context;

	if (aio_ring) {
		CALL(s, SYS_io_destroy, MM_IO_DESTROY, aio_ring);
		aio_ring = 0;
		return;
	}
	context = 0;
	CALL(s, SYS_io_setup, MM_IO_SETUP, 1 + below(300), (uintptr_t)&context);
	if (s->call.ret)
		return;
	aio_ring = context;
	s->call.arg[2] = context;
	s->wants_file = true;
}

static void step_remap_file_pages(struct step *s)
{
	CALL(s, SYS_remap_file_pages, MM_REMAP_FILE_PAGES, some_addr(), some_len(), 0, below(9),
	     0);
}

/* Let the kernel touch a page for us: no signal if it can't. */
static void touch(uint64_t addr, bool write)
{
	ssize_t n;

	if (write)
		n = read(zero, (void *)addr, 1);
	else
		n = pwrite(sink, (void *)addr, 1, 0);
	(void)n;
}

static void step_touch(struct step *s)
{
	uint64_t nr = 1 + below(6);

	s->kind = STEP_TOUCH;
	s->start = window;
	s->end = window + 2 * WINDOW_PAGES * PAGE;
	while (nr--)
		touch(window + below(WINDOW_PAGES) * PAGE + below(PAGE), one_in(2));
	if (nr_floating && one_in(2))
		touch(floating[below(nr_floating)], true);
}

static void step_stack(struct step *s)
{
	uint64_t addr = STACK_BASE + below(STACK_PAGES) * PAGE;

	if (one_in(3)) {
		s->kind = STEP_TOUCH;
		s->start = STACK_BASE;
		s->end = STACK_BASE + (STACK_PAGES + 64) * PAGE;
		for (int i = 0; i < 6; i++)
			touch(STACK_BASE + below(STACK_PAGES) * PAGE, one_in(2));
		return;
	}
	if (one_in(4)) {
		CALL(s, SYS_munmap, MM_MUNMAP, addr, (1 + below(600)) * PAGE);
		return;
	}
	if (one_in(3)) {
		CALL(s, SYS_mprotect, MM_MPROTECT, addr, (1 + below(400)) * PAGE,
		     some_prot() | (one_in(2) ? PROT_GROWSDOWN : 0));
		return;
	}
	CALL(s, SYS_mmap, MM_MMAP, addr, (1 + below(8)) * PAGE, some_prot(),
	     MAP_PRIVATE | MAP_ANONYMOUS | (one_in(3) ? 0 : MAP_FIXED) |
		     (one_in(3) ? 0 : MAP_GROWSDOWN), -1, 0);
}

void calls_step(uint64_t seed, uint64_t nr, bool forks, struct mm *mm, struct step *ret_step)
{
	struct step *s = ret_step;
	uint64_t r;

	memset(s, 0, sizeof(*s));
	rng = seed * 0xd1342543de82ef95ull + nr * 0x2545f4914f6cdd1dull;
	s->call.event = nr + 1;
	r = below(1000);
	if (forks && one_in(2500))
		s->kind = STEP_FORK;
	else if (r < 230)
		step_mmap(s, true);
	else if (r < 280)
		step_mmap(s, false);
	else if (r < 360)
		step_munmap(s);
	else if (r < 500)
		step_mprotect(s);
	else if (r < 580)
		step_mremap(s);
	else if (r < 620)
		step_brk(s, mm);
	else if (r < 700)
		step_madvise(s);
	else if (r < 740)
		step_lock(s);
	else if (r < 743)
		step_seal(s);
	else if (r < 770)
		step_shm(s);
	else if (r < 800)
		step_policy(s);
	else if (r < 820)
		step_prctl(s, mm);
	else if (r < 825)
		step_aio(s);
	else if (r < 840)
		step_remap_file_pages(s);
	else if (r < 870)
		step_stack(s);
	else
		step_touch(s);
}

const char *calls_op_name(enum mm_op op)
{
	static const char *const names[MM_OP_COUNT] = {
		[MM_MMAP] = "mmap", [MM_MUNMAP] = "munmap", [MM_MREMAP] = "mremap",
		[MM_MPROTECT] = "mprotect", [MM_PKEY_MPROTECT] = "pkey_mprotect", [MM_BRK] = "brk",
		[MM_MADVISE] = "madvise", [MM_PROCESS_MADVISE] = "process_madvise",
		[MM_MLOCK] = "mlock", [MM_MLOCK2] = "mlock2", [MM_MUNLOCK] = "munlock",
		[MM_MLOCKALL] = "mlockall", [MM_MUNLOCKALL] = "munlockall", [MM_MSEAL] = "mseal",
		[MM_REMAP_FILE_PAGES] = "remap_file_pages", [MM_SHMAT] = "shmat",
		[MM_SHMDT] = "shmdt", [MM_MBIND] = "mbind", [MM_SET_MEMPOLICY] = "set_mempolicy",
		[MM_SET_MEMPOLICY_HOME_NODE] = "set_mempolicy_home_node", [MM_PRCTL] = "prctl",
		[MM_IO_SETUP] = "io_setup", [MM_IO_DESTROY] = "io_destroy",
	};

	return names[op];
}
