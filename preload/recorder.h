/* SPDX-License-Identifier: MIT */
/*
 * Turns events into lines of the trace: one main stream, in the order of the capture lock, and
 * one stream of heap operations per thread, without a lock.
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

/* Heap operations of one thread on their way to the trace. */
struct heap_stream {
	char *chunk;
	size_t size, len;	/* len: up to and with the '\n' of the last line */
	size_t closed_size;	/* size, where recorder_heap_close() has made that 0 */
	size_t line;		/* where the open line begins; 0 length: none is open */
	bool open;
	uint64_t base, last_ns;
	uint64_t nr_ops, nr_lost;
};

/* Start the main stream (startup, fork child). Return: false without memory. */
bool recorder_init(void);

/* Nanoseconds since the trace's start. */
uint64_t recorder_now(void);
void recorder_set_start(uint64_t monotonic_ns);

/**
 * recorder_writer() - The one writer for records of the main stream.
 * Context: under the capture lock; valid until the matching recorder_commit().
 */
struct jsonw *recorder_writer(void);
/* End the event and append it; one that can't be kept is counted. Return: it was kept. */
bool recorder_commit(struct jsonw *w);

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

/* Operations; addresses as the allocator returned them. */
void recorder_heap_alloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, size_t size,
			 size_t align, uint32_t stack);
void recorder_heap_free(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr);
void recorder_heap_realloc(struct heap_stream *s, int tid, uint64_t ns, uint64_t addr, size_t size,
			   uint32_t stack, uint64_t old, uint64_t took);
/* Give the rest to the sink (stream, compressed file) or leave it where it is. Under the capture lock. */
void recorder_heap_flush(struct heap_stream *s);
/* Another thread's stream: its next operation asks for a new chunk. Under the capture lock. */
void recorder_heap_close(struct heap_stream *s);
/* As recorder_heap_flush(), of the caller's own stream: compressed while others may take the lock. */
void recorder_heap_flush_apart(struct heap_stream *s);

/* Cut the unused rest of the main chunk off the file; what comes later begins a new one. */
void recorder_trim(void);

#endif
