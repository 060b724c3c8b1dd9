/* SPDX-License-Identifier: MIT */
/*
 * The system calls that libc and the loader make without passing a symbol: their sites are patched
 * in place, so that each arrives in dispatch.c like any other.
 *
 * A site is exactly seven bytes, `mov $nr,%eax; syscall` (in syscall(2) itself
 * `mov 8(%rsp),%r9; syscall`), found by searching the text. Its first five become a jump to a stub
 * of ours; the syscall instruction stays, so that a jump straight to it works as before. The bytes
 * are written through /proc/self/mem: the text stays read-only and no vma is split.
 */
#ifndef VMTRACE_PATCH_H
#define VMTRACE_PATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Known to patch_x86_64.S too. */
#define PATCH_NR_PLAIN 128
#define PATCH_NR_BY_NUMBER 8
#define PATCH_NR_CLONE 16

struct jsonw;

/**
 * patch_init() - Patch every copy of libc and of the loader in the process.
 * @signals: the calls that set signal masks too (tier all).
 *
 * Context: startup, after kmaps_init(), before the first snapshot.
 * Return: false if no call was patched that changes the map.
 */
bool patch_init(bool signals);

/**
 * patch_note_text() - A file was mapped executable: patch it if it is another copy of libc.
 * @name: as /proc/self/maps shows it.
 *
 * What can't be patched there is counted as lost, and one line on stderr says so.
 * Context: hook path, under the capture lock.
 */
void patch_note_text(uint64_t start, uint64_t end, const char *name);

/* Is the call of that number captured inside libc? */
bool patch_has(long nr);

/* The text of the libc that this library is linked to. Return: false if it is not known. */
bool patch_libc_text(uint64_t *ret_start, uint64_t *ret_end);

/*
 * Are all sites still as they were written? What was undone or overwritten is patched no more and
 * no longer claimed; it counts as lost. Context: hook path, under the capture lock.
 */
void patch_check(void);

/* A site of the text that the calls of the model need and that is not there: "libc.so.6: mremap", or NULL. */
const char *patch_missing(unsigned int index);

/* [{"path","sites":{"mmap":1,…}}…], for the header. */
void patch_put(struct jsonw *w, const char *key);

#endif
