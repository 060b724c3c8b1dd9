/* SPDX-License-Identifier: MIT */
/*
 * A vma for people and as JSON: what views that show maps share.
 */
#ifndef VMTRACE_ANALYZER_VMA_SHOW_H
#define VMTRACE_ANALYZER_VMA_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include <vmtrace/mm.h>

struct json_t;

/* A line as maps prints it; on a terminal names are escaped. */
void vma_print_line(const struct vma_desc *desc, bool is_terminal, FILE *out);

/* {"start","end","perms","offset","dev","inode","name"} */
struct json_t *vma_json_line(const struct vma_desc *desc);

/* "rd wr mr": VmFlags as smaps has them. Room for VMA_FLAGS_MAX. Return: @buf. */
#define VMA_FLAGS_MAX 128
const char *vma_flags_text(uint64_t vm_flags, char *buf);

/* The pseudo line at the end of maps. */
struct vma_desc vma_vsyscall(uint64_t vm_flags);

#endif
