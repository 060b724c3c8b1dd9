/* SPDX-License-Identifier: MIT */
/*
 * Jumps. A signal handler that interrupted a hook may leave it for good; from then on the thread
 * is no longer inside vmtrace.
 */
#include <setjmp.h>

#include "hooks.h"
#include "next.h"
#include "thread.h"

void __longjmp_chk(struct __jmp_buf_tag *env, int value) __attribute__((noreturn));

#define JUMP(member, env, value) do { \
	next_resolve(); \
	thread_abandon(); \
	next.member(env, value); \
	__builtin_unreachable(); \
} while (0)

EXPORT void longjmp(jmp_buf env, int value)
{
	JUMP(longjmp_, env, value);
}

EXPORT void _longjmp(jmp_buf env, int value)
{
	JUMP(bsd_longjmp_, env, value);
}

EXPORT void siglongjmp(sigjmp_buf env, int value)
{
	JUMP(siglongjmp_, env, value);
}

EXPORT void __longjmp_chk(struct __jmp_buf_tag *env, int value)
{
	JUMP(longjmp_chk_, env, value);
}
