/* SPDX-License-Identifier: MIT */
/* The ELF objects in the process: who a code address belongs to, and `module` events. */
#ifndef VMTRACE_MODULES_H
#define VMTRACE_MODULES_H

#include <stdbool.h>
#include <stdint.h>
#include <vmtrace/trace.h>

/**
 * modules_init() - Find out where libvmtrace, its unwinder, libc and the loader lie.
 * Context: startup, without the capture lock (takes the loader's).
 */
void modules_init(void);

/**
 * modules_refresh() - Tell the trace what was loaded and unloaded since the last time.
 * Context: before a new stack is interned, after dlclose(); inside the gate, or startup; without the
 * capture lock.
 */
void modules_refresh(void);

/* fork child: its trace begins with the modules that its parent's had. Under the capture lock. */
void modules_tell_again(void);

/*
 * The loader's lock on its list, for which dl_iterate_phdr() waits: its holder may be in free(), as
 * dlclose() is, and the caller in malloc(). So it is tried, for a while, and held over what needs it.
 *
 * Context: hook path, signals blocked. Return: false, and it is not held.
 */
bool modules_take_loader(void);
void modules_give_loader(void);

/*
 * fork child: does a thread that was left behind hold the loader's lock on its list, for which
 * dl_iterate_phdr() would wait for ever? True, too, if the lock is not known and there were threads.
 */
bool modules_loader_is_stuck(void);

bool modules_is_vmtrace(uintptr_t ip);
/* Memory of an object that is there only because of vmtrace. */
bool modules_is_own(uint64_t addr);
uint64_t modules_loader_end(void);
struct jsonw;
void modules_put_own(struct jsonw *w);
/* Who calls, by the return address of a hook. */
enum trace_origin modules_origin(uintptr_t ip);

#endif
