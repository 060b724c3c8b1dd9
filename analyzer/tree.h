/* SPDX-License-Identifier: MIT */
/*
 * How the processes of several traces descend from each other.
 */
#ifndef VMTRACE_ANALYZER_TREE_H
#define VMTRACE_ANALYZER_TREE_H

#include <stdio.h>

/* Print the tree of the processes behind @paths; traces that can't be read are left out. */
void tree_print(char **paths, int nr, FILE *out);

#endif
