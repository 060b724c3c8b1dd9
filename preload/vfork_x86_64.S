/* SPDX-License-Identifier: MIT */
/* vfork: the child returns through our caller's frame, so nothing of ours may be on the stack. */
	.text

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
