/* SPDX-License-Identifier: MIT */
/* What part of the address space a call is about, before it and after it. */
#include "event.h"

#include <sys/mman.h>

#include "capture.h"
#include "sys.h"

#include "no_heap.h"

/* Whole pages of [start, start + len), or nothing if that is no range of this address space. */
static struct verify_range pages(uint64_t start, uint64_t len)
{
	start &= ~(MM_PAGE_SIZE - 1);
	len = (len + MM_PAGE_SIZE - 1) & ~(MM_PAGE_SIZE - 1);
	if (!len || start + len < start || start + len > capture_mm.task_size)
		return (struct verify_range){ 0, 0 };
	return (struct verify_range){ start, start + len };
}

/* Calls whose first two arguments are address and length of what they work on. */
static bool names_range(enum mm_op op)
{
	switch (op) {
	case MM_MUNMAP:
	case MM_MREMAP:
	case MM_MPROTECT:
	case MM_PKEY_MPROTECT:
	case MM_MADVISE:
	case MM_MLOCK:
	case MM_MLOCK2:
	case MM_MUNLOCK:
	case MM_MSEAL:
	case MM_REMAP_FILE_PAGES:
	case MM_MBIND:
		return true;
	default:
		return false;
	}
}

static enum verify_effect visible_effect(enum mm_op op)
{
	switch (op) {
	case MM_MMAP:
	case MM_MUNMAP:
	case MM_MREMAP:
	case MM_BRK:
	case MM_REMAP_FILE_PAGES:
	case MM_SHMAT:
	case MM_SHMDT:
	case MM_IO_SETUP:
	case MM_IO_DESTROY:
		return VERIFY_MAPPING;
	case MM_MPROTECT:
	case MM_PKEY_MPROTECT:
		return VERIFY_PERMS;
	default:
		return VERIFY_NOTHING;
	}
}

/*
 * The addresses a call was about, whether or not it did anything: there the shadow must be right.
 * Around them, where vmas were joined, the kernel may know of changes that were not captured.
 */
void event_touched(const struct event *e, struct verify_touched *ret)
{
	const uint64_t *arg = e->call.arg;
	uint64_t now = (uint64_t)e->call.ret;
	bool failed = sys_is_err(e->call.ret);

	ret->effect = visible_effect(e->call.op);
	ret->range[0] = ret->range[1] = (struct verify_range){ 0, 0 };
	switch (e->call.op) {
	case MM_MMAP:
		ret->range[0] = failed ? ret->range[0] : pages(now, arg[1]);
		break;
	case MM_BRK:
		ret->range[0] = e->old_brk < now ? pages(e->old_brk, now - e->old_brk) :
						   pages(now, e->old_brk - now);
		break;
	case MM_MREMAP:
		ret->range[1] = failed ? ret->range[1] : pages(now, arg[2]);
		/* Of something that nobody saw being mapped: what it is can't be known. */
		if (!failed && e->effect.start == e->effect.end && !vma_lookup(&capture_mm, arg[0]))
			ret->effect = VERIFY_NOTHING;
		ret->range[0] = pages(arg[0], arg[1]);
		break;
	case MM_IOCTL:
		ret->range[0] = pages(arg[3], arg[4]);
		break;
	case MM_MLOCKALL:
	case MM_MUNLOCKALL:
	case MM_PRCTL:
	case MM_CLOSE:
		/* About everything, so also about what was never captured; or about attributes only. */
		break;
	default:
		ret->range[0] = names_range(e->call.op) ?
					pages(arg[0], arg[1]) :
					(struct verify_range){ e->effect.start, e->effect.end };
	}
	ret->check = ret->range[0];
	verify_join(&ret->check, &ret->range[1]);
	verify_join(&ret->check, &(struct verify_range){ e->effect.start, e->effect.end });
}

bool event_range(enum mm_op op, const uint64_t arg[6], struct verify_range ret[2])
{
	bool fixed_map = op == MM_MMAP && arg[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE);

	if (!fixed_map && !names_range(op))
		return false;
	ret[0] = pages(arg[0], arg[1]);
	ret[1] = op == MM_MREMAP && arg[3] & MREMAP_FIXED ? pages(arg[4], arg[2]) :
							   (struct verify_range){ 0, 0 };
	return true;
}
