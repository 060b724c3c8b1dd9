/* SPDX-License-Identifier: MIT */
/*
 * A system call by number and registers, on its way to the kernel: what every way in has in common
 * that is not an interposed symbol.
 *
 *     syscall(2) ──┐
 *     patch.c ─────┼─▶ dispatch() ─▶ capture_*(), fds_*(), exec_*(), or the kernel
 *     sud.c ───────┘
 */
#ifndef VMTRACE_DISPATCH_H
#define VMTRACE_DISPATCH_H

#include <stdint.h>

enum dispatch_way {
	DISPATCH_BY_NUMBER,	/* through syscall(2) */
	DISPATCH_SITE,		/* at a patched site of libc or the loader */
	DISPATCH_RAW,		/* at an instruction somewhere else */
};

/**
 * dispatch() - Make the call and record it if it is one of ours.
 *
 * Context: hook path. Not for calls whose child runs on memory that we stand on (vfork, clone with
 * CLONE_VM). Return: the kernel's result, -errno on failure; errno is not touched.
 */
long dispatch(long nr, const uint64_t arg[6], enum dispatch_way way);

#endif
