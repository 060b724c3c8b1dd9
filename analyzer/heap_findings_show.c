/* SPDX-License-Identifier: MIT */
#include "heap_findings_show.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc.h"
#include "json.h"
#include "out.h"
#include "report.h"

enum { TEXT_MAX = 320 };

const char *heap_finding_word(const struct heap_finding *f)
{
	return f->kind == HEAP_DOUBLE_FREE ? "double_free" : "invalid_free";
}

char *heap_finding_text(const struct heap_finding *f)
{
	char *text = alloc_zeroed(TEXT_MAX), t[OUT_SIZE_MAX], then[OUT_SIZE_MAX];

	out_time(t, f->t);
	out_time(then, f->block_t);
	if (f->kind == HEAP_DOUBLE_FREE)
		snprintf(text, TEXT_MAX, "double free of 0x%" PRIx64 " at %s s by thread %" PRId64
			 ": its block of %" PRIu64 " bytes was freed at %s s by thread %" PRId64,
			 f->addr, t, f->tid, f->size, then, f->block_tid);
	else
		snprintf(text, TEXT_MAX, "free of 0x%" PRIx64 " at %s s by thread %" PRId64
			 ", which is inside a block of %" PRIu64 " bytes at 0x%" PRIx64
			 " allocated at %s s by thread %" PRId64,
			 f->addr, t, f->tid, f->size, f->block, then, f->block_tid);
	return text;
}

void heap_findings_print(struct trace *tr)
{
	const struct heap *h = &tr->heap;
	size_t i;

	if (h->double_frees || h->invalid_frees)
		fprintf(tr->out, "double frees %" PRIu64 ", invalid frees %" PRIu64 "\n",
			h->double_frees, h->invalid_frees);
	for (i = 0; i < h->nr_findings; i++) {
		char *text = heap_finding_text(&h->findings[i]);

		fprintf(tr->out, "\n%s; allocated by\n", text);
		symbols_print_stack(tr->symbols, h->findings[i].stack, "    ", 0, tr->out);
		alloc_free(text);
	}
}

struct json_t *heap_findings_json(struct trace *tr)
{
	const struct heap *h = &tr->heap;
	struct json_t *list = js_array();
	size_t i;

	for (i = 0; i < h->nr_findings; i++) {
		const struct heap_finding *f = &h->findings[i];
		struct json_t *obj = js_object(), *block = js_object();

		js_set_str(obj, "kind", heap_finding_word(f));
		js_set_u64(obj, "t", f->t);
		js_set(obj, "tid", js_signed(f->tid));
		js_set_hex(obj, "addr", f->addr);
		js_set_hex(block, "addr", f->block);
		js_set_u64(block, "size", f->size);
		js_set_u64(block, f->kind == HEAP_DOUBLE_FREE ? "freed_t" : "allocated_t", f->block_t);
		js_set(block, f->kind == HEAP_DOUBLE_FREE ? "freed_tid" : "allocated_tid",
		       js_signed(f->block_tid));
		js_set(block, "stack", symbols_json_stack(tr->symbols, f->stack));
		js_set(obj, "block", block);
		js_append(list, obj);
	}
	return list;
}
