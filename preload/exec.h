/* SPDX-License-Identifier: MIT */
/* exec: what the trace says about it, and how the library gets into the next image. */
#ifndef VMTRACE_EXEC_H
#define VMTRACE_EXEC_H

#include <stdint.h>

/* Remember what a later environment must hold. Context: startup, before the program can change it. */
void exec_init(char *const envp[]);

/**
 * exec_call() - Make an execve() or execveat(), with LD_PRELOAD and the settings in the environment.
 * @nr: SYS_execve or SYS_execveat.
 *
 * A vfork child's exec is recorded by its own next image only. Context: hook path, also there.
 * Return: -errno, if it returns.
 */
long exec_call(long nr, const uint64_t arg[6]);

/* The two records of an exec made elsewhere: libc's execvpe() where its sites are not patched. */
void exec_record(const char *path, char *const argv[]);
void exec_record_failure(int error);

#endif
