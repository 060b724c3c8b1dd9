/* SPDX-License-Identifier: MIT */
#include "page_history.h"

#include <inttypes.h>
#include <string.h>
#include <sys/prctl.h>

#include "alloc.h"
#include "decode.h"
#include "json.h"
#include "out.h"
#include "symbols.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

enum { VM_PERMS = VM_READ | VM_WRITE | VM_EXEC | VM_MAYSHARE };

/* Changes after which another mapping is there. */
enum { PUT_HERE = 1u << PAGE_CHANGE_MAPPED | 1u << PAGE_CHANGE_REPLACED };

static const char *const change_names[NR_PAGE_CHANGES] = {
#define CHANGE_NAME(symbol, name) [PAGE_CHANGE_##symbol] = name,
	PAGE_CHANGES(CHANGE_NAME)
};

void page_history_init(struct page_history *h, uint64_t addr, size_t limit)
{
	*h = (struct page_history){ .addr = addr, .limit = limit };
}

void page_history_fini(struct page_history *h)
{
	size_t i;

	for (i = 0; i < h->nr; i++)
		alloc_free(h->list[i].errno_name);
	alloc_free(h->list);
	alloc_free(h->mapped.errno_name);
	alloc_free(h->unmapped.errno_name);
}

static struct page_vma look(struct mm *mm, uint64_t addr)
{
	const struct vma *vma = vma_lookup(mm, addr);

	if (!vma)
		return (struct page_vma){ .is_mapped = false };
	return (struct page_vma){
		.is_mapped = true, .start = vma->vm_start, .end = vma->vm_end,
		.vm_flags = vma->vm_flags, .name = vma_name(mm, vma), .inode = vma->inode,
		.offset = vma->inode ? (vma->vm_pgoff << MM_PAGE_SHIFT) - vma->vm_start : 0,
		.has_below = vma->vm_prev && vma->vm_prev->vm_end == vma->vm_start,
		.has_above = vma->vm_next && vma->vm_next->vm_start == vma->vm_end,
	};
}

static bool contains(uint64_t start, uint64_t len, uint64_t addr)
{
	uint64_t first = start & -MM_PAGE_SIZE;

	len += start - first;
	len = (len + MM_PAGE_SIZE - 1) & -MM_PAGE_SIZE;
	return addr >= first && addr - first < len;
}

static bool is_moved(const struct mm_call *c)
{
	return c->op == MM_MREMAP && (uint64_t)c->ret != c->arg[0];
}

/* Whether a successful @c put something new at @addr. */
static bool maps_at(const struct mm_call *c, uint64_t addr)
{
	switch (c->op) {
	case MM_MMAP:
		return contains(c->ret, c->arg[1], addr);
	case MM_MREMAP:
		return is_moved(c) && contains(c->ret, c->arg[2], addr);
	case MM_SHMAT:
		return contains(c->ret, c->len, addr);
	default:
		return false;
	}
}

static bool is_in_ranges(const struct mm_call *c, uint64_t addr)
{
	size_t i;

	for (i = 0; i < c->nr_ranges; i++)
		if (addr >= c->ranges[i].start && addr < c->ranges[i].end)
			return true;
	return false;
}

/* Whether the arguments of @c name a range that @addr is in. */
static bool is_about(const struct mm_call *c, uint64_t addr)
{
	switch (c->op) {
	case MM_MUNMAP: case MM_MREMAP: case MM_MPROTECT: case MM_PKEY_MPROTECT: case MM_MADVISE:
	case MM_MLOCK: case MM_MLOCK2: case MM_MUNLOCK: case MM_MSEAL: case MM_REMAP_FILE_PAGES:
	case MM_MBIND: case MM_SET_MEMPOLICY_HOME_NODE:
		return contains(c->arg[0], c->arg[1], addr);
	case MM_MMAP:
		/* One that failed: what was wanted. A hint that was not followed is not about it. */
		return c->ret < 0 && c->arg[0] && contains(c->arg[0], c->arg[1], addr);
	case MM_PROCESS_MADVISE:
		return is_in_ranges(c, addr);
	case MM_PRCTL:
		return c->arg[0] == PR_SET_VMA && contains(c->arg[2], c->arg[3], addr);
	case MM_IOCTL:
		return contains(c->arg[3], c->arg[4], addr);
	default:
		return false;
	}
}

/* One edge of the vma has come nearer to the page, or gone away from it. */
static unsigned int compare_edge(bool is_nearer, bool is_farther, bool had_neighbour,
				 bool has_neighbour)
{
	if (is_nearer)
		return 1u << (has_neighbour ? PAGE_CHANGE_SPLIT : PAGE_CHANGE_SHRUNK);
	if (is_farther)
		return 1u << (had_neighbour ? PAGE_CHANGE_MERGED : PAGE_CHANGE_GROWN);
	return 0;
}

static unsigned int compare(const struct page_vma *old, const struct page_vma *now, bool is_new)
{
	unsigned int changes = 0;
	uint64_t flags = old->vm_flags ^ now->vm_flags;

	if (!now->is_mapped)
		return old->is_mapped ? 1u << PAGE_CHANGE_UNMAPPED : 0;
	if (!old->is_mapped)
		return 1u << PAGE_CHANGE_MAPPED;
	if (is_new)
		return 1u << PAGE_CHANGE_REPLACED;
	changes |= compare_edge(now->start > old->start, now->start < old->start, old->has_below,
				now->has_below);
	changes |= compare_edge(now->end < old->end, now->end > old->end, old->has_above,
				now->has_above);
	if (flags & VM_PERMS)
		changes |= 1u << PAGE_CHANGE_PERMS;
	/* Those that permissions bring along are no news. */
	else if (flags & ~(VM_SHARED | VM_ACCOUNT))
		changes |= 1u << PAGE_CHANGE_FLAGS;
	if (strcmp(old->name, now->name))
		changes |= 1u << PAGE_CHANGE_NAME;
	if (old->inode != now->inode || old->offset != now->offset)
		changes |= 1u << PAGE_CHANGE_FILE;
	return changes;
}

/* The call's numbers: what it points to lasts no longer than the record. */
static void copy_call(struct page_event *e, const struct rec_call *c)
{
	e->call = (struct mm_call){ .op = c->call.op, .len = c->call.len, .ret = c->call.ret };
	memcpy(e->call.arg, c->call.arg, sizeof(e->call.arg));
	e->origin = c->origin;
	e->tid = c->tid;
	e->stack = c->stack;
}

static uint64_t other_place(const struct mm_call *c, uint64_t addr, unsigned int changes)
{
	uint64_t to = c->ret;

	if (c->ret < 0 || !is_moved(c))
		return 0;
	if (changes & PUT_HERE && contains(to, c->arg[2], addr) && addr - to < c->arg[1])
		return c->arg[0] + (addr - to);
	if (contains(c->arg[0], c->arg[1], addr) && addr - c->arg[0] < c->arg[2])
		return to + (addr - c->arg[0]);
	return 0;
}

static void keep(struct page_event *to, bool *ret_has, const struct page_event *e,
		 const char *errno_name)
{
	alloc_free(to->errno_name);
	*to = *e;
	to->errno_name = errno_name ? alloc_string(errno_name) : NULL;
	*ret_has = true;
}

static void add_event(struct page_history *h, const struct page_event *e, const char *errno_name)
{
	struct page_event *slot;
	bool is_kept;

	if (!h->limit || h->nr < h->limit) {
		h->list = alloc_grow(h->list, h->nr, &h->cap, sizeof(*h->list));
		slot = &h->list[h->nr++];
		slot->errno_name = NULL;
	} else {
		slot = &h->list[h->total % h->limit];
	}
	h->total++;
	keep(slot, &is_kept, e, errno_name);
	if (e->changes & PUT_HERE)
		keep(&h->mapped, &h->has_mapped, e, errno_name);
	if (e->changes & 1u << PAGE_CHANGE_UNMAPPED)
		keep(&h->unmapped, &h->has_unmapped, e, errno_name);
}

void page_history_record(struct page_history *h, struct replay *replay, const struct record *rec)
{
	const struct mm_call *c = rec->ev == TRACE_CALL ? &rec->call.call : NULL;
	const char *errno_name = c ? rec->call.errno_name : NULL;
	struct page_event e = { .t = rec->t };
	struct page_vma now;

	if (rec->ev != TRACE_VMA && rec->ev != TRACE_CALL && rec->ev != TRACE_DIFF)
		return;
	now = look(&replay->mm, h->addr);
	if (rec->ev != TRACE_VMA) {
		e.changes = compare(&h->now, &now, c && !errno_name && maps_at(c, h->addr));
		e.is_diff = !c;
		e.seq = c ? rec->call.seq : rec->diff.seq;
		e.start = now.start;
		e.end = now.end;
		if (c) {
			copy_call(&e, &rec->call);
			e.other = other_place(c, h->addr, e.changes);
		} else {
			e.cause = rec->diff.cause;
		}
		if (e.changes || (c && is_about(c, h->addr)))
			add_event(h, &e, errno_name);
	}
	h->now = now;
}

const struct page_event *page_history_event(const struct page_history *h, size_t i)
{
	return &h->list[h->total > h->nr ? (h->total + i) % h->nr : i];
}

void page_event_print_changes(const struct page_event *e, FILE *out)
{
	unsigned int i, nr = 0;

	for (i = 0; i < NR_PAGE_CHANGES; i++)
		if (e->changes & 1u << i)
			fprintf(out, "%s%s", nr++ ? ", " : "", change_names[i]);
	if (!nr)
		fputs("the mapping stayed as it was", out);
	if (e->other)
		fprintf(out, "%s0x%" PRIx64,
			e->changes & PUT_HERE ? ", moved from " : ", moved to ", e->other);
}

void page_event_print(const struct page_event *e, FILE *out)
{
	char time[OUT_SIZE_MAX];

	out_time(time, e->t);
	if (e->is_diff) {
		fprintf(out, "a difference from the kernel after call %" PRIu64 " at %s s: %s",
			e->seq, time, record_cause_names[e->cause]);
		return;
	}
	fprintf(out, "call %" PRIu64 " at %s s: ", e->seq, time);
	decode_print_call(&e->call, out);
	decode_print_result(&(struct rec_call){ .call = e->call, .errno_name = e->errno_name }, out);
	fprintf(out, " (%s, thread %" PRId64 ")", record_origin_names[e->origin], e->tid);
}

static void json_call(struct json_t *obj, const struct page_event *e, struct symbols *symbols)
{
	js_set(obj, "tid", js_signed(e->tid));
	js_set_str(obj, "call", record_call_names[e->call.op]);
	js_set(obj, "args", decode_json_args(&e->call));
	if (e->errno_name)
		js_set_str(obj, "errno", e->errno_name);
	else if (record_returns_address(e->call.op))
		js_set_hex(obj, "ret", e->call.ret);
	else
		js_set(obj, "ret", js_signed(e->call.ret));
	js_set_str(obj, "origin", record_origin_names[e->origin]);
	if (e->other)
		js_set_hex(obj, e->changes & PUT_HERE ? "moved_from" : "moved_to", e->other);
	if (symbols)
		js_set(obj, "stack", symbols_json_stack(symbols, e->stack));
}

struct json_t *page_event_json(const struct page_event *e, struct symbols *symbols)
{
	struct json_t *obj = js_object(), *changes = js_array(), *vma;
	unsigned int i;

	for (i = 0; i < NR_PAGE_CHANGES; i++)
		if (e->changes & 1u << i)
			js_append(changes, js_string(change_names[i]));
	js_set_u64(obj, "seq", e->seq);
	js_set_u64(obj, "t", e->t);
	js_set(obj, "changes", changes);
	if (e->is_diff)
		js_set_str(obj, "cause", record_cause_names[e->cause]);
	else
		json_call(obj, e, symbols);
	if (e->end) {
		vma = js_array();
		js_append(vma, js_address(e->start));
		js_append(vma, js_address(e->end));
		js_set(obj, "vma", vma);
	}
	return obj;
}
