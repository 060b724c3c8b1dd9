/* SPDX-License-Identifier: MIT */
/*
 * The mm's page counters, by the kernel's classes: executable and not writable is code, growing
 * downwards is stack, private and writable is data (vm_stat_account).
 */
#include "txn.h"
#include "vma.h"

void mm_account(struct mm *mm, uint64_t flags, int64_t pages)
{
	mm->total_vm += pages;
	if ((flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC)
		mm->exec_vm += pages;
	else if (flags & VM_GROWSDOWN)
		mm->stack_vm += pages;
	else if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		mm->data_vm += pages;
	if (flags & VM_LOCKED)
		mm->locked_vm += pages;
}
