/* SPDX-License-Identifier: MIT */
/* The pieces that need the machine's registers: the system call itself and an ordered copy. */
	.text

/* long sys_call(long nr, long a, long b, long c, long d, long e, long f) */
	.globl	sys_call
	.hidden	sys_call
	.type	sys_call, @function
sys_call:
	.cfi_startproc
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	mov	8(%rsp), %r9
	syscall
	ret
	.cfi_endproc
	.size	sys_call, .-sys_call

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

	.section .note.GNU-stack, "", @progbits
