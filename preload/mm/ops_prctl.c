/* SPDX-License-Identifier: MIT */
/*
 * prctl(2): names for anonymous memory, the mm's segment addresses, and KSM for everything. The
 * last sets or clears the flag of every vma and, unlike all else, tries no merge.
 */
#include "ops.h"

#include <errno.h>
#include <linux/prctl.h>

#include "names.h"
#include "ops_madvise.h"
#include "vma.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

static bool is_shared_anon(const struct vma *vma)
{
	return vma_is_shared(vma) && (name_has_prefix(vma->name, "[anon_shmem:") ||
				      name_has_prefix(vma->name, "/dev/zero (deleted)"));
}

struct anon_name {
	const char *anon, *shmem;	/* interned, in the form of maps; NULL: none */
};

static bool visit_name(struct mm_txn *txn, const struct vma *vma, struct vma *want,
		       const void *arg)
{
	const struct anon_name *name = arg;

	(void)txn;
	if (!vma_is_file(vma)) {
		want->name = name->anon;
		return true;
	}
	if (!is_shared_anon(vma))
		return false;
	want->name = name->shmem;
	return true;
}

/* "[" prefix name "]" */
static int intern_decorated(struct mm *mm, const char *prefix, const char *name,
			    const char **ret_name)
{
	char text[128];
	unsigned int n = 0;

	while (*prefix)
		text[n++] = *prefix++;
	while (*name && n < sizeof(text) - 2)
		text[n++] = *name++;
	text[n++] = ']';
	text[n] = '\0';
	return mm_intern(mm, text, ret_name);
}

static int set_vma_name(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;
	uint64_t start = call->arg[2], end = start + page_align(call->arg[3]);
	struct anon_name name = { NULL, NULL };
	int err;

	if (call->arg[1] != PR_SET_VMA_ANON_NAME || !span_is_sane(start, end) ||
	    call->ret == -EINVAL || call->ret == -EFAULT)
		return 0;
	if (call->name) {
		err = intern_decorated(txn->mm, "[anon:", call->name, &name.anon);
		if (!err)
			err = intern_decorated(txn->mm, "[anon_shmem:", call->name, &name.shmem);
	} else {
		err = mm_intern(txn->mm, "/dev/zero (deleted)", &name.shmem);
	}
	if (err)
		return err;
	madvise_walk(txn, start, end, visit_name, &name);
	return 0;
}

static void set_mm_field(struct mm *mm, uint64_t what, uint64_t value)
{
	uint64_t *const fields[] = {
		[PR_SET_MM_START_CODE] = &mm->start_code, [PR_SET_MM_END_CODE] = &mm->end_code,
		[PR_SET_MM_START_DATA] = &mm->start_data, [PR_SET_MM_END_DATA] = &mm->end_data,
		[PR_SET_MM_START_STACK] = &mm->start_stack, [PR_SET_MM_START_BRK] = &mm->start_brk,
		[PR_SET_MM_BRK] = &mm->brk, [PR_SET_MM_ARG_START] = &mm->arg_start,
		[PR_SET_MM_ARG_END] = &mm->arg_end, [PR_SET_MM_ENV_START] = &mm->env_start,
		[PR_SET_MM_ENV_END] = &mm->env_end,
	};

	if (what < sizeof(fields) / sizeof(fields[0]) && fields[what])
		*fields[what] = value;
}

static void set_memory_merge(struct mm_txn *txn, bool on)
{
	struct mm *mm = txn->mm;

	if (mm->ksm_merge_any == on)
		return;
	mm->ksm_merge_any = on;
	for (struct vma *vma = mm->first; vma; vma = vma->vm_next) {
		if (on && vma_may_ksm(vma))
			vma_set_flags(txn, vma, vma->vm_flags | VM_MERGEABLE);
		else if (!on)
			vma_set_flags(txn, vma, vma->vm_flags & ~VM_MERGEABLE);
		vma->vm_flags_unknown &= ~VM_MERGEABLE;
	}
}

int op_prctl(struct mm_txn *txn)
{
	const struct mm_call *call = txn->call;

	if (call->arg[0] == PR_SET_VMA)
		return set_vma_name(txn);
	if (call->ret)
		return 0;
	if (call->arg[0] == PR_SET_MM)
		set_mm_field(txn->mm, call->arg[1], call->arg[2]);
	else if (call->arg[0] == PR_SET_MEMORY_MERGE)
		set_memory_merge(txn, call->arg[1]);
	return 0;
}
