/* SPDX-License-Identifier: MIT */
/*
 * The machine's memory as the kernel divides it: nodes, zones, free blocks, and the slabs that maps
 * are made of.
 *
 * Context of all: hook path, under the capture lock.
 */
#ifndef VMTRACE_TOPOLOGY_H
#define VMTRACE_TOPOLOGY_H

/* Read it all again, and tell it in a `topology` line. */
void topology_record(void);

#endif
