/* SPDX-License-Identifier: MIT */
/*
 * errnos: makes each interposed call succeed and fail, and prints what came back and what errno
 * is afterwards. A success must leave errno alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
/* No errno of the kernel: shows that a call left it alone. */
#define UNTOUCHED 4242
/* No file is open at this number. */
#define BAD_FD 999

static size_t page;

static void say(const char *what, long result, int error)
{
	printf("%-28s %-4s %s\n", what,
	       result == -1 ? "-1"
	       : result     ? "set"
			    : "0",
	       error == UNTOUCHED ? "untouched"
	       : error            ? strerrorname_np(error)
				  : "0");
}

#define TRY(what, call)                           \
	do {                                      \
		long result_;                     \
		errno = UNTOUCHED;                \
		result_ = (long)(intptr_t)(call); \
		say(what, result_, errno);        \
	} while (0)

static void mapping_calls(void)
{
	char *p = mmap(NULL, 8 * page, RW, ANON, -1, 0), *bad = (char *)(page * 3);
	volatile size_t huge = (size_t)1 << 60;
	void *kept;

	TRY("mmap", kept = mmap(NULL, page, RW, ANON, -1, 0));
	TRY("mmap EBADF", mmap(NULL, page, RW, MAP_PRIVATE, BAD_FD, 0));
	TRY("mmap EINVAL", mmap(NULL, 0, RW, ANON, -1, 0));
	TRY("mmap ENOMEM", mmap(NULL, huge, RW, ANON, -1, 0));
	TRY("mmap64 EBADF", mmap64(NULL, page, RW, MAP_PRIVATE, BAD_FD, 0));
	TRY("munmap", munmap(kept, page));
	TRY("munmap EINVAL", munmap(p + 1, page));
	TRY("mprotect", mprotect(p, page, PROT_READ));
	TRY("mprotect ENOMEM", mprotect(bad, page, PROT_READ));
	TRY("pkey_mprotect", pkey_mprotect(p, page, RW, -1));
	TRY("pkey_mprotect EINVAL", pkey_mprotect(p, page, RW, 1000));
	TRY("mremap", mremap(p, 8 * page, 6 * page, 0));
	TRY("mremap EFAULT", mremap(bad, page, 2 * page, MREMAP_MAYMOVE));
	TRY("madvise", madvise(p, page, MADV_DONTNEED));
	TRY("madvise ENOMEM", madvise(bad, page, MADV_DONTNEED));
	TRY("madvise EINVAL", madvise(p, page, 12345));
	TRY("posix_madvise", posix_madvise(p, page, POSIX_MADV_NORMAL));
	TRY("posix_madvise bad", posix_madvise(bad, page, POSIX_MADV_SEQUENTIAL));
	TRY("mlock", mlock(p, page));
	TRY("mlock ENOMEM", mlock(bad, page));
	TRY("mlock2 EINVAL", mlock2(p, page, 77));
	TRY("munlock", munlock(p, page));
	TRY("munlock ENOMEM", munlock(bad, page));
	TRY("mlockall EINVAL", mlockall(0));
	TRY("munlockall", munlockall());
	TRY("remap_file_pages EINVAL", remap_file_pages(p, page, 0, 0, 0));
	TRY("shmat EINVAL", shmat(-1, NULL, 0));
	TRY("shmdt EINVAL", shmdt(p));
	TRY("brk", brk(sbrk(0)));
	TRY("brk ENOMEM", brk((void *)(uintptr_t)(huge | page)));
	TRY("sbrk", sbrk(0));
	TRY("sbrk ENOMEM", sbrk(INTPTR_MAX));
	TRY("process_madvise EBADF", process_madvise(BAD_FD, NULL, 0, MADV_COLD, 0));
	TRY("prctl", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	TRY("prctl EINVAL", prctl(12345, 0, 0, 0, 0));
	TRY("syscall munmap EINVAL", syscall(SYS_munmap, p + 1, page));
	TRY("syscall getpid", syscall(SYS_getpid));
	TRY("syscall ENOSYS", syscall(100000));
	TRY("syscall io_destroy EINVAL", syscall(SYS_io_destroy, 1));
	TRY("syscall mbind EINVAL", syscall(SYS_mbind, p + 1, page, 0, NULL, 0, 0));
}

static void heap_calls(void)
{
	volatile size_t huge = SIZE_MAX / 2 + 1;
	/* volatile: the compiler would know what realloc() did to it. */
	void *volatile p = NULL;

	TRY("malloc", p = malloc(100));
	TRY("malloc ENOMEM", malloc(huge));
	TRY("free", (free(p), 0));
	TRY("free NULL", (free(NULL), 0));
	TRY("calloc", p = calloc(7, 9));
	TRY("calloc ENOMEM", calloc(huge, 2));
	TRY("realloc", p = realloc(p, 5000));
	TRY("realloc ENOMEM", realloc(p, huge));
	TRY("reallocarray ENOMEM", reallocarray(p, huge, 3));
	TRY("reallocarray", p = reallocarray(p, 10, 1000));
	TRY("malloc_usable_size", malloc_usable_size(p) >= 10000);
	TRY("realloc to nothing", realloc(p, 0));
	TRY("memalign", p = memalign(64, 100));
	printf("%d\n", (int)((uintptr_t)p % 64));
	free(p);
	TRY("aligned_alloc", p = aligned_alloc(4096, 4096));
	printf("%d\n", (int)((uintptr_t)p % 4096));
	free(p);
	TRY("aligned_alloc ENOMEM", aligned_alloc(4096, huge));
	TRY("posix_memalign", posix_memalign((void **)&p, 256, 10));
	printf("%d\n", (int)((uintptr_t)p % 256));
	free(p);
	TRY("posix_memalign EINVAL", posix_memalign((void **)&p, 3, 10) == EINVAL);
	TRY("posix_memalign ENOMEM", posix_memalign((void **)&p, 16, huge) == ENOMEM);
	TRY("valloc", p = valloc(10));
	free(p);
	TRY("pvalloc", p = pvalloc(10));
	free(p);
}

static void *nothing(void *unused)
{
	return unused;
}

static void task_calls(void)
{
	char *const arguments[] = {(char *)"false", NULL}, *const none[] = {NULL};
	pthread_attr_t attributes;
	pthread_t thread;
	pid_t pid;
	int status = 0;

	TRY("execve ENOENT", execve("/nonexistent", arguments, none));
	TRY("execv EACCES", execv("/etc", arguments));
	TRY("execvp ENOENT", execvp("no-such-program-anywhere", arguments));
	TRY("execl ENOENT", execl("/nonexistent", "x", (char *)NULL));
	TRY("fexecve EBADF", fexecve(BAD_FD, arguments, none));
	TRY("posix_spawn ENOENT", posix_spawn(&pid, "/nonexistent", NULL, NULL, arguments, none));
	TRY("posix_spawn", posix_spawn(&pid, "/bin/false", NULL, NULL, arguments, none));
	TRY("waitpid", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 1);
	/* Only the parent tells, or the two lines would race. */
	TRY("fork", (pid = fork()) || (_exit(9), 0));
	TRY("waitpid", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 9);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, (size_t)1 << 47);
	TRY("pthread_create EAGAIN", pthread_create(&thread, &attributes, nothing, NULL) == EAGAIN);
	TRY("pthread_create", pthread_create(&thread, NULL, nothing, NULL));
	TRY("pthread_join", pthread_join(thread, NULL));
}

int main(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IONBF, 0);
	mapping_calls();
	heap_calls();
	task_calls();
	return 0;
}
