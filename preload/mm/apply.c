/* SPDX-License-Identifier: MIT */
/* mm_apply(): one call in, its effect out. */
#include <errno.h>
#include <string.h>

#include "ops.h"
#include "vma.h"

static int no_effect(struct mm_txn *txn)
{
	(void)txn;
	return 0;
}

typedef int (*mm_op_fn)(struct mm_txn *txn);

static const mm_op_fn ops[MM_OP_COUNT] = {
	[MM_MMAP] = op_mmap,
	[MM_MUNMAP] = op_munmap,
	[MM_MREMAP] = op_mremap,
	[MM_MPROTECT] = op_mprotect,
	[MM_PKEY_MPROTECT] = op_mprotect,
	[MM_BRK] = op_brk,
	[MM_MADVISE] = op_madvise,
	[MM_PROCESS_MADVISE] = op_process_madvise,
	[MM_MLOCK] = op_mlock,
	[MM_MLOCK2] = op_mlock,
	[MM_MUNLOCK] = op_mlock,
	[MM_MLOCKALL] = op_mlockall,
	[MM_MUNLOCKALL] = op_mlockall,
	[MM_MSEAL] = op_mseal,
	[MM_REMAP_FILE_PAGES] = op_remap_file_pages,
	[MM_SHMAT] = op_shmat,
	[MM_SHMDT] = op_shmdt,
	[MM_MBIND] = op_mbind,
	/* The task's policy, not the vmas'. */
	[MM_SET_MEMPOLICY] = no_effect,
	[MM_SET_MEMPOLICY_HOME_NODE] = op_home_node,
	[MM_PRCTL] = op_prctl,
	[MM_IO_SETUP] = op_io_setup,
	[MM_IO_DESTROY] = op_io_destroy,
	[MM_IOCTL] = op_ioctl,
	[MM_CLOSE] = op_close,
};

uint64_t mm_ask(struct mm *mm, const struct mm_call *call)
{
	if (call->ret >= 0 || call->stopped)
		return 0;
	switch (call->op) {
	case MM_MREMAP:
		return ask_mremap(mm, call);
	case MM_MPROTECT:
	case MM_PKEY_MPROTECT:
		return ask_mprotect(mm, call);
	default:
		return 0;
	}
}

/* What mremap has moved is gone; what mprotect has got over has the access rights it asked for. */
void mm_answer(struct mm_call *call, uint64_t addr, const struct vma_desc *desc)
{
	bool done = !desc;

	if (call->op != MM_MREMAP)
		done = desc && !((desc->vm_flags ^ call->arg[2]) & VM_ACCESS_FLAGS);
	if (done)
		call->passed = addr;
	else
		call->stopped = addr;
}

static void note_peaks(struct mm *mm)
{
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	if (mm->map_count > mm->map_count_peak)
		mm->map_count_peak = mm->map_count;
}

int mm_apply(struct mm *mm, const struct mm_call *call, struct mm_effect *ret_effect)
{
	struct mm_effect effect;
	struct mm_txn txn = {
		.mm = mm,
		.call = call,
		.effect = ret_effect ? ret_effect : &effect,
	};
	int err;

	memset(txn.effect, 0, sizeof(effect));
	if ((unsigned int)call->op >= MM_OP_COUNT)
		return 0;
	err = txn_reserve(mm, TXN_NODES);
	if (err)
		return err;
	note_peaks(mm);
	err = ops[call->op](&txn);
	note_peaks(mm);
	mm->nr_uncertain += txn.effect->uncertain;
	return err;
}
