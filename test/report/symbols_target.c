/* SPDX-License-Identifier: MIT */
/*
 * Writes a trace about itself: one block, allocated from a stack whose functions are known here, so
 * that a test can compare names, lines and inlining with what the analyzer finds.
 *
 * The argument is the path that the trace gives for it.
 */
#include <elf.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static volatile uintptr_t ips[2];	/* volatile: one symbol, whatever the compiler */

/* Its return address lies in the code of the function below, wherever that was inlined. */
__attribute__((noinline)) static void innermost(void)
{
	ips[0] = (uintptr_t)__builtin_return_address(0);
	__asm__ volatile("" ::: "memory");
}

__attribute__((always_inline)) static inline void inlined_middle(void)
{
	innermost();
	__asm__ volatile("" ::: "memory");
}

/* Named as a C++ compiler would name outer_frame(int). */
__attribute__((noinline)) void outer(int n) __asm__("_Z11outer_framei");

__attribute__((noinline)) void outer(int n)
{
	ips[1] = (uintptr_t)__builtin_return_address(0);
	inlined_middle();
	__asm__ volatile("" :: "r"(n) : "memory");
}

static void print_build_id(const struct dl_phdr_info *info, const ElfW(Phdr) *ph)
{
	const unsigned char *p = (const unsigned char *)(info->dlpi_addr + ph->p_vaddr);
	const unsigned char *end = p + ph->p_memsz;

	while (p + sizeof(ElfW(Nhdr)) < end) {
		const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)p;
		const unsigned char *desc = p + sizeof(*note) + ((note->n_namesz + 3) & ~3u);
		unsigned int i;

		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4)
			for (i = 0; i < note->n_descsz; i++)
				printf("%02x", desc[i]);
		p = desc + ((note->n_descsz + 3) & ~3u);
	}
}

static int print_module(struct dl_phdr_info *info, size_t size, void *path)
{
	const char *comma = "";
	int i;

	(void)size;
	printf("{\"ev\":\"module\",\"t\":0,\"op\":\"load\",\"path\":\"%s\",\"base\":\"0x%" PRIxPTR
	       "\",\"build_id\":\"", (const char *)path, (uintptr_t)info->dlpi_addr);
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			print_build_id(info, &info->dlpi_phdr[i]);
	fputs("\",\"segments\":[", stdout);
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD)
			continue;
		printf("%s[\"0x%" PRIxPTR "\",\"0x%" PRIxPTR "\",\"r-x\"]", comma, start,
		       start + ph->p_memsz);
		comma = ",";
	}
	puts("]}");
	return 1;	/* the program is the first one; no more are wanted */
}

int main(int argc, char **argv)
{
	outer(argc);
	puts("{\"ev\":\"header\",\"version\":1,\"pid\":1,\"ppid\":0,\"exe\":null,\"argv\":null,"
	     "\"page_size\":4096,\"clock\":{\"start_ns\":0,\"realtime_ns\":0},\"heap\":\"all\","
	     "\"capture\":{\"tier\":\"symbols\"},\"verify\":{\"mode\":\"off\"}}");
	dl_iterate_phdr(print_module, argv[1]);
	printf("{\"ev\":\"stack\",\"id\":1,\"parent\":0,\"ips\":[\"0x%" PRIxPTR "\",\"0x%" PRIxPTR
	       "\"]}\n", ips[1], ips[0]);
	puts("{\"ev\":\"heap\",\"tid\":1,\"t0\":1,\"base\":\"0x0\",\"ops\":[[0,16,32,2]]}");
	return 0;
}
