/* SPDX-License-Identifier: MIT */
/* From what the kernel shows of a vma to a vma of the model. */
#ifndef VMTRACE_MM_INIT_H
#define VMTRACE_MM_INIT_H

#include "txn.h"

/** vma_from_desc() - @vma as described, with guesses for what isn't. Return: 0, -ENOMEM. */
int vma_from_desc(struct mm *mm, struct vma *vma, const struct vma_desc *desc);

#endif
