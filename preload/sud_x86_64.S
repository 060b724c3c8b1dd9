/* SPDX-License-Identifier: MIT */
/*
 * The parts of the dispatcher that leave its own stack: a signal frame that is not ours to return
 * from, and children that begin in the program's registers.
 */
#define REG(n) ((n) * 8)	/* ucontext's gregs: REG_R8 is 0 */
#define R8 0
#define R9 1
#define R10 2
#define R12 4
#define R13 5
#define R14 6
#define R15 7
#define RDI 8
#define RSI 9
#define RBP 10
#define RBX 11
#define RDX 12
#define RAX 13
#define RSP 15
#define RIP 16
#define EFL 17
#define SYS_rt_sigreturn 15

	.text

/* void sud_sigreturn(uint64_t sp): the program's own rt_sigreturn, with its stack pointer */
	.globl	sud_sigreturn
	.hidden	sud_sigreturn
	.type	sud_sigreturn, @function
sud_sigreturn:
	.cfi_startproc
	.cfi_undefined %rip
	mov	%rdi, %rsp
	mov	$SYS_rt_sigreturn, %eax
	jmp	*sys_gadget(%rip)
	.cfi_endproc
	.size	sud_sigreturn, .-sud_sigreturn

/*
 * long sud_clone(const uint64_t nr_and_args[7], struct sud_task *child, struct sud_task *parent)
 *
 * The child goes on where the program was, with @child's registers. With @parent NULL the parent
 * returns; else the two share a stack, this frame will be gone, and the parent goes on likewise.
 */
	.globl	sud_clone
	.hidden	sud_clone
	.type	sud_clone, @function
sud_clone:
	.cfi_startproc
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	push	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	push	%r13
	.cfi_adjust_cfa_offset 8
	mov	%rsi, %rbx
	mov	%rdx, %r12
	mov	%rdi, %r13
	mov	0(%r13), %rax
	mov	8(%r13), %rdi
	mov	16(%r13), %rsi
	mov	24(%r13), %rdx
	mov	32(%r13), %r10
	mov	40(%r13), %r8
	mov	48(%r13), %r9
	syscall
	test	%rax, %rax
	jz	1f
	test	%r12, %r12
	jnz	2f
	pop	%r13
	.cfi_adjust_cfa_offset -8
	pop	%r12
	.cfi_adjust_cfa_offset -8
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc

	.cfi_startproc
	.cfi_undefined %rip
1:	mov	%rbx, %r12
	xor	%eax, %eax
2:	mov	%rax, REG(RAX)(%r12)
	mov	REG(RSP)(%r12), %rsp
	sub	$512, %rsp
	and	$-64, %rsp
	mov	%r12, %rdi
	call	sud_begin
	mov	%r12, %rcx
	pushq	REG(EFL)(%rcx)
	popfq
	mov	REG(R8)(%rcx), %r8
	mov	REG(R9)(%rcx), %r9
	mov	REG(R10)(%rcx), %r10
	mov	REG(R12)(%rcx), %r12
	mov	REG(R13)(%rcx), %r13
	mov	REG(R14)(%rcx), %r14
	mov	REG(R15)(%rcx), %r15
	mov	REG(RDI)(%rcx), %rdi
	mov	REG(RSI)(%rcx), %rsi
	mov	REG(RBP)(%rcx), %rbp
	mov	REG(RBX)(%rcx), %rbx
	mov	REG(RDX)(%rcx), %rdx
	mov	REG(RAX)(%rcx), %rax
	mov	REG(RSP)(%rcx), %rsp
	mov	REG(EFL)(%rcx), %r11
	mov	REG(RIP)(%rcx), %rcx
	jmp	*%rcx
	.cfi_endproc
	.size	sud_clone, .-sud_clone

	.section .note.GNU-stack, "", @progbits
