/* SPDX-License-Identifier: MIT */
/* The beginning of a trace: at process start, and in the child of a fork. */
#ifndef VMTRACE_START_H
#define VMTRACE_START_H

/* Under the capture lock, held over the fork. Turns recording off if there is no output. */
void start_fork_child(void);

#endif
