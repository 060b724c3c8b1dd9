/* SPDX-License-Identifier: MIT */
/*
 * Is it safe to let the unwinder read the unwind information of an address?
 *
 * libunwind follows the offsets and pointers in there unchecked: where they are damaged, it reads from
 * anywhere, and the program dies of it. So they are followed here first, within bounds.
 */
#ifndef VMTRACE_CFI_CHECK_H
#define VMTRACE_CFI_CHECK_H

#include "cfi.h"
#include "cfi_read.h"

/**
 * cfi_is_sound() - Follow the way to the FDE of @addr and the CIE of that.
 * @find_mapping: what may be read besides.
 *
 * Context: as cfi_find(). Return: false if something leads out of @section, or is not of a known form;
 * true as well where there is nothing about @addr.
 */
bool cfi_is_sound(const struct section *section, uintptr_t addr, cfi_mapping_fn *find_mapping);

#endif
