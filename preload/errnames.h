/* SPDX-License-Identifier: MIT */
/* Names of errno values, without the locale machinery of strerror(). */
#ifndef VMTRACE_ERRNAMES_H
#define VMTRACE_ERRNAMES_H

/* "ENOENT"; "E?" for a number without a name. */
const char *errname(int number);

#endif
