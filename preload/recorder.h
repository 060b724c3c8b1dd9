/* SPDX-License-Identifier: MIT */
/*
 * Turns events into lines of the trace: one main stream, in the order of the capture lock, and
 * one stream of heap operations per thread, without a lock (heap_stream.h).
 *
 * A record appears in the file by its last store: everything behind its first bytes is written
 * before, so that a kill at any instruction leaves whole lines, and at most a rest that does not
 * begin with '{' (see TRACE.md).
 */
#ifndef VMTRACE_RECORDER_H
#define VMTRACE_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jsonw.h"

/* Start the main stream (startup, fork child). Return: false without memory. */
bool recorder_init(void);

/* Nanoseconds since the trace's start. */
uint64_t recorder_now(void);

/**
 * recorder_writer() - The one writer for records of the main stream.
 * Context: under the capture lock; valid until the matching recorder_commit().
 */
struct jsonw *recorder_writer(void);
/* End the event and append it; one that can't be kept is counted. Return: it was kept. */
bool recorder_commit(struct jsonw *w);

/* Have the memory in place that the next records are written to, as far as it is known. */
void recorder_populate(void);

/*
 * Events that a replay builds on (calls, differences, verifications): after one of them was lost
 * the next ones would mislead, until the whole map was told anew.
 *
 * recorder_is_behind(): such a gap is open. recorder_commit_model(): append, or open the gap.
 * recorder_caught_up(): it is closed. Under the capture lock.
 */
bool recorder_is_behind(void);
bool recorder_commit_model(struct jsonw *w);
void recorder_caught_up(void);

/* Count something that was not recorded at all. @what: "call", "heap", "event". */
void recorder_lost(const char *what, const char *why, uint64_t count);
/* Write what is counted as `lost` events, if there is room again. */
void recorder_flush_lost(void);
uint64_t recorder_nr_lost(void);

/* Cut the unused rest of the main chunk off the file; what comes later begins a new one. */
void recorder_trim(void);

#endif
