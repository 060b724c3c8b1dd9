/* SPDX-License-Identifier: MIT */
/*
 * descriptors: looks at descriptor numbers, then closes every descriptor it did not open in each
 * way there is, and after each maps CALLS times 23 pages, which must still be recorded.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS 600

static void map(void)
{
	size_t bytes = 23 * (size_t)sysconf(_SC_PAGESIZE);

	for (int i = 0; i < CALLS; i++) {
		void *start = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (start == MAP_FAILED || munmap(start, bytes) < 0)
			_exit(1);
	}
}

int main(void)
{
	struct rlimit limit = {0};
	int pair[2];

	printf("open %d\n", open("/dev/null", O_RDONLY));
	printf("dup %d\n", dup(0));
	printf("pipe %d\n", pipe(pair) == 0 ? pair[0] : -1);
	printf("socket %d\n", socket(AF_UNIX, SOCK_STREAM, 0));
	map();
	printf("close_range %d\n", close_range(3, ~0u, 0));
	map();
	printf("open %d\n", open("/dev/null", O_RDONLY));
	closefrom(3);
	map();
	printf("open %d\n", open("/dev/null", O_RDONLY));
	getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = 3; fd < (int)limit.rlim_cur && fd < 70000; fd++)
		close(fd);
	map();
	for (int fd = 3; fd < (int)limit.rlim_cur && fd < 3000; fd++)
		dup2(0, fd);
	map();
	printf("close_range %d\n", close_range(3, ~0u, CLOSE_RANGE_UNSHARE));
	printf("open %d\n", open("/dev/null", O_RDONLY));
	map();
	return 0;
}
