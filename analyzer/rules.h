/* SPDX-License-Identifier: MIT */
/*
 * What `check` judges by: rules from built-in sets and from files of JSON.
 *
 *   {"rules_version": 1, "extends": ["default", "hardening"],
 *    "rules": [{"rule": "vmas", "program": "cc1*", "max": 500},
 *              {"rule": "writable-executable", "allow": [{"role": "jit"}]}]}
 *
 * A file without "extends" extends the set `default`: a gate must not open because a line is missing.
 * Later entries refine earlier ones: a member they have takes the earlier one's place, exemptions add
 * up. An entry with "program" speaks of the programs which that pattern matches only.
 */
#ifndef VMTRACE_ANALYZER_RULES_H
#define VMTRACE_ANALYZER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "layout.h"

/* X(symbol, name, text): in the order of LAYOUT_FACTS. */
#define RULES_FACTS(X) \
	X(WX, "writable-executable", "Memory that is writable and executable at once") \
	X(EXEC_STACK, "executable-stack", "A stack whose memory can be executed") \
	X(EXEC_HEAP, "executable-heap", "A heap whose memory can be executed") \
	X(WRITABLE_TEXT, "writable-text", "Program text that can be written to") \
	X(NO_RELRO, "missing-relro", "Relocations that stay writable after start") \
	X(NO_GUARD, "missing-guard", "A thread's stack without a guard below it") \
	X(DELETED, "deleted-file", "A mapping of a file that was deleted")

/* X(symbol, name, takes, unit, text): regions and sites compared with the baseline. */
#define RULES_CHANGES(X) \
	X(MAPPING_RAW, "mapping-raw", ALLOW, COUNT, \
	  "A mapping made by a raw system call, which the baseline does not have") \
	X(LIBRARY_ADDED, "library-added", ALLOW, COUNT, \
	  "A library that the baseline does not load") \
	X(THREAD_ADDED, "thread-added", ALLOW | TOLERANCE, COUNT, "More threads than before") \
	X(PERMISSIONS, "permissions", ALLOW, COUNT, "A region with other permissions than before") \
	X(FLAGS, "flags", ALLOW, COUNT, "A region with other flags than before") \
	X(REGION_ADDED, "region-added", ALLOW, COUNT, "A region that the baseline does not have") \
	X(REGION_SPLIT, "region-split", ALLOW | TOLERANCE, COUNT, \
	  "The same bytes in more mappings than before") \
	X(REGION_MORE, "region-more", ALLOW | TOLERANCE, COUNT, \
	  "More mappings of one kind and place than before") \
	X(HEAP_SITE, "heap-site", ALLOW | TOLERANCE | LIMITS, BYTES, \
	  "Heap bytes that one call site still has at the end: a leak") \
	X(REGION_GROWN, "region-grown", ALLOW | TOLERANCE, BYTES, "A region larger than before") \
	X(RESIDENT, "resident", ALLOW | TOLERANCE, BYTES, \
	  "A region with more memory resident than before") \
	X(REGION_REMOVED, "region-removed", ALLOW, COUNT, "A region that is gone") \
	X(PROGRAM_ADDED, "program-added", NOTHING, COUNT, \
	  "A program that the baseline does not have") \
	X(PROGRAM_REMOVED, "program-removed", NOTHING, COUNT, \
	  "A program of the baseline that did not run") \
	X(INCOMPLETE, "incomplete", NOTHING, COUNT, \
	  "Changes of the map that were not captured, explained or kept")

/* X(total, name, unit, text): in the order of LAYOUT_TOTALS. */
#define RULES_BUDGETS(X) \
	X(vmas, "vmas", COUNT, "Mappings at the end") \
	X(vmas_peak, "vmas-peak", COUNT, "Mappings at the peak") \
	X(mapped_bytes, "mapped-bytes", BYTES, "Address space at the end") \
	X(mapped_peak_bytes, "mapped-peak-bytes", BYTES, "Address space at the peak") \
	X(resident_anon_bytes, "resident-anon-bytes", BYTES, "Resident memory without a file") \
	X(resident_file_bytes, "resident-file-bytes", BYTES, "Resident memory of files") \
	X(huge_bytes, "huge-bytes", BYTES, "Memory in huge pages; less is worse") \
	X(page_table_bytes, "page-table-bytes", BYTES, "Page tables") \
	X(heap_peak_bytes, "heap-peak-bytes", BYTES, "Heap at the peak") \
	X(heap_thread_peaks_bytes, "heap-thread-peaks-bytes", BYTES, \
	  "Heap at each thread's own peak, added up") \
	X(heap_live_bytes, "heap-live-bytes", BYTES, "Heap bytes live at the end") \
	X(heap_live_blocks, "heap-live-blocks", COUNT, "Heap blocks live at the end") \
	X(threads, "threads", COUNT, "Threads started") \
	X(max_map_count, "max-map-count", COUNT, "The system's limit on mappings") \
	X(unexplained, "unexplained", COUNT, "Differences from the kernel without a cause") \
	X(not_captured, "not-captured", COUNT, "Changes of the map that were not captured") \
	X(lost, "lost", COUNT, "Records that were lost")

/* X(symbol, name, text): percentages of one total in another. */
#define RULES_SHARES(X) \
	X(MAP_COUNT_SHARE, "map-count-share", "Mappings at the peak, of the system's limit") \
	X(HUGE_SHARE, "huge-share", "Huge pages, of resident memory without a file")

#define RULE_ID(symbol, ...) RULE_##symbol,
enum rule_id {
	RULES_FACTS(RULE_ID) RULES_CHANGES(RULE_ID) RULES_BUDGETS(RULE_ID) RULES_SHARES(RULE_ID)
	NR_RULES,
	RULE_FACT_FIRST = RULE_WX,
	RULE_BUDGET_FIRST = RULE_vmas,
};

enum rule_takes {
	RULE_TAKES_NOTHING = 0,
	RULE_TAKES_ALLOW = 1u << 0,
	RULE_TAKES_TOLERANCE = 1u << 1,
	RULE_TAKES_LIMITS = 1u << 2,
	RULE_TAKES_ALWAYS = 1u << 3,	/* may be told even if the baseline has it */
};

enum rule_unit { RULE_COUNT, RULE_BYTES, RULE_PERCENT };

struct rule_info {
	const char *name, *text;
	unsigned int takes;
	enum rule_unit unit;
};
extern const struct rule_info rule_infos[NR_RULES];

enum severity { SEVERITY_OFF, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_ERROR, NR_SEVERITIES };
extern const char *const severity_names[NR_SEVERITIES];

/* A figure that an entry may leave out. */
struct rule_number {
	bool is_set;
	uint64_t value;
};

/* What an entry of a rules file says, or several together. Limits are in the rule's unit. */
struct rule_terms {
	bool has_severity, has_always;
	enum severity severity;
	bool always;
	struct rule_number max, min;
	struct rule_number percent, absolute;	/* tolerance: beyond the baseline by that much */
};

/* An exemption. What is left out matches everything. */
struct rule_allow {
	int role;			/* -1: left out */
	char *name;			/* pattern; NULL: left out */
	char *site;			/* pattern for any of the frames; NULL: left out */
};

struct rule {
	enum rule_id id;
	char *program;			/* pattern; NULL: every program */
	struct rule_terms terms;
	struct rule_allow *allow;
	size_t nr_allow, cap_allow;
};

struct rules {
	struct rule *list;
	size_t nr, cap;
	struct rule_number percent;	/* takes the place of every percentage of a tolerance */
};

void rules_init(struct rules *rules);
void rules_fini(struct rules *rules);

/**
 * rules_add() - Append a built-in set or a file.
 * @what: name of a set; else the path of a file.
 * @err:  receives "FILE: rules[3]: what" or "FILE:LINE: what" on failure.
 *
 * Return: 0 or -EINVAL, then @rules is as before.
 */
int rules_add(struct rules *rules, const char *what, char *err, size_t err_size);

/* The same for JSON in memory; @name is what messages call it. */
int rules_add_text(struct rules *rules, const char *name, const char *text, char *err,
		   size_t err_size);

/* Append an entry that sets the severity of @id for every program. */
void rules_set_severity(struct rules *rules, enum rule_id id, enum severity severity);

/**
 * rules_terms() - What all entries for @id together say of @program.
 *
 * Without an entry the severity is SEVERITY_OFF; an entry that names none means "error".
 */
struct rule_terms rules_terms(const struct rules *rules, enum rule_id id, const char *program);

/* Whether an exemption covers this. @name may be NULL or "", @site NULL. */
bool rules_allow(const struct rules *rules, enum rule_id id, const char *program,
		 enum layout_role role, const char *name, const struct layout_site *site);

/* Text of a built-in set, NULL if there is none of that name. */
const char *rules_set_text(const char *name);

/* Names of the built-in sets, ended by NULL. */
extern const char *const rules_set_names[];

/* Refine @into by @by. */
void rule_terms_refine(struct rule_terms *into, const struct rule_terms *by);
void rule_fini(struct rule *rule);

#endif
