/* SPDX-License-Identifier: MIT */
/*
 * Names are stored once per mm: equal names are equal pointers and live as long as the mm's
 * memory.
 */
#ifndef VMTRACE_MM_NAMES_H
#define VMTRACE_MM_NAMES_H

#include "vmtrace/mm.h"

/**
 * mm_intern() - The stored copy of @name.
 * @name: NULL and "" mean no name.
 * @ret_name: the copy, NULL for no name.
 *
 * Return: 0, -ENOMEM.
 */
int mm_intern(struct mm *mm, const char *name, const char **ret_name);

#endif
