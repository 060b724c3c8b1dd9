/* SPDX-License-Identifier: MIT */
/*
 * The pieces that need the machine's registers: the system call itself, an ordered copy, and vfork, whose
 * child returns through our caller's frame and therefore must leave nothing of ours on the stack.
 */
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

/*
 * pid_t vfork(void)
 *
 * The return address is kept in a register that the system call preserves, so that whatever the
 * child does with the shared stack can't harm the parent's return. task_vfork_enter() runs
 * before; task_vfork_leave(pid) runs in the parent only.
 */
	.globl	vfork
	.type	vfork, @function
vfork:
	.cfi_startproc
	sub	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	task_vfork_enter
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	pop	%rdi
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rdi
	mov	$58, %eax
	syscall
	push	%rdi
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rip, 0
	test	%rax, %rax
	jz	1f
	mov	%rax, %rdi
	sub	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	task_vfork_leave
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
1:	ret
	.cfi_endproc
	.size	vfork, .-vfork

	.section .note.GNU-stack, "", @progbits
