/* SPDX-License-Identifier: MIT */
/*
 * Walks both lists at once. Where they part, a region is grown until both have a boundary at its
 * end; the region is one difference:
 *
 *     shadow   AAAA BBBB      CCCC
 *     kernel   AAAA BBDD EE   CCCC
 *                   └──────┘  one region, then in step again
 */
#include "verify.h"

#include <string.h>

#include "arena.h"
#include "capture.h"
#include "kmaps.h"
#include "modules.h"
#include "recorder.h"
#include "sink.h"
#include "sys.h"

#include "no_heap.h"

#define NR_REGION 256		/* kernel vmas of one region; more are split into several */
#define NAMES_BYTES 65536
#define NR_GROWTH 16		/* vmas looked at between unknown memory and a growing vma */
#define CATCH_UP_INTERVAL 64	/* events between two attempts */

static uint64_t nr_checks;
static unsigned int nr_vmas;

static struct walk {
	struct mm *mm;
	struct vma *next;		/* shadow's, not yet matched */
	const struct verify_touched *touched;
	uint64_t seq;
	unsigned int nr_diffs, nr_vmas;
	bool start_grown;		/* where the event began, a stack was found to have grown */
	bool open;			/* a region is being grown */
	uint64_t region_start, region_end;
	struct vma_desc kernel[NR_REGION];
	unsigned int nr_kernel;
	char names[NAMES_BYTES];
	size_t names_len;
} walk;

uint64_t verify_nr_checks(void)
{
	return nr_checks;
}

unsigned int verify_nr_vmas(void)
{
	return nr_vmas;
}

void verify_reset(void)
{
	nr_checks = 0;
}

bool verify_is_own(uint64_t start, uint64_t end)
{
	return (start >= arena_start() && end <= arena_end()) ||
	       (start >= sink_start() && end <= sink_end()) || modules_is_own(start);
}

void verify_put_perms(struct jsonw *w, const char *key, uint64_t f)
{
	char perms[5] = { f & VM_READ ? 'r' : '-', f & VM_WRITE ? 'w' : '-',
			  f & VM_EXEC ? 'x' : '-', f & VM_MAYSHARE ? 's' : 'p', '\0' };

	jsonw_str(w, key, perms);
}

static size_t put_hex2(char *dst, uint32_t v)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;
	int shift = 28;

	while (shift > 4 && !(v >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		dst[n++] = hex[v >> shift & 15];
	return n;
}

void verify_put_dev(struct jsonw *w, const char *key, uint32_t major, uint32_t minor)
{
	char dev[24];
	size_t n = put_hex2(dev, major);

	dev[n++] = ':';
	n += put_hex2(dev + n, minor);
	jsonw_strn(w, key, dev, n);
}

void verify_put_vma(struct jsonw *w, const struct vma_desc *d)
{
	jsonw_array(w, NULL);
	jsonw_hex(w, NULL, d->vm_start);
	jsonw_hex(w, NULL, d->vm_end);
	verify_put_perms(w, NULL, d->vm_flags);
	jsonw_num(w, NULL, (int64_t)d->offset);
	verify_put_dev(w, NULL, d->dev_major, d->dev_minor);
	jsonw_num(w, NULL, (int64_t)d->inode);
	jsonw_element(w, d->name ? d->name : "");
	jsonw_array_end(w);
}

/* Fields in which two descriptions differ, as bits in the order of field_names. */
enum { FIELD_BOUNDS = 1, FIELD_PERMS = 2, FIELD_OFFSET = 4, FIELD_DEV = 8, FIELD_INODE = 16,
       FIELD_NAME = 32, FIELD_MAPPED = 64 };
static const char *const field_names[] = { "bounds", "perms", "offset", "dev", "inode", "name",
					   "mapped" };

static unsigned int compare(const struct vma_desc *a, const struct vma_desc *b)
{
	const uint64_t visible = VM_READ | VM_WRITE | VM_EXEC | VM_MAYSHARE;
	unsigned int fields = 0;

	if (a->vm_start != b->vm_start || a->vm_end != b->vm_end)
		fields |= FIELD_BOUNDS;
	if ((a->vm_flags ^ b->vm_flags) & visible)
		fields |= FIELD_PERMS;
	/* Offsets of pieces are compared as seen from one address. */
	if (a->inode | b->inode && a->offset - a->vm_start != b->offset - b->vm_start)
		fields |= FIELD_OFFSET;
	if (a->dev_major != b->dev_major || a->dev_minor != b->dev_minor)
		fields |= FIELD_DEV;
	if (a->inode != b->inode)
		fields |= FIELD_INODE;
	if (a->name && b->name && strcmp(a->name, b->name))
		fields |= FIELD_NAME;
	return fields;
}

static const struct vma_desc *kernel_at(uint64_t addr)
{
	unsigned int i;

	for (i = 0; i < walk.nr_kernel; i++) {
		if (walk.kernel[i].vm_end > addr)
			return walk.kernel[i].vm_start <= addr ? &walk.kernel[i] : NULL;
	}
	return NULL;
}

/*
 * Compare page by page (piece by piece, that is) in [start, end), ignoring where vmas begin.
 * Return: fields that differ somewhere.
 */
static unsigned int compare_pages(uint64_t start, uint64_t end)
{
	unsigned int fields = 0;
	struct vma_desc shadow;

	while (start < end) {
		struct vma *vma = find_vma(walk.mm, start);
		const struct vma_desc *k = kernel_at(start);
		uint64_t stop = end;
		unsigned int i;

		if (vma && vma->vm_start <= start) {
			vma_describe(walk.mm, vma, &shadow);
			if (shadow.vm_end < stop)
				stop = shadow.vm_end;
			fields |= k ? compare(&shadow, k) & ~(unsigned int)FIELD_BOUNDS :
				      FIELD_MAPPED;
		} else {
			if (vma && vma->vm_start < stop)
				stop = vma->vm_start;
			fields |= k ? FIELD_MAPPED : 0;
		}
		for (i = 0; i < walk.nr_kernel; i++) {
			if (walk.kernel[i].vm_start > start && walk.kernel[i].vm_start < stop)
				stop = walk.kernel[i].vm_start;
			if (walk.kernel[i].vm_end > start && walk.kernel[i].vm_end < stop)
				stop = walk.kernel[i].vm_end;
		}
		start = stop;
	}
	return fields;
}

/* Of memory that came to be known by a comparison the flag is not known. */
static bool may_grow(const struct vma *vma)
{
	return (vma->vm_flags | vma->vm_flags_unknown) & VM_GROWSDOWN ||
	       !strcmp(vma_name(walk.mm, vma), "[stack]");
}

/* One vma on each side, and only its start moved, down, on a growing mapping. */
static bool is_stack_growth(void)
{
	struct vma *vma = find_vma(walk.mm, walk.region_start);
	const struct vma_desc *k = &walk.kernel[0];

	return walk.nr_kernel == 1 && vma && vma->vm_end == k->vm_end &&
	       vma->vm_end == walk.region_end && k->vm_start < vma->vm_start &&
	       may_grow(vma);
}

/* Did the event map or unmap [start, end)? */
static bool is_of_event(uint64_t start, uint64_t end)
{
	const struct verify_range *range = walk.touched->range;

	return walk.touched->effect == VERIFY_MAPPING &&
	       ((start >= range[0].start && end <= range[0].end) ||
		(start >= range[1].start && end <= range[1].end));
}

/*
 * Memory unknown to the shadow, between which and a growing vma everything is mapped, or was before
 * the call just made: it grew, and what it has grown by was changed by that call.
 *
 *     shadow        ..........GGGG        G: may grow down
 *     kernel        ??EE..gggggggg        E: mapped by the event; the hole is its doing, too
 */
static bool is_part_of_stack_growth(void)
{
	uint64_t at = walk.region_end;
	struct vma_desc k;
	struct vma *vma;
	int i;

	for (i = 0; kmaps_has_query() && i < NR_GROWTH && !kmaps_query(at, &k, NULL, 0); i++) {
		if (k.vm_start > at && !is_of_event(at, k.vm_start))
			return false;
		if (k.vm_start > at)
			at = k.vm_start;
		vma = find_vma(walk.mm, at);
		if (vma && vma->vm_start < k.vm_end && may_grow(vma))
			return true;
		if ((k.inode || (vma && vma->vm_start < k.vm_end)) && !is_of_event(at, k.vm_end))
			return false;
		at = k.vm_end;
	}
	return false;
}

/* The same where the two were joined at once: all that is missing lies below a growing vma. */
static bool is_joined_stack_growth(void)
{
	struct vma *vma = find_vma(walk.mm, walk.region_start);
	const struct vma_desc *k = &walk.kernel[0];

	return walk.nr_kernel && vma && may_grow(vma) && vma->vm_start > walk.region_start &&
	       k->vm_start == walk.region_start && k->vm_end >= vma->vm_start &&
	       !compare_pages(vma->vm_start, walk.region_end);
}

/* Anonymous, for all that it shows a file: nobody sees writes by /proc/PID/mem or ptrace(2), either. */
static bool is_private_zero(const struct vma *vma)
{
	return !(vma->vm_flags & VM_MAYSHARE) && !strcmp(vma_name(walk.mm, vma), "/dev/zero");
}

/* Private /dev/zero shows the offset that nobody can tell once it was moved. */
static bool is_offset_in_doubt(void)
{
	struct vma *vma = find_vma(walk.mm, walk.region_start);

	for (; vma && vma->vm_start < walk.region_end; vma = vma->vm_next)
		if (vma->pgoff_state == VM_PGOFF_KNOWN && !is_private_zero(vma))
			return false;
	return true;
}

/*
 * Do pages of the event's range differ in what its call changes? A call that maps nothing is not to
 * blame for another mapping, nor for what it did or failed to do because of that.
 */
static bool is_unexplained(const struct verify_range *range)
{
	uint64_t start = range->start, end = range->end;
	unsigned int fields;

	if (start < walk.region_start)
		start = walk.region_start;
	if (end > walk.region_end)
		end = walk.region_end;
	if (start >= end)
		return false;
	fields = compare_pages(start, end) & ~(unsigned int)FIELD_NAME;
	switch (walk.touched->effect) {
	case VERIFY_NOTHING:
		return false;
	case VERIFY_PERMS:
		return fields == FIELD_PERMS;
	default:
		return fields;
	}
}

/* mprotect() walks up from its start, where the shadow had a hole and stopped: a stack has grown. */
static bool is_walked_from_growth(unsigned int fields)
{
	const struct verify_range *range = &walk.touched->range[0];

	return walk.start_grown && fields == FIELD_PERMS && walk.touched->effect == VERIFY_PERMS &&
	       walk.region_start >= range->start && walk.region_end <= range->end;
}

static enum trace_cause classify(unsigned int fields)
{
	uint64_t start = walk.touched->range[0].start;

	if (verify_is_own(walk.region_start, walk.region_end))
		return TRACE_CAUSE_OWN_MAPPING;
	if (is_stack_growth() ||
	    (fields == FIELD_MAPPED && (is_part_of_stack_growth() || is_joined_stack_growth()))) {
		walk.start_grown |= start >= walk.region_start && start < walk.region_end;
		return TRACE_CAUSE_STACK_GROWTH;
	}
	if (is_walked_from_growth(fields))
		return TRACE_CAUSE_STACK_GROWTH;
	if (!fields || (fields == FIELD_OFFSET && is_offset_in_doubt()))
		return TRACE_CAUSE_MERGE_RULE;
	if (fields == FIELD_NAME)
		return TRACE_CAUSE_NAME;
	if (is_unexplained(&walk.touched->range[0]) || is_unexplained(&walk.touched->range[1]))
		return TRACE_CAUSE_UNEXPLAINED;
	return TRACE_CAUSE_NOT_CAPTURED;
}

static void put_shadow(struct jsonw *w)
{
	struct vma *vma;
	struct vma_desc desc;

	jsonw_array(w, "shadow");
	for (vma = find_vma(walk.mm, walk.region_start);
	     vma && vma->vm_start < walk.region_end; vma = vma->vm_next) {
		vma_describe(walk.mm, vma, &desc);
		verify_put_vma(w, &desc);
	}
	jsonw_array_end(w);
}

static void report(void)
{
	static const char *const causes[] = {
#define CAUSE(symbol, name) name,
		TRACE_CAUSES(CAUSE)
#undef CAUSE
	};
	unsigned int fields = compare_pages(walk.region_start, walk.region_end), i;
	enum trace_cause cause = classify(fields);
	struct jsonw *w = recorder_writer();
	uint64_t brk = sys_brk(0);

	jsonw_event(w, "diff");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "seq", (int64_t)walk.seq);
	jsonw_str(w, "cause", causes[cause]);
	jsonw_array(w, "fields");
	for (i = 0; i < sizeof(field_names) / sizeof(field_names[0]); i++) {
		if ((fields ? fields : FIELD_BOUNDS) & 1u << i)
			jsonw_str(w, NULL, field_names[i]);
	}
	jsonw_array_end(w);
	jsonw_hex(w, "start", walk.region_start);
	jsonw_hex(w, "end", walk.region_end);
	put_shadow(w);
	jsonw_array(w, "kernel");
	for (i = 0; i < walk.nr_kernel; i++)
		verify_put_vma(w, &walk.kernel[i]);
	jsonw_array_end(w);
	if (brk != walk.mm->brk)
		jsonw_hex(w, "brk", brk);
	recorder_commit_model(w);
	walk.mm->brk = brk;
	walk.nr_diffs++;
}

/* The region is complete: report it and take the kernel's side over. */
static int close_region(void)
{
	int err;

	if (!walk.open)
		return 0;
	report();
	err = mm_replace(walk.mm, walk.region_start, walk.region_end, walk.kernel, walk.nr_kernel,
			 walk.seq);
	if (err)
		recorder_lost("event", "memory", 1);
	walk.open = false;
	walk.nr_kernel = 0;
	walk.names_len = 0;
	walk.next = find_vma(walk.mm, walk.region_end);
	return 0;
}

static void grow_region(uint64_t start, uint64_t end)
{
	if (!walk.open) {
		walk.open = true;
		walk.region_start = start;
		walk.region_end = end;
		return;
	}
	if (start < walk.region_start)
		walk.region_start = start;
	if (end > walk.region_end)
		walk.region_end = end;
}

/* Shadow vmas that lie below @addr or overlap the region belong to it. */
static void absorb(uint64_t addr)
{
	while (walk.next && (walk.next->vm_start < addr ||
			     (walk.open && walk.next->vm_start < walk.region_end))) {
		/* A stale one apart from the region is a region of its own. */
		if (walk.open && walk.next->vm_start > walk.region_end && walk.nr_kernel) {
			close_region();
			continue;
		}
		grow_region(walk.next->vm_start, walk.next->vm_end);
		walk.next = walk.next->vm_next;
	}
}

static void keep_kernel(const struct vma_desc *desc)
{
	size_t len = desc->name ? strlen(desc->name) : 0;
	struct vma_desc *kept = &walk.kernel[walk.nr_kernel++];

	*kept = *desc;
	kept->own = verify_is_own(desc->vm_start, desc->vm_end);
	kept->name = walk.names + walk.names_len;
	memcpy(walk.names + walk.names_len, desc->name ? desc->name : "", len);
	walk.names[walk.names_len + len] = '\0';
	walk.names_len += len + 1;
}

static int visit(const struct vma_desc *k, void *ctx)
{
	struct vma_desc shadow;

	(void)ctx;
	walk.nr_vmas++;
	absorb(k->vm_start);
	if (walk.open && k->vm_start >= walk.region_end)
		close_region();
	if (!walk.open && walk.next) {
		vma_describe(walk.mm, walk.next, &shadow);
		if (!compare(&shadow, k)) {
			walk.next = walk.next->vm_next;
			return 0;
		}
	}
	/* Too much for one record: the rest becomes another difference. */
	if (walk.nr_kernel == NR_REGION || walk.names_len + MAPS_LINE_MAX > NAMES_BYTES)
		close_region();
	grow_region(k->vm_start, k->vm_end);
	keep_kernel(k);
	absorb(k->vm_end);
	return 0;
}

static unsigned int compare_range(struct mm *mm, uint64_t start, uint64_t end,
				  const struct verify_touched *touched, uint64_t seq)
{
	int err;

	walk.mm = mm;
	walk.next = find_vma(mm, start);
	walk.touched = touched;
	walk.seq = seq;
	walk.nr_diffs = walk.nr_vmas = 0;
	walk.open = walk.start_grown = false;
	walk.nr_kernel = 0;
	walk.names_len = 0;
	err = kmaps_walk(start, end, visit, NULL);
	if (err) {
		recorder_lost("event", "verify", 1);
		return 0;
	}
	absorb(end);
	close_region();
	return walk.nr_diffs;
}

/*
 * The cheap question: bounds and permissions, without names, of all vmas in [start, end) and of the
 * one above them if the last query happens to give it. Return: all as the shadow says.
 */
static bool agrees(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma(mm, start);
	struct vma_desc k, shadow;
	uint64_t at = start;

	while (at < end) {
		if (kmaps_query(at, &k, NULL, 0))
			return !vma || vma->vm_start >= end;
		if (!vma)
			return k.vm_start >= end;
		vma_describe(mm, vma, &shadow);
		shadow.name = NULL;
		if (compare(&shadow, &k))
			return false;
		at = k.vm_end;
		vma = vma->vm_next;
	}
	return true;
}

/*
 * Is the neighbourhood of one range as the shadow says, by the fewest queries that prove it?
 * @about: where the call changed pages; @changed: with the vmas that were resized around it.
 *
 *     prev │ about │ next        a neighbour that touches the range could have joined it: both
 *          └───────┘             bounds are asked for, by a query at its byte next to the range
 *     prev ...........│ about │  one that does not touch can't have joined: the query starts at its
 *          └──────────────────┘  end, and its answer proves the hole in between empty as well
 *     ──┬──────────┬──           a boundary inside a vma: that vma's own bounds tell of every
 *       │ about    │             split and join on this side, wrong or missed; nothing beyond it
 *     ──┴──────────┴──           touches the range. The same if only a resized vma reaches further
 *
 * A hole needs no query of its own: the next vma's start proves it.
 */
static bool is_proved(struct mm *mm, const struct verify_range *about,
		      const struct verify_range *changed)
{
	uint64_t start = changed->start, end = changed->end;
	struct vma *prev, *vma = find_vma_prev(mm, start, &prev);

	if (start == about->start && (!vma || vma->vm_start >= start))
		start = !prev ? 0 : prev->vm_end == start ? start - 1 : prev->vm_end;
	vma = vma_lookup(mm, end - 1);
	if (end == about->end && (!vma || vma->vm_end == end))
		end++;
	return agrees(mm, start, end);
}

/* Both ends of a move are looked at, and not what lies between them: a move can't change that. */
static bool is_event_proved(struct mm *mm, const struct verify_touched *touched)
{
	const struct verify_range *range = touched->range;

	if (range[0].start == range[0].end)
		return is_proved(mm, range[1].start == range[1].end ? &touched->check : &range[1],
				 &touched->check);
	if (range[1].start == range[1].end)
		return is_proved(mm, &range[0], &touched->check);
	return is_proved(mm, &range[0], &range[0]) && is_proved(mm, &range[1], &range[1]);
}

void verify_join(struct verify_range *range, const struct verify_range *other)
{
	if (other->start == other->end)
		return;
	if (range->start == range->end) {
		*range = *other;
		return;
	}
	if (other->start < range->start)
		range->start = other->start;
	if (other->end > range->end)
		range->end = other->end;
}

void verify_event(struct mm *mm, const struct verify_touched *touched, uint64_t seq)
{
	struct vma *prev, *vma;
	uint64_t start = touched->check.start, end = touched->check.end;

	nr_checks++;
	if (!kmaps_has_query()) {
		compare_range(mm, 0, ~0ull, touched, seq);
		return;
	}
	if (is_event_proved(mm, touched))
		return;
	/* The neighbours too: a merge that the shadow missed, or made wrongly, shows there. */
	vma = find_vma_prev(mm, start, &prev);
	start = prev ? prev->vm_start : 0;
	if (vma && vma->vm_start < start)
		start = vma->vm_start;
	vma = find_vma(mm, end);
	end = vma ? vma->vm_end : ~0ull;
	compare_range(mm, start, end, touched, seq);
}

void verify_growth(struct mm *mm, uint64_t start, uint64_t end, uint64_t seq)
{
	static const struct verify_touched nothing;
	struct vma *vma = kmaps_has_query() ? find_vma(mm, start) : NULL, *prev;
	struct vma_desc k;

	while (vma) {
		uint64_t below = vma->vm_prev ? vma->vm_prev->vm_end : 0, top = vma->vm_end;

		if (below >= end && vma->vm_start >= end)
			return;
		if (!((vma->vm_flags | vma->vm_flags_unknown) & VM_GROWSDOWN) ||
		    below == vma->vm_start || kmaps_query(vma->vm_start, &k, NULL, 0) ||
		    k.vm_start >= vma->vm_start) {
			vma = vma->vm_next;
			continue;
		}
		prev = vma->vm_prev;
		compare_range(mm, prev ? prev->vm_start : 0, top, &nothing, seq);
		vma = find_vma(mm, top);
	}
}

void verify_catch_up(struct mm *mm, uint64_t seq)
{
	static unsigned int nr_asked;
	struct vma_desc desc;
	struct jsonw *w;
	struct vma *vma;

	/* On a full disk not with each event: it is a long line. */
	if (!recorder_is_behind() || nr_asked++ % CATCH_UP_INTERVAL)
		return;
	w = recorder_writer();
	jsonw_event(w, "diff");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_num(w, "seq", (int64_t)seq);
	jsonw_str(w, "cause", "lost");
	jsonw_hex(w, "start", 0);
	jsonw_hex(w, "end", mm->task_size);
	jsonw_array(w, "shadow");
	jsonw_array_end(w);
	jsonw_array(w, "kernel");
	for (vma = mm->first; vma; vma = vma->vm_next) {
		vma_describe(mm, vma, &desc);
		verify_put_vma(w, &desc);
	}
	jsonw_array_end(w);
	jsonw_hex(w, "brk", mm->brk);
	if (recorder_commit(w))
		recorder_caught_up();
}

unsigned int verify_all(struct mm *mm, const char *why, uint64_t seq)
{
	static const struct verify_touched nothing;
	unsigned int diffs = compare_range(mm, 0, ~0ull, &nothing, seq);
	struct jsonw *w = recorder_writer();

	nr_checks++;
	nr_vmas = walk.nr_vmas;
	jsonw_event(w, "verify");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_str(w, "why", why);
	jsonw_str(w, "source", kmaps_has_query() ? "query" : "text");
	jsonw_num(w, "checks", (int64_t)nr_checks);
	jsonw_num(w, "vmas", walk.nr_vmas);
	jsonw_num(w, "differences", diffs);
	jsonw_num(w, "map_count", mm->map_count);
	jsonw_hex(w, "hash", mm_hash(mm));
	recorder_commit_model(w);
	return diffs;
}
