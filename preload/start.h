/* SPDX-License-Identifier: MIT */
/* The beginning of a trace: at process start, and in the child of a fork. */
#ifndef VMTRACE_START_H
#define VMTRACE_START_H

#include <stdbool.h>

/**
 * start_fork_child() - Under the capture lock, held over the fork.
 * @parent_pid: who forked.
 * @traced: false if a hook was interrupted and will go on in the child, with what it knew of the
 *          parent's output, or if what the lock guards is not whole; such a child is not recorded,
 *          and what the hook still stores goes nowhere.
 *
 * Turns recording off if there is no output.
 */
void start_fork_child(int parent_pid, bool traced);

#endif
