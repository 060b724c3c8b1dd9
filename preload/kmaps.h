/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of the comparison: what it says is mapped.
 *
 * Two sources with one face: the PROCMAP_QUERY ioctl on an open /proc/self/maps (Linux 6.11+,
 * 0.2 µs an answer whatever the number of vmas), and the text of the same file (everywhere).
 */
#ifndef VMTRACE_KMAPS_H
#define VMTRACE_KMAPS_H

#include <stdbool.h>
#include <vmtrace/mm.h>

/**
 * kmaps_init() - Open /proc/self/maps of the process as it is now (again after a fork).
 * @text_only: never use the ioctl.
 *
 * Context: startup, fork child.
 * Return: 0, -errno.
 */
int kmaps_init(bool text_only);
bool kmaps_has_query(void);

/* Does the program's sandbox let the calls of the source in use through? */
bool kmaps_is_allowed(void);
void kmaps_use_text(void);

/**
 * kmaps_query() - The first vma with vm_end > @addr.
 * @name: room for the name, @ret_desc->name points to it; NULL: the name is not wanted (cheaper).
 *
 * Context: hook path, under the capture lock.
 * Return: 0, -ENOENT if there is none, -errno.
 */
int kmaps_query(uint64_t addr, struct vma_desc *ret_desc, char *name, size_t name_size);

/**
 * kmaps_walk() - All vmas in [start, end), in order; [vsyscall] is left out.
 * @visit: returns 0 to go on, anything else ends the walk and is returned.
 */
int kmaps_walk(uint64_t start, uint64_t end, int (*visit)(const struct vma_desc *desc, void *ctx),
	       void *ctx);

#endif
