/* SPDX-License-Identifier: MIT */
/*
 * The operations: one function per call, each replays txn->call on txn->mm.
 *
 * They are told the outcome. Where the call has failed they walk the range the way the kernel
 * does, up to the first reason for that error, and leave what the kernel leaves. A failure without
 * a reason in the model changes nothing and is reported as doubt.
 * Return: 0, or -ENOMEM if the allocator is empty.
 */
#ifndef VMTRACE_MM_OPS_H
#define VMTRACE_MM_OPS_H

#include "txn.h"

int op_mmap(struct mm_txn *txn);
int op_remap_file_pages(struct mm_txn *txn);
int op_munmap(struct mm_txn *txn);
int op_mremap(struct mm_txn *txn);
int op_mprotect(struct mm_txn *txn);
int op_brk(struct mm_txn *txn);
int op_madvise(struct mm_txn *txn);
int op_process_madvise(struct mm_txn *txn);
int op_mlock(struct mm_txn *txn);
int op_mlockall(struct mm_txn *txn);
int op_mseal(struct mm_txn *txn);
int op_shmat(struct mm_txn *txn);
int op_shmdt(struct mm_txn *txn);
int op_io_setup(struct mm_txn *txn);
int op_io_destroy(struct mm_txn *txn);
int op_mbind(struct mm_txn *txn);
int op_home_node(struct mm_txn *txn);
int op_prctl(struct mm_txn *txn);
int op_ioctl(struct mm_txn *txn);
int op_close(struct mm_txn *txn);

/* mm_ask() of those calls that can fail half-way for a flag in doubt. */
uint64_t ask_mprotect(struct mm *mm, const struct mm_call *call);
uint64_t ask_mremap(struct mm *mm, const struct mm_call *call);

/* Shared by the operations. */

/** span_is_sane() - Page aligned, not empty, no overflow. What lies beyond the end is a hole. */
bool span_is_sane(uint64_t start, uint64_t end);

/** range_is_sane() - The same, and below @mm's end. */
bool range_is_sane(const struct mm *mm, uint64_t start, uint64_t end);

/** mm_unmap() - Take everything out of [start, end), splitting at its ends. */
void mm_unmap(struct mm_txn *txn, uint64_t start, uint64_t end);

/**
 * mm_unmap_fails() - What an unmapping that fails leaves behind: nothing but splits.
 *
 * They are made only if the call has failed for that reason.
 * Return: true if the model knows a reason.
 */
bool mm_unmap_fails(struct mm_txn *txn, uint64_t start, uint64_t end);

/** mm_is_indivisible() - Would [start, end) have to be cut off where the kernel can't split? */
bool mm_is_indivisible(struct mm *mm, uint64_t start, uint64_t end);

/** mm_may_expand() - may_expand_vm(): @pages more with @flags, as far as RLIMIT_AS, _DATA go? */
bool mm_may_expand(const struct mm *mm, uint64_t flags, uint64_t pages);

/**
 * mm_map_over_limit() - A mapping over [start, end) was refused: was it for RLIMIT_AS?
 *
 * That is found out after what is in the way was split at both ends.
 * Return: true if it was, and the splits were made.
 */
bool mm_map_over_limit(struct mm_txn *txn, uint64_t start, uint64_t end);

/**
 * mm_learn_growth() - A call has worked that needs something mapped at @addr.
 *
 * If the model has a hole there, a stack above it must have grown unseen, at least so far.
 */
void mm_learn_growth(struct mm_txn *txn, uint64_t addr);

/** mm_place_new() - A fresh mapping of @model's range, which must be empty; populates it. */
struct vma *mm_place_new(struct mm_txn *txn, struct vma *model, bool populate);

/** vma_init_anon() - @model as private anonymous memory of [start, end). */
void vma_init_anon(struct mm_txn *txn, struct vma *model, uint64_t start, uint64_t end,
		   uint64_t flags);

/** vma_set_file() - Put @file behind @model, as a struct file of its own. Return: 0, -ENOMEM. */
int vma_set_file(struct mm *mm, struct vma *model, const struct vma_file *file);

#endif
