/* SPDX-License-Identifier: MIT */
/* Operations of all kinds, with numbers of any length. */
#include "heap_stream.h"

#include "no_heap.h"

static bool begin_op(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, struct heap_op *op)
{
	/* The counter may be read before an earlier instruction that waits for it; a thread's order is known. */
	if (ns < s->last_ns)
		ns = s->last_ns;
	if (!heap_stream_goes_on(s, ns) && !heap_stream_begin(s, tid, ns, addr))
		return false;
	heap_op_begin(s, ns, op);
	return true;
}

void heap_stream_alloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, size_t size,
		       size_t align, uint32_t stack)
{
	struct heap_op op;

	if (!begin_op(s, tid, ns, addr, &op))
		return;
	if (addr) {
		heap_op_field(&op, (int64_t)(addr - s->base));
	} else {
		memcpy(op.p, ",null", 5);
		op.p += 5;
	}
	heap_op_field(&op, (int64_t)(size > INT64_MAX ? INT64_MAX : size));
	heap_op_field(&op, stack);
	if (align && addr)
		heap_op_field(&op, (int64_t)align);
	heap_op_end(s, &op);
}

void heap_stream_free(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr)
{
	struct heap_op op;

	if (!begin_op(s, tid, ns, addr, &op))
		return;
	heap_op_field(&op, (int64_t)(addr - s->base));
	heap_op_end(s, &op);
}

void heap_stream_realloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, size_t size,
			 uint32_t stack, uint64_t old, uint64_t took)
{
	struct heap_op op;

	if (!begin_op(s, tid, ns, addr, &op))
		return;
	heap_op_field(&op, (int64_t)(addr - s->base));
	heap_op_field(&op, (int64_t)size);
	heap_op_field(&op, stack);
	heap_op_field(&op, (int64_t)(old - s->base));
	heap_op_field(&op, (int64_t)took);
	heap_op_end(s, &op);
}
