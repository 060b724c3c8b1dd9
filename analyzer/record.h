/* SPDX-License-Identifier: MIT */
/*
 * One line of a trace, checked and decoded: what the reader hands to replay and views.
 *
 * Everything a record points to belongs to the reader and lasts until the next line is read (the
 * header's strings: until the reader is closed). No number in it has been used for anything yet:
 * ranges are checked against the type only, meaning is the replay's business.
 */
#ifndef VMTRACE_ANALYZER_RECORD_H
#define VMTRACE_ANALYZER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmtrace/mm.h>
#include <vmtrace/trace.h>

struct json_t;

struct rec_range {
	uint64_t start, end;
	uint64_t flags;			/* VM_READ|VM_WRITE|VM_EXEC, module segments only */
	const char *what;		/* header's own ranges only */
};

/* X(member): segment addresses of struct mm, by the same names in the header. */
#define REC_SEGMENTS(X) \
	X(start_code) X(end_code) X(start_data) X(end_data) X(start_brk) X(brk) X(start_stack) \
	X(arg_start) X(arg_end) X(env_start) X(env_end) X(mmap_base) X(mmap_min_addr) X(task_size)

#define REC_MEMBER(name) uint64_t name;

struct rec_limits {
	uint64_t as, data, stack, memlock;	/* bytes, ~0: none */
};

struct rec_header {
	int64_t pid, ppid, tid;
	const char *exe;
	struct json_t *argv;		/* array of strings */
	const char *release, *machine;	/* NULL if not told */
	uint64_t start_ns, realtime_ns;
	const char *tier, *asked;
	struct json_t *self_test;	/* object or NULL */
	const char *verify_mode, *verify_source;
	const char *heap, *frames;
	uint64_t heap_sample;		/* bytes; 0 unless heap is "sample" */
	uint64_t stacks;
	bool pfn_visible;
	bool has_parent;
	int64_t parent_pid;
	const char *parent_trace;
	uint64_t parent_event;
	const char *reason;
	uint64_t rules, max_map_count;
	struct rec_limits limits;
	struct { REC_SEGMENTS(REC_MEMBER) } mm;
	struct rec_range *own;
	size_t nr_own;
	const char *vsyscall;		/* perms, NULL: no such line */
};

struct rec_module {
	bool is_load, own, exec_stack, has_relro;
	const char *path, *build_id;	/* build_id: lower-case hex or NULL */
	const char *soname;		/* or NULL */
	struct rec_range relro;
	uint64_t base;
	struct rec_range *segments;
	size_t nr_segments;
};

struct rec_thread {
	int64_t tid;
	const char *op, *name;
	uint32_t stack;			/* create only */
};

struct rec_stack {
	uint32_t id, parent;
	uint64_t *ips;
	size_t nr_ips;
};

struct rec_call {
	uint64_t seq;
	int64_t tid, pid;		/* pid 0: the trace's own process */
	struct mm_call call;
	const char *errno_name;		/* NULL: it succeeded */
	enum trace_origin origin;
	uint32_t stack;
	struct vma_file file;
	bool file_closed;
	bool has_map_count, has_vma, has_predicted;
	uint64_t map_count, predicted;
	struct rec_range vma;
	struct rec_range *resolved;
	size_t nr_resolved;
};

/* A heap line before its operations are looked at. */
struct rec_heap {
	int64_t tid;
	uint64_t t0, offset;		/* offset of the line in the file */
	size_t length;
};

struct rec_checkpoint {
	const char *why;
};

/* X(member): the figures of an mm line; hex strings for the first two. */
#define REC_FIGURES(X) \
	X(start_brk) X(brk) X(map_count) X(map_count_peak) X(total_vm_bytes) X(data_vm_bytes) \
	X(exec_vm_bytes) X(stack_vm_bytes) X(locked_vm_bytes) X(hiwater_vm_bytes) X(mm_users) \
	X(find_vma_calls) X(find_vma_cache_hits) X(predicted) X(predicted_right) X(uncertain) \
	X(rss_bytes) X(rss_anon_bytes) X(rss_file_bytes) X(rss_shmem_bytes) X(hiwater_rss_bytes) \
	X(swap_bytes) X(pgtables_bytes) X(threads) X(pss_bytes) X(uss_bytes) X(swap_pss_bytes)
#define REC_FIGURE_ID(name) FIGURE_##name,
enum rec_figure { REC_FIGURES(REC_FIGURE_ID) NR_FIGURES };

struct rec_figures {
	uint64_t value[NR_FIGURES];
	bool known[NR_FIGURES];
};

extern const char *const rec_figure_names[NR_FIGURES];
static inline bool rec_figure_is_address(unsigned int i)
{
	return i <= FIGURE_brk;
}

struct rec_mm {
	struct rec_figures shadow, kernel;
};

struct rec_verify {
	const char *why, *source;
	uint64_t checks, vmas, differences, hash;
	bool has_hash;
};

struct rec_diff {
	uint64_t seq, start, end, brk;
	bool has_brk;
	enum trace_cause cause;
	struct json_t *fields;		/* array of strings */
	struct vma_desc *shadow, *kernel;
	size_t nr_shadow, nr_kernel;
};

/* Pages one behind the other, and their frames, too; those of the zero page have only one. */
struct rec_run {
	uint64_t va;
	uint64_t pfn;			/* in swap: the slot's offset; 0 where it is hidden */
	uint64_t pages;
	uint32_t class;			/* id of a page_class, 0: not told */
};

static inline uint64_t rec_run_end(const struct rec_run *run)
{
	return run->va + run->pages * MM_PAGE_SIZE;
}

struct rec_frames {
	bool pfn_visible, own;
	uint64_t start, end;
	uint64_t resident, swapped;	/* pages; page_classes_agree() */
	struct rec_run *runs;		/* by va */
	size_t nr_runs;
};

struct rec_page_class {
	uint32_t id, swap_type;
	uint64_t pagemap, kpageflags, mapcount;
	bool has_kpageflags, has_mapcount, has_huge, huge;
};

enum { REC_ZONES = 4096 };		/* more are refused: the kernel has 1,024 nodes of four or so */

struct rec_zone {
	uint32_t node;
	const char *zone;
	uint64_t start_pfn, spanned, present, managed, free, min, low, high;
};

struct rec_node {
	uint32_t node;
	const char *cpus;		/* or NULL */
	uint64_t total_bytes, free_bytes;
};

struct rec_slab {
	const char *name;
	uint64_t object_bytes;
};

struct rec_topology {
	struct rec_zone *zones;
	struct rec_node *nodes;
	struct rec_slab *slabs;
	size_t nr_zones, nr_nodes, nr_slabs;
	struct json_t *unreadable;	/* object of strings, or NULL */
};

struct rec_frame_diff {
	enum trace_frame_cause cause;
	uint64_t start, end, pages;
};

struct rec_frames_end {
	uint64_t resident, swapped, rss_before, rss_after, faults, ns;
};

struct rec_fork {
	int64_t tid, child;		/* child 0: it failed */
	const char *call, *trace, *errno_name;
	uint32_t stack;
};

struct rec_exec {
	int64_t tid;
	const char *path, *errno_name;	/* errno_name: it came back */
	struct json_t *argv;
	uint32_t stack;
};

struct rec_lost {
	const char *what, *why;
	uint64_t count;
};

struct rec_end {
	const char *how;
	int64_t status;
	uint64_t events, checks, lost;
	struct json_t *cost;		/* object of numbers, or NULL */
};

struct record {
	enum trace_event ev;		/* TRACE_NR_EVENTS: a kind this version doesn't know */
	uint64_t line;			/* 1, 2, … */
	uint64_t t;			/* ns since start; 0 where the kind has none */
	union {
		struct rec_header header;
		struct vma_desc vma;
		struct rec_module module;
		struct rec_thread thread;
		struct rec_stack stack;
		struct rec_call call;
		struct rec_heap heap;
		struct rec_checkpoint checkpoint;
		struct rec_mm mm;
		struct rec_verify verify;
		struct rec_diff diff;
		struct rec_topology topology;
		struct rec_page_class page_class;
		struct rec_frames frames;
		struct rec_frame_diff frame_diff;
		struct rec_frames_end frames_end;
		struct rec_fork fork;
		struct rec_exec exec;
		struct rec_lost lost;
		struct rec_limits limits;
		struct rec_end end;
	};
};

/* Memory for what a record points to; used again for each line. */
struct record_scratch {
	struct scratch_block *blocks;
	size_t used;
};

struct record_error {
	char text[200];
};

/**
 * record_decode() - Check one parsed line and take it apart.
 * @doc:     the line's object; must outlive @rec.
 * @scratch: arrays of @rec are put here.
 *
 * Return: 0, or -EINVAL with @err saying which member is wrong and how.
 */
int record_decode(struct json_t *doc, struct record_scratch *scratch, struct record *rec,
		  struct record_error *err);

void record_scratch_reset(struct record_scratch *scratch);
void record_scratch_fini(struct record_scratch *scratch);

/* Permissions as maps shows them, "r-xp", to VM_* bits; false if they are none. */
bool record_perms(const char *perms, uint64_t *ret_flags);

/* Whether a successful call's result is an address. */
bool record_returns_address(enum mm_op op);

extern const char *const record_event_names[TRACE_NR_EVENTS];
extern const char *const record_call_names[MM_OP_COUNT];
extern const char *const record_call_args[MM_OP_COUNT];
extern const char *const record_origin_names[TRACE_NR_ORIGINS];
extern const char *const record_cause_names[TRACE_NR_CAUSES];
extern const char *const record_frame_cause_names[TRACE_NR_FRAME_CAUSES];
/* What is said of the pages. */
extern const char *const record_frame_cause_texts[TRACE_NR_FRAME_CAUSES];

#endif
