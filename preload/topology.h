/* SPDX-License-Identifier: MIT */
/*
 * The machine's memory as the kernel divides it: nodes, zones, free blocks, and the slabs that maps
 * are made of.
 *
 * Context of all: hook path, under the capture lock.
 */
#ifndef VMTRACE_TOPOLOGY_H
#define VMTRACE_TOPOLOGY_H

#include <stdint.h>

#define TOPOLOGY_ZONES 64u	/* those beyond are not known */

/* Read it all again, and tell it in a `topology` line. */
void topology_record(void);

/* Number of the zone that spans @pfn, TOPOLOGY_ZONES if none is known. @ret_end: where it ends. */
unsigned int topology_zone(uint64_t pfn, uint64_t *ret_end);
unsigned int topology_nr_zones(void);
const char *topology_zone_name(unsigned int zone);

#endif
