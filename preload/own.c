/* SPDX-License-Identifier: MIT */
/* A ring of calls between making and telling them. */
#include "own.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "sys.h"

#include "no_heap.h"

#define NR_CALLS 64

static struct own_call calls[NR_CALLS];
static unsigned int first;
unsigned int own_nr_kept;
static bool held;

void own_hold(bool hold)
{
	held = hold;
}

bool own_has_room(void)
{
	return !held && own_nr_kept < NR_CALLS / 2;
}

bool own_take(struct own_call *ret_call)
{
	if (!own_nr_kept)
		return false;
	*ret_call = calls[first];
	first = (first + 1) % NR_CALLS;
	__atomic_store_n(&own_nr_kept, own_nr_kept - 1, __ATOMIC_RELAXED);
	return true;
}

void own_forget(void)
{
	__atomic_store_n(&own_nr_kept, 0, __ATOMIC_RELAXED);
}

long own_call(enum mm_op op, long nr, const uint64_t arg[6])
{
	struct own_call *call = &calls[(first + own_nr_kept) % NR_CALLS];

	if (own_nr_kept == NR_CALLS)
		return -ENOBUFS;
	call->tid = sys_gettid();
	call->op = op;
	memcpy(call->arg, arg, sizeof(call->arg));
	call->ret = sys_call(nr, (long)arg[0], (long)arg[1], (long)arg[2], (long)arg[3],
			     (long)arg[4], (long)arg[5]);
	__atomic_store_n(&own_nr_kept, own_nr_kept + 1, __ATOMIC_RELAXED);
	return (long)call->ret;
}

int own_grow(uint64_t end, uint64_t bytes)
{
	const uint64_t arg[6] = { end - MM_PAGE_SIZE, MM_PAGE_SIZE, MM_PAGE_SIZE + bytes, 0 };
	long ret = own_call(MM_MREMAP, SYS_mremap, arg);

	if (sys_is_err(ret) && ret != -ENOBUFS)
		__atomic_store_n(&own_nr_kept, own_nr_kept - 1, __ATOMIC_RELAXED);
	return sys_is_err(ret) ? (int)ret : 0;
}
