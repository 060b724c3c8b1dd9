/* SPDX-License-Identifier: MIT */
/*
 * no_unwind_info WAY: maps a page below a function without unwind information.
 *
 *     switch    it runs on a stack of its own, as Go's systemstack; the caller's frame pointer stands
 *     gap       the same, called by a function whose frame is not known
 *     follow    on the same stack, with a frame pointer
 *     wild      its frame pointer is anything
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES 65536

void on_other_stack(void);
void in_frame(void);
void in_unknown_frame(void);
void follow(void);
void with_frame_pointer(uintptr_t value);
void map_page(void);

char *other_stack;

void map_page(void)
{
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		abort();
}

/* No directives for unwind information: there is none. */
__asm__(".text\n"
	".globl on_other_stack\n.type on_other_stack, @function\n"
	"on_other_stack:\n"
	"	mov %rsp, %rax\n"
	"	mov other_stack(%rip), %rsp\n"
	"	push %rax\n"
	"	push %rax\n"
	"	call map_page\n"
	"	pop %rax\n"
	"	pop %rsp\n"
	"	ret\n"
	".size on_other_stack, .-on_other_stack\n"
	".globl in_frame\n.type in_frame, @function\n"
	"in_frame:\n"
	"	sub $0x38, %rsp\n"
	"	mov %rbp, 0x30(%rsp)\n"
	"	lea 0x30(%rsp), %rbp\n"
	"	call on_other_stack\n"
	"	mov 0x30(%rsp), %rbp\n"
	"	add $0x38, %rsp\n"
	"	ret\n"
	".size in_frame, .-in_frame\n"
	".globl in_unknown_frame\n.type in_unknown_frame, @function\n"
	"in_unknown_frame:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	push %rbx\n"
	"	push %rbx\n"
	"	call on_other_stack\n"
	"	pop %rbx\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size in_unknown_frame, .-in_unknown_frame\n"
	".globl follow\n.type follow, @function\n"
	"follow:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	call map_page\n"
	"	pop %rbp\n"
	"	ret\n"
	".size follow, .-follow\n"
	".globl with_frame_pointer\n.type with_frame_pointer, @function\n"
	"with_frame_pointer:\n"
	"	push %rbp\n"
	"	mov %rdi, %rbp\n"
	"	call map_page\n"
	"	pop %rbp\n"
	"	ret\n"
	".size with_frame_pointer, .-with_frame_pointer\n");

static void wild(void)
{
	char *none = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *some = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t values[] = { 1, 8, 4096, (uintptr_t)none, (uintptr_t)none + BYTES - 8,
			       (uintptr_t)some, (uintptr_t)some + BYTES - 8, (uintptr_t)some + 3,
			       here - 64, here - 4096, here + 8, here + 4096, here + (1 << 20),
			       (uintptr_t)map_page, ~0ul, ~7ul, 1ul << 47, (1ul << 47) - 16,
			       0xffffffffff600000, 0x8000000000000000 };
	uintptr_t *words = (uintptr_t *)(void *)some;
	size_t i;

	/* Links of all sorts: to itself, backwards, to nowhere. */
	for (i = 0; i < BYTES / sizeof(*words); i++)
		words[i] = values[i % (sizeof(values) / sizeof(values[0]))];
	words[0] = (uintptr_t)words;
	words[1] = (uintptr_t)map_page + 8;
	munmap(none + BYTES / 2, BYTES / 2);
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		with_frame_pointer(values[i]);
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "";

	other_stack = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	other_stack += BYTES;
	if (!strcmp(way, "switch"))
		in_frame();
	else if (!strcmp(way, "gap"))
		in_unknown_frame();
	else if (!strcmp(way, "follow"))
		follow();
	else
		wild();
	puts("done");
	return 0;
}
