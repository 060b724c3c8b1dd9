/* SPDX-License-Identifier: MIT */
/*
 * Where the jumps lead that patch.c writes over system-call sites.
 *
 *     libc     mov $9,%eax ; syscall ; cmp …          as it was
 *              jmp stub    ; syscall ; cmp …          patched: the syscall stays, nobody comes by
 *     stub     lea patch_sites[i] ─▶ patched_call ─▶ patch_enter() ─▶ back behind the syscall
 *
 * What a site may rely on is kept: every register but rax, rcx and r11, which hold afterwards
 * what the syscall instruction leaves in them; the flags; the vector registers; and the red zone.
 * The word below the site's stack pointer becomes a return address for the time of the call, so
 * that to an unwinder this is an ordinary frame called from the site.
 */
#define SITE_RET 0		/* struct patch_site */
#define SITE_SHIFT 5
#define NR_PLAIN 128		/* PATCH_NR_* in patch.h */
#define NR_CLONE 16
#define NR_BY_NUMBER 8
#define VECTOR_BYTES 2816	/* XSAVE area of every state in the mask, and its alignment */

	.text

	.macro	stub index
	lea	patch_sites + (\index << SITE_SHIFT)(%rip), %rcx
	jmp	patched_call
	.balign	16
	.endm

	.globl	patch_stubs_plain
	.hidden	patch_stubs_plain
	.balign	32
patch_stubs_plain:
	.cfi_startproc
	.cfi_undefined %rip
	.set	i, 0
	.rept	NR_PLAIN
	stub	i
	.set	i, i + 1
	.endr

/* syscall(2) itself: what was overwritten there loads the sixth argument. */
	.globl	patch_stubs_by_number
	.hidden	patch_stubs_by_number
patch_stubs_by_number:
	.set	i, NR_PLAIN
	.rept	NR_BY_NUMBER
	mov	8(%rsp), %r9
	lea	patch_sites + (i << SITE_SHIFT)(%rip), %rcx
	jmp	patched_call
	.balign	32
	.set	i, i + 1
	.endr

/*
 * Clones run the system call here, between two visits: the child may be on another stack, so that
 * nothing may be kept on this one. The number is loaded again, as the site would have.
 */
	.globl	patch_stubs_clone
	.hidden	patch_stubs_clone
patch_stubs_clone:
	.set	i, NR_PLAIN + NR_BY_NUMBER
	.rept	NR_CLONE
	lea	patch_sites + (i << SITE_SHIFT)(%rip), %rcx
	jmp	clone_before
	.balign	16
	syscall
	lea	patch_sites + (i << SITE_SHIFT)(%rip), %rcx
	jmp	clone_after
	.balign	32
	.set	i, i + 1
	.endr
	.cfi_endproc

/* Everything a C function may clobber, and a frame to unwind through. rcx: the site. */
	.macro	enter
	.cfi_startproc
	.cfi_def_cfa %rsp, 0
	.cfi_undefined %rip
	mov	-8(%rsp), %r11
	lea	-128(%rsp), %rsp
	.cfi_def_cfa_offset 128
	pushfq
	.cfi_adjust_cfa_offset 8
	push	%r11
	.cfi_adjust_cfa_offset 8
	mov	SITE_RET(%rcx), %r11
	mov	%r11, 136(%rsp)
	.cfi_offset %rip, -8
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rbp, -152
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	push	%rax
	push	%rdi
	push	%rsi
	push	%rdx
	push	%r10
	push	%r8
	push	%r9
	push	%rcx
	sub	$VECTOR_BYTES, %rsp
	and	$-64, %rsp
	mov	patch_vector_mask(%rip), %eax
	test	%eax, %eax
	jz	.Lold_save\@
	/* The part of the header that xsavec leaves alone must be zero for xrstor. */
	xor	%edx, %edx
	movq	$0, 528(%rsp)
	movq	$0, 536(%rsp)
	movq	$0, 544(%rsp)
	movq	$0, 552(%rsp)
	movq	$0, 560(%rsp)
	movq	$0, 568(%rsp)
	xsavec	(%rsp)
	jmp	.Lsaved\@
.Lold_save\@:
	fxsave64 (%rsp)
.Lsaved\@:
	lea	-64(%rbp), %rdi
	.endm

	.macro	leave_to where
	mov	patch_vector_mask(%rip), %eax
	test	%eax, %eax
	jz	.Lold_restore\@
	xor	%edx, %edx
	xrstor	(%rsp)
	jmp	.Lrestored\@
.Lold_restore\@:
	fxrstor64 (%rsp)
.Lrestored\@:
	lea	-64(%rbp), %rsp
	pop	%rcx
	pop	%r9
	pop	%r8
	pop	%r10
	pop	%rdx
	pop	%rsi
	pop	%rdi
	pop	%rax
	pop	%rbp
	.cfi_def_cfa %rsp, 144
	.cfi_restore %rbp
	pop	%r11
	.cfi_adjust_cfa_offset -8
	mov	\where, %rcx
	.cfi_register %rip, %rcx
	mov	%r11, 128(%rsp)
	mov	(%rsp), %r11
	popfq
	.cfi_adjust_cfa_offset -8
	lea	128(%rsp), %rsp
	.cfi_adjust_cfa_offset -128
	jmp	*%rcx
	.cfi_endproc
	.endm

	.type	patched_call, @function
patched_call:
	enter
	call	patch_enter
	mov	%rax, -8(%rbp)
	leave_to SITE_RET(%rcx)
	.size	patched_call, .-patched_call

	.type	clone_before, @function
clone_before:
	enter
	call	patch_clone_enter
	mov	%rax, -8(%rbp)
	leave_to 8(%rcx)
	.size	clone_before, .-clone_before

	.type	clone_after, @function
clone_after:
	enter
	call	patch_clone_leave
	leave_to SITE_RET(%rcx)
	.size	clone_after, .-clone_after

	.section .note.GNU-stack, "", @progbits
