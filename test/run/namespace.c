/* SPDX-License-Identifier: MIT */
/*
 * namespace: loads a second libc into a namespace of its own, twice, and calls what is in there.
 * namespace far: maps one where no jump from it reaches the library.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 2
#define MAPS 3

static void *find(void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	if (!symbol)
		abort();
	return symbol;
}

static void use(void *library, size_t page)
{
	void *(*map)(void *, size_t, int, int, int, off_t);
	int (*unmap)(void *, size_t);
	void *(*allocate)(size_t);
	void (*release)(void *);

	*(void **)&map = find(library, "mmap");
	*(void **)&unmap = find(library, "munmap");
	*(void **)&allocate = find(library, "malloc");
	*(void **)&release = find(library, "free");
	for (int i = 0; i < MAPS; i++) {
		char *at = map(NULL, 5 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		void *small = allocate(1000), *large = allocate(1 << 20);

		if (at == MAP_FAILED || !small || !large)
			abort();
		release(large);
		release(small);
		if (unmap(at, 5 * page))
			abort();
	}
}

static int map_far_away(void)
{
	void *library = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), *at;
	Dl_info info;
	off_t bytes;
	int fd;

	if (!library || !dladdr(find(library, "mmap"), &info))
		return 1;
	fd = open(info.dli_fname, O_RDONLY);
	bytes = lseek(fd, 0, SEEK_END);
	at = mmap((void *)0x400000000000, (size_t)bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED || munmap(at, (size_t)bytes))
		return 1;
	puts("done");
	return 0;
}

int main(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)argv;
	if (argc > 1)
		return map_far_away();
	for (int i = 0; i < ROUNDS; i++) {
		void *library = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);

		if (!library) {
			puts(dlerror());
			return 1;
		}
		use(library, page);
		dlclose(library);
	}
	puts("done");
	return 0;
}
