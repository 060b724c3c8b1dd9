/* SPDX-License-Identifier: MIT */
/* Puts libc's mmap() back as it was, through /proc/self/mem, and loads a library after that. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES 128

int main(void)
{
	static const uint8_t original[] = { 0xb8, 9, 0, 0, 0 };
	/* Past whoever else has a symbol of that name. */
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	uint8_t *code = libc ? dlsym(libc, "mmap") : NULL;
	int mem = open("/proc/self/mem", O_RDWR), found = 0;

	if (!code || mem < 0)
		return 77;
	for (int i = 0; i < BYTES; i++) {
		if (code[i] == 0xe9 && code[i + 5] == 0x0f && code[i + 6] == 0x05) {
			found = pwrite(mem, original, sizeof(original),
				       (off_t)(uintptr_t)(code + i)) == sizeof(original);
			break;
		}
	}
	close(mem);
	if (!dlopen("libdl.so.2", RTLD_NOW))
		return 1;
	munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
	puts("done");
	return found ? 5 : 0;
}
