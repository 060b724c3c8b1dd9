/* SPDX-License-Identifier: MIT */
/*
 * A memory layout: what the address spaces of programs are made of, without their addresses.
 *
 *   trace ─▶ layout_build ─┐
 *   trace ─▶ layout_build ─┼▶ layout_merge ─▶ layout ─▶ layout_json ─▶ layout.json
 *   trace ─▶ …             ┘                     ▲                         │
 *                                                └───── layout_load ◀──────┘
 *
 * One struct layout_program for each program of a process tree. What several traces of it have in
 * common is one region with a span of sizes; what differs by nature is known to differ. Names hold
 * no pid, address or random part.
 */
#ifndef VMTRACE_ANALYZER_LAYOUT_H
#define VMTRACE_ANALYZER_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "table.h"

struct json_t;
struct reader;
struct trace;

enum { LAYOUT_VERSION = 1, LAYOUT_TRACES_MAX = INT32_MAX };

/* X(symbol, name): what a vma is for. The first three are objects of the loader, by sections. */
#define LAYOUT_ROLES(X) \
	X(PROGRAM, "program") X(LIBRARY, "library") X(LOADER, "loader") X(HEAP, "heap") \
	X(STACK, "stack") X(THREAD_STACK, "thread-stack") X(THREAD_GUARD, "thread-guard") \
	X(ARENA, "malloc-arena") X(MALLOC_MMAP, "malloc-mmap") X(JIT, "jit") X(MEMFD, "memfd") \
	X(SHM, "shm") X(FILE, "file") X(VDSO, "vdso") X(ANONYMOUS, "anonymous")
#define LAYOUT_ROLE_ID(symbol, name) LAYOUT_##symbol,
enum layout_role { LAYOUT_ROLES(LAYOUT_ROLE_ID) LAYOUT_NR_ROLES };
extern const char *const layout_role_names[LAYOUT_NR_ROLES];

/* X(symbol, name): part of an object of the loader; "" for the other roles. */
#define LAYOUT_SECTIONS(X) \
	X(NO_SECTION, "") X(TEXT, "text") X(RODATA, "rodata") X(RELRO, "relro") X(DATA, "data") \
	X(BSS, "bss") X(HOLE, "hole")
#define LAYOUT_SECTION_ID(symbol, name) LAYOUT_##symbol,
enum layout_section { LAYOUT_SECTIONS(LAYOUT_SECTION_ID) LAYOUT_NR_SECTIONS };
extern const char *const layout_section_names[LAYOUT_NR_SECTIONS];

/* X(name): figures of a whole program. Bytes where the name says so; own memory is left out. */
#define LAYOUT_TOTALS(X) \
	X(vmas) X(vmas_peak) X(mapped_bytes) X(mapped_peak_bytes) X(resident_anon_bytes) \
	X(resident_file_bytes) X(huge_bytes) X(page_table_bytes) X(heap_peak_bytes) \
	X(heap_thread_peaks_bytes) \
	X(heap_live_bytes) X(heap_live_blocks) X(threads) X(max_map_count) X(unexplained) \
	X(not_captured) X(lost)
#define LAYOUT_TOTAL_ID(name) LAYOUT_##name,
enum layout_total { LAYOUT_TOTALS(LAYOUT_TOTAL_ID) LAYOUT_NR_TOTALS };
extern const char *const layout_total_names[LAYOUT_NR_TOTALS];

/* X(symbol, name): what a rule may forbid, seen at any moment of the trace. */
#define LAYOUT_FACTS(X) \
	X(WX, "writable-executable") X(EXEC_STACK, "executable-stack") \
	X(EXEC_HEAP, "executable-heap") X(WRITABLE_TEXT, "writable-text") \
	X(NO_RELRO, "missing-relro") X(NO_GUARD, "missing-guard") X(DELETED, "deleted-file")
#define LAYOUT_FACT_ID(symbol, name) LAYOUT_FACT_##symbol,
enum layout_fact_kind { LAYOUT_FACTS(LAYOUT_FACT_ID) LAYOUT_NR_FACTS };
extern const char *const layout_fact_names[LAYOUT_NR_FACTS];

/* Least and greatest over the traces. */
struct span {
	uint64_t min, max;
};

/* A call stack as it survives a rebuild: functions and modules, no offsets. Innermost first. */
struct layout_site {
	char id[17];			/* hash of the frames, hex */
	char **frames;			/* "function (module)" or "module" */
	size_t nr_frames;
};

enum { LAYOUT_NO_SITE = UINT32_MAX };

struct layout_region {
	enum layout_role role;
	enum layout_section section;
	char *name;			/* soname, file, memfd's name; "" for none */
	char perms[5];
	char *flags;			/* words as in smaps' VmFlags: "ht lo"; "" for none */
	const char *origin;		/* who mapped it: "app", "raw", …; "" before the trace began */
	uint64_t offset;		/* bytes into the file */
	uint32_t site;			/* index of the call that mapped it, or LAYOUT_NO_SITE */
	struct span bytes, resident, huge;
	bool is_merged;			/* one vma with the region before it, which another site mapped */
	uint64_t traces;		/* in how many it is */
};

struct layout_fact {
	enum layout_fact_kind kind;
	enum layout_role role;
	enum layout_section section;
	char *name;
	uint32_t site;
	uint64_t traces;
};

/* What one site of the heap has live at the end. */
struct layout_heap {
	uint32_t site;
	struct span live_bytes, live_blocks;
	uint64_t traces;
};

/* How many threads one site made. */
struct layout_threads {
	uint32_t site;
	struct span count;
	uint64_t traces;
};

struct layout_program {
	char *name;			/* of the executable, without folder; " (forked)" behind it */
	char *machine;
	char *tier;
	uint64_t page_size;
	uint64_t traces;		/* how many of it were merged */
	bool has_total[LAYOUT_NR_TOTALS];
	struct span total[LAYOUT_NR_TOTALS];
	struct layout_site *sites;
	size_t nr_sites, cap_sites;
	struct table site_of_hash;
	struct layout_region *regions;	/* by address in the first trace */
	size_t nr_regions, cap_regions;
	struct layout_fact *facts;
	size_t nr_facts, cap_facts;
	struct layout_threads *threads;
	size_t nr_threads, cap_threads;
	struct layout_heap *heap;	/* greatest first */
	size_t nr_heap, cap_heap;
};

struct layout {
	struct layout_program *programs;	/* by name */
	size_t nr_programs, cap_programs;
};

void layout_init(struct layout *layout);
void layout_fini(struct layout *layout);

/* How files are read. */
enum layout_read {
	LAYOUT_NO_SYMBOLS = 1u << 0,	/* open no files for names of functions */
	LAYOUT_PARTIAL = 1u << 1,	/* of a damaged trace take what could be read */
	LAYOUT_NO_TRACE = 1u << 2,	/* it must be a layout */
};

/**
 * layout_add_file() - Merge the layout of a trace, or one that was printed, into @layout.
 * @path:  "-" is standard input; a pipe will do.
 * @flags: LAYOUT_NO_SYMBOLS…
 * @err:   receives "file:line: what", also of a damaged trace that LAYOUT_PARTIAL takes; else "".
 *
 * A damaged trace is taken without its total `lost`: nobody knows what is missing.
 *
 * Return: 0, -EINVAL (unusable; @layout is as before).
 */
int layout_add_file(struct layout *layout, const char *path, unsigned int flags, char *err,
		    size_t err_size);

/* The same for bytes in memory; @name is what messages call them. */
int layout_add_memory(struct layout *layout, const char *name, const void *data, size_t len,
		      unsigned int flags, char *err, size_t err_size);

/* The rest of a trace, and a document; @reader and @doc stay the caller's, @reader closed. */
int layout_add_trace(struct layout *layout, struct reader *reader, unsigned int flags, char *err,
		     size_t err_size);
int layout_add_document(struct layout *layout, const char *path, struct json_t *doc, char *err,
			size_t err_size);

/* One JSON document, a line for each region: made for git. Ends with a newline. */
void layout_print(const struct layout *layout, FILE *out);

const struct layout_program *layout_find(const struct layout *layout, const char *name);

/* For building and merging; takes over nothing. */
struct layout_program *layout_program_get(struct layout *layout, const char *name);
uint32_t layout_site_add(struct layout_program *program, char *const *frames, size_t nr);

/**
 * layout_site_put() - The same with the id that a layout has for it.
 *
 * The id is the frames' hash, or one of the next few where others were in the way.
 * Return: LAYOUT_NO_SITE if @id is not theirs.
 */
uint32_t layout_site_put(struct layout_program *program, const char *id, char *const *frames,
			 size_t nr);

/* Which of @program's sites has @site's frames, or LAYOUT_NO_SITE. */
uint32_t layout_site_find(const struct layout_program *program, const struct layout_site *site);

struct layout_region *layout_region_new(struct layout_program *program);
struct layout_fact *layout_fact_new(struct layout_program *program);
struct layout_threads *layout_threads_new(struct layout_program *program);
struct layout_heap *layout_heap_new(struct layout_program *program);
void layout_program_init(struct layout_program *program, const char *name);
void layout_program_fini(struct layout_program *program);
void layout_merge(struct layout_program *into, const struct layout_program *from);

/**
 * layout_take() - Merge @program into the one of its name.
 * @path: where it is from, for @err.
 *
 * Return: 0, -EINVAL: it is of another machine or tier; @layout is as before.
 */
int layout_can_take(const struct layout *layout, const struct layout_program *program,
		    const char *path, char *err, size_t err_size);
int layout_take(struct layout *layout, const struct layout_program *program, const char *path,
		char *err, size_t err_size);

/* What and where a region is, for programs: members "role", and "section" and "name" where there are such. */
void layout_set_place(struct json_t *obj, enum layout_role role, enum layout_section section,
		      const char *name);
/* "library libz.so.1 text", "thread-stack", "file /etc/x": a region's name for people. */
void layout_describe(FILE *out, enum layout_role role, enum layout_section section,
		     const char *name);

/* Figures come from files: what does not fit is as much as fits. */
static inline uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline void span_add(struct span *span, uint64_t value)
{
	if (value < span->min)
		span->min = value;
	if (value > span->max)
		span->max = value;
}

#endif
