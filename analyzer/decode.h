/* SPDX-License-Identifier: MIT */
/*
 * The arguments of a call as a C programmer writes them: PROT_READ|PROT_WRITE, MADV_DONTNEED.
 */
#ifndef VMTRACE_ANALYZER_DECODE_H
#define VMTRACE_ANALYZER_DECODE_H

#include <stdio.h>

#include "record.h"

/* "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)" */
void decode_print_call(const struct mm_call *call, FILE *out);

/* " = 0x7f…", " = -1 ENOMEM" */
void decode_print_result(const struct rec_call *c, FILE *out);

/* Arguments by name, as in the trace, with a string where there is a symbol for the value. */
struct json_t;
struct json_t *decode_json_args(const struct mm_call *call);

#endif
