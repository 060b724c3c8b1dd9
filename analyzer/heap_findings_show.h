/* SPDX-License-Identifier: MIT */
/*
 * Frees that can't be right, as text and as JSON.
 */
#ifndef VMTRACE_ANALYZER_HEAP_FINDINGS_SHOW_H
#define VMTRACE_ANALYZER_HEAP_FINDINGS_SHOW_H

#include "heap.h"

struct json_t;
struct trace;

/* "double_free" */
const char *heap_finding_word(const struct heap_finding *f);

/* One sentence, without a newline; allocated by alloc_*(). */
char *heap_finding_text(const struct heap_finding *f);

/* All that were kept, with the call stacks of the blocks. */
void heap_findings_print(struct trace *trace);
struct json_t *heap_findings_json(struct trace *trace);

#endif
