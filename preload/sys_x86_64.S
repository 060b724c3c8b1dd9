/* SPDX-License-Identifier: MIT */
/* The pieces that need the machine's registers: the system call itself and an ordered copy. */
	.text

/* long sys_forward(long nr, long a, long b, long c, long d, long e, long f) */
	.globl	sys_forward
	.hidden	sys_forward
	.type	sys_forward, @function
sys_forward:
	.cfi_startproc
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	mov	8(%rsp), %r9
	mov	sys_gadget(%rip), %r11
	test	%r11, %r11
	jnz	1f
	.globl	sys_instruction
	.hidden	sys_instruction
sys_instruction:
	syscall
	ret
1:	jmp	*%r11
	.cfi_endproc
	.size	sys_forward, .-sys_forward

/* void sys_copy_forward(void *dst, const void *src, size_t len) */
	.globl	sys_copy_forward
	.hidden	sys_copy_forward
	.type	sys_copy_forward, @function
sys_copy_forward:
	.cfi_startproc
	mov	%rdx, %rcx
	rep movsb
	ret
	.cfi_endproc
	.size	sys_copy_forward, .-sys_copy_forward

	.bss
	.globl	sys_gadget
	.hidden	sys_gadget
	.balign	8
sys_gadget:
	.zero	8

	.section .note.GNU-stack, "", @progbits
