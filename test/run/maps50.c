/* SPDX-License-Identifier: MIT */
/*
 * maps50 FILE: changes its address space in more than fifty ways, copies /proc/self/maps to FILE
 * and leaves by _exit(7) at once. Nothing after the copy may change the map: the buffers are
 * static, the files are open, and the stack was grown before.
 *
 * Each way prints its name and how it ended; addresses are not printed, so that a native run and
 * a traced one say the same. A kernel may refuse a way (no KSM, no protection keys); that is a
 * way too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define STACK_BYTES (512 * 1024)

static size_t page;
static char buffer[1 << 16];
static int nr_ways;

/* Maps @pages anonymous pages with a free page on either side, so that nothing merges. */
static char *room(size_t pages)
{
	char *start = mmap(NULL, (pages + 2) * page, PROT_NONE, ANON, -1, 0);

	munmap(start, (pages + 2) * page);
	return mmap(start + page, pages * page, RW, ANON | MAP_FIXED, -1, 0);
}

static void say(const char *way, long result)
{
	int error = errno;

	nr_ways++;
	printf("%s: %s\n", way, result == -1 ? strerrorname_np(error) : "ok");
	errno = 0;
}

#define WAY(name, call) say(name, (long)(intptr_t)(call))

static void ways_of_mmap(void)
{
	char *p;

	WAY("mmap private", mmap(NULL, 3 * page, RW, ANON, -1, 0));
	WAY("mmap shared", mmap(NULL, 3 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	WAY("mmap none", mmap(NULL, 3 * page, PROT_NONE, ANON, -1, 0));
	WAY("mmap noreserve", mmap(NULL, 64 << 20, RW, ANON | MAP_NORESERVE, -1, 0));
	WAY("mmap populate", mmap(NULL, 4 * page, RW, ANON | MAP_POPULATE, -1, 0));
	WAY("mmap 32bit", mmap(NULL, 2 * page, RW, ANON | MAP_32BIT, -1, 0));
	WAY("mmap stack", mmap(NULL, 2 * page, RW, ANON | MAP_STACK, -1, 0));
	WAY("mmap exec", mmap(NULL, 2 * page, PROT_READ | PROT_EXEC, ANON, -1, 0));
	WAY("mmap bad flags", mmap(NULL, page, RW, MAP_ANONYMOUS, -1, 0));
	WAY("mmap nothing", mmap(NULL, 0, RW, ANON, -1, 0));
	p = room(6);
	WAY("mmap fixed, a hole in the middle filled again",
	    munmap(p + 2 * page, page)
		    ? -1
		    : (long)(intptr_t)mmap(p + 2 * page, page, RW, ANON | MAP_FIXED, -1, 0));
	WAY("mmap fixed over a part", mmap(p + page, 2 * page, PROT_READ, ANON | MAP_FIXED, -1, 0));
	WAY("mmap noreplace refused", mmap(p, page, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	munmap(p + 5 * page, page);
	WAY("mmap noreplace", mmap(p + 5 * page, page, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	p = room(2);
	WAY("mmap hint", mmap(p + 4 * page, page, PROT_READ, ANON, -1, 0));
	WAY("mmap growsdown", p = mmap(NULL, 4 * page, RW, ANON | MAP_GROWSDOWN, -1, 0));
	if (p != MAP_FAILED)
		*(volatile char *)p = 1;
	WAY("syscall mmap", syscall(SYS_mmap, NULL, 5 * page, RW, ANON, -1, 0));
	WAY("dev zero", mmap(NULL, 2 * page, RW, MAP_PRIVATE, open("/dev/zero", O_RDWR), 0));
}

static void ways_of_munmap(void)
{
	char *p = room(9);

	WAY("munmap in the middle", munmap(p + 4 * page, page));
	WAY("munmap the head", munmap(p, page));
	WAY("munmap the tail", munmap(p + 8 * page, page));
	WAY("munmap over a hole", munmap(p + 3 * page, 3 * page));
	WAY("munmap a hole", munmap(p + 3 * page, page));
	WAY("munmap unaligned", munmap(p + 1, page));
	WAY("syscall munmap", syscall(SYS_munmap, p + page, page));
}

static void ways_of_mprotect(void)
{
	char *p = room(9);

	memset(p, 1, 9 * page);
	WAY("mprotect in the middle", mprotect(p + 3 * page, 2 * page, PROT_READ));
	WAY("mprotect a part of it", mprotect(p + 3 * page, page, PROT_NONE));
	WAY("mprotect back", mprotect(p + 3 * page, 2 * page, RW));
	WAY("mprotect exec", mprotect(p + 7 * page, page, PROT_READ | PROT_EXEC));
	munmap(p + 5 * page, page);
	WAY("mprotect over a hole", mprotect(p + 4 * page, 3 * page, PROT_READ));
	WAY("pkey_mprotect", pkey_mprotect(p, page, PROT_READ, -1));
}

static void ways_of_mremap(void)
{
	char *p = room(4), *q = room(8), *r = room(4), *s;

	memset(p, 1, 4 * page);
	memset(q, 1, 8 * page);
	munmap(q + 4 * page, 4 * page);
	WAY("mremap grow in place", mremap(q, 4 * page, 6 * page, 0));
	WAY("mremap shrink", mremap(q, 6 * page, 2 * page, 0));
	mmap(p + 4 * page, page, PROT_READ, ANON | MAP_FIXED, -1, 0);
	WAY("mremap blocked", mremap(p, 4 * page, 7 * page, 0));
	WAY("mremap move", p = mremap(p, 4 * page, 7 * page, MREMAP_MAYMOVE));
	WAY("mremap fixed", mremap(p, 7 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, r));
	q = room(4);
	WAY("mremap dontunmap",
	    mremap(q, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
	s = mmap(NULL, 3 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	WAY("mremap duplicate", mremap(s, 0, 3 * page, MREMAP_MAYMOVE));
	WAY("mremap nothing there", mremap((void *)page, page, 2 * page, MREMAP_MAYMOVE));
}

static void ways_of_brk(void)
{
	char *top = sbrk(0);

	WAY("sbrk grow", sbrk((intptr_t)(20 * page)));
	WAY("sbrk shrink", sbrk(-(intptr_t)(5 * page)));
	WAY("sbrk by a bit", sbrk(100));
	WAY("brk", brk(top + 30 * page));
	WAY("mprotect in the heap",
	    mprotect((void *)(((uintptr_t)top + 4 * page) & -page), page, PROT_READ));
}

static int file_of(const char *name, size_t pages)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)(pages * page)) < 0) {
		perror(name);
		exit(1);
	}
	return fd;
}

static void ways_of_files(void)
{
	int fd = file_of("maps50 file", 8), gone = file_of("maps50.gone", 4), memory, posix;
	char *p = room(6), name[32];

	WAY("file private", mmap(NULL, 2 * page, RW, MAP_PRIVATE, fd, 0));
	WAY("file shared", mmap(NULL, 2 * page, RW, MAP_SHARED, fd, 0));
	WAY("file at an offset", mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, (off_t)(3 * page)));
	WAY("file, two that merge",
	    mmap(p, 2 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED
		    ? -1
		    : (long)(intptr_t)mmap(p + 2 * page, 2 * page, PROT_READ,
					   MAP_PRIVATE | MAP_FIXED, fd, (off_t)(2 * page)));
	WAY("file, one that does not",
	    mmap(p + 4 * page, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)(6 * page)));
	WAY("file, middle remapped",
	    mremap(p + page, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, room(1)));
	WAY("file renamed", rename("maps50 file", "maps50\nfile"));
	WAY("file mapped and deleted",
	    mmap(NULL, page, PROT_READ, MAP_SHARED, gone, 0) == MAP_FAILED ? -1
									   : unlink("maps50.gone"));
	WAY("file deleted and mapped", mmap(NULL, page, PROT_READ, MAP_PRIVATE, gone, 0));
	WAY("remap_file_pages",
	    syscall(SYS_remap_file_pages, mmap(NULL, 3 * page, RW, MAP_SHARED, fd, 0), page, 0, 2,
		    0));
	memory = memfd_create("maps50", MFD_ALLOW_SEALING);
	WAY("memfd", ftruncate(memory, (off_t)(4 * page))
			     ? -1
			     : (long)(intptr_t)mmap(NULL, 4 * page, RW, MAP_SHARED, memory, 0));
	WAY("memfd closed", close(memory));
	(void)snprintf(name, sizeof(name), "/maps50.%d", (int)getpid());
	posix = shm_open(name, O_RDWR | O_CREAT, 0600);
	WAY("shm_open", posix < 0 || ftruncate(posix, (off_t)(2 * page))
				? -1
				: (long)(intptr_t)mmap(NULL, 2 * page, RW, MAP_SHARED, posix, 0));
	WAY("shm_unlink", shm_unlink(name));
	close(gone);
	close(fd);
	unlink("maps50\nfile");
}

static void ways_of_sysv(void)
{
	int id = shmget(IPC_PRIVATE, 3 * page, 0600);
	char *p = shmat(id, NULL, 0), *hole = room(4);

	WAY("shmat", p);
	WAY("shmat read-only", shmat(id, NULL, SHM_RDONLY));
	WAY("shmat remap", shmat(id, hole, SHM_REMAP));
	WAY("shmdt", shmdt(p));
	WAY("shmdt nothing", shmdt(p));
	shmctl(id, IPC_RMID, NULL);
}

static void ways_of_flags(void)
{
	static const struct {
		const char *name;
		int advice;
	} advices[] = {
		{"madvise dontfork", MADV_DONTFORK},
		{"madvise dontdump", MADV_DONTDUMP},
		{"madvise hugepage", MADV_HUGEPAGE},
		{"madvise nohugepage", MADV_NOHUGEPAGE},
		{"madvise sequential", MADV_SEQUENTIAL},
		{"madvise mergeable", MADV_MERGEABLE},
		{"madvise wipeonfork", MADV_WIPEONFORK},
		{"madvise dontneed", MADV_DONTNEED},
		{"madvise free", MADV_FREE},
		{"madvise nonsense", 12345},
	};
	char *p = room(32);

	memset(p, 1, 32 * page);
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
		WAY(advices[i].name, madvise(p + (2 * i + 1) * page, page, advices[i].advice));
	WAY("madvise normal", madvise(p + 9 * page, page, MADV_NORMAL));
	p = room(8);
	WAY("mlock", mlock(p + 2 * page, 3 * page));
	WAY("munlock a part", munlock(p + 3 * page, page));
	WAY("mlock2", mlock2(p + 6 * page, page, MLOCK_ONFAULT));
	WAY("mlockall future", mlockall(MCL_FUTURE | MCL_ONFAULT));
	WAY("mmap locked by it", mmap(NULL, page, RW, ANON, -1, 0));
	WAY("munlockall", munlockall());
	p = room(5);
	WAY("name",
	    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p + page, 2 * page, "a name of its own"));
	WAY("name taken back", prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p + page, page, NULL));
	WAY("mseal", syscall(SYS_mseal, p, page, 0));
	WAY("munmap sealed", munmap(p, page));
}

static void *thread(void *unused)
{
	return mmap(NULL, 3 * page, RW, ANON | MAP_NORESERVE, -1, 0) == MAP_FAILED ? NULL : unused;
}

/* What libc, the loader and the kernel map on their own. */
static void ways_of_others(void)
{
	aio_context_t aio = 0, kept = 0;
	void *block = malloc(1 << 20), *library;
	pthread_t id;

	WAY("malloc large", block ? 0 : -1);
	block = realloc(block, 5 << 20);
	WAY("realloc large", block ? 0 : -1);
	errno = pthread_create(&id, NULL, thread, NULL);
	WAY("thread", errno ? -1 : pthread_join(id, NULL));
	WAY("io_setup", syscall(SYS_io_setup, 4, &aio));
	WAY("io_setup, kept", syscall(SYS_io_setup, 4, &kept));
	WAY("io_destroy", syscall(SYS_io_destroy, aio));
	library = dlopen("libm.so.6", RTLD_NOW);
	WAY("dlopen", library ? 0 : -1);
	WAY("dlopen again and dlclose", dlclose(dlopen("libm.so.6", RTLD_NOW)));
	WAY("malloc many", malloc(300 * 1024) ? 0 : -1);
}

static void grow_stack(void)
{
	volatile char bytes[STACK_BYTES];

	for (size_t i = 0; i < sizeof(bytes); i += 1024)
		bytes[i] = 1;
}

int main(int argc, char **argv)
{
	int out = open(argv[argc - 1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), maps;
	ssize_t length;

	page = (size_t)sysconf(_SC_PAGESIZE);
	grow_stack();
	ways_of_mmap();
	ways_of_munmap();
	ways_of_mprotect();
	ways_of_mremap();
	ways_of_brk();
	ways_of_files();
	ways_of_sysv();
	ways_of_flags();
	ways_of_others();
	printf("%d ways\n", nr_ways);
	fflush(stdout);
	maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (out < 0 || maps < 0 || nr_ways < 50)
		return 1;
	while ((length = read(maps, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, (size_t)length) != length)
			_exit(1);
	_exit(7);
}
