/* SPDX-License-Identifier: MIT */
/*
 * Every way into the recorder: one function per kind of event, called by the hooks.
 *
 *     unwind ─▶ lock ─▶ system call ─▶ shadow ─▶ record ─▶ verify ─▶ unlock
 *
 * The call is made under the capture lock, so that the order of events is the kernel's; calls
 * that may wait for another thread (mlock, populate: a userfaultfd handler) are made before it.
 * Context of all: hook path; errno is the caller's affair except where said.
 */
#ifndef VMTRACE_CAPTURE_H
#define VMTRACE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmtrace/trace.h>

extern struct mm capture_mm;

/*
 * Recording is on: the constructor is done, the output open, and this is the process it belongs
 * to. The last is a page that the kernel wipes in every kind of fork: a child that came about
 * behind our back must not write into its parent's trace.
 */
enum { CAPTURE_ON = 1, CAPTURE_EVERY_BLOCK = 2 };	/* the latter: of the heap */
extern volatile char *capture_alive;

static inline bool capture_is_on(void)
{
	return *capture_alive;
}

static inline bool capture_has_every_block(void)
{
	return *capture_alive & CAPTURE_EVERY_BLOCK;
}

void capture_set_on(bool on);
/* The same without the page: what a fork handler in the child asks about the parent. */
bool capture_was_on(void);

/* Not an origin yet: the innermost frames tell, libc's site and who called the function it is in. */
#define CAPTURE_ORIGIN_OF_STACK TRACE_NR_ORIGINS

/**
 * capture_call() - Make a system call and record it.
 * @nr:     its number.
 *
 * Return: the kernel's result, -errno on failure.
 */
long capture_call(enum mm_op op, long nr, const uint64_t arg[6], enum trace_origin origin);

/**
 * capture_brk() - The break is moved by libc's brk() or sbrk(), called through @move.
 * @arg: new break, or the increment for sbrk.
 *
 * Where libc's system call is captured at its site, only the caller is remembered for it.
 * Return: what @move returned; errno as it left it.
 */
void *capture_brk(void *(*move)(intptr_t arg), intptr_t arg, bool is_sbrk,
		  enum trace_origin origin);

/*
 * The program limits or locks its address space: what we have reserved and don't use goes, as a
 * munmap() of our own.
 */
void capture_shrink(void);

/* Record what the sink did to its window meanwhile. Hook path, without the lock. */
void capture_own_calls(void);
void capture_tell_own_calls(uint64_t ns);	/* the same under the capture lock */

/* Does the ioctl register a range with a userfaultfd, or take it back? */
bool capture_is_uffd_ioctl(uint64_t request);

/* Was something registered with @fd, so that closing it may change the map? */
bool capture_is_uffd(int fd);
/* A range was registered with the userfaultfd @fd. */
void capture_note_registered(uint64_t fd);

/*
 * ioctl(UFFDIO_API), which says whether a monitor thread has to run before munmap() and the like
 * return. Return: as the kernel has it.
 */
long capture_uffd_api(int fd, uint64_t arg);
bool capture_is_uffd_api(uint64_t request);

/*
 * Heap operations, after (before, for a free) the allocator's own work. errno is kept.
 * @frame: the hook's __builtin_frame_address(0): its caller's registers lie there.
 */
void capture_alloc(const void *block, size_t size, size_t align, const void *frame);
void capture_free(const void *block);
void capture_realloc(const void *block, size_t size, const void *old, uint64_t released_ns,
		     const void *frame);

/* Before realloc() of @block: when that was, 0 if it is none of the blocks recorded. */
uint64_t capture_release(const void *block);
/* What a function like realloc() has returned for @old, which may be NULL. */
void capture_reallocated(const void *block, size_t size, const void *old, uint64_t released_ns,
			 const void *frame);
/* It has failed: the block lives on. */
void capture_keep(const void *block, uint64_t released_ns);

/* Before any stack is taken. @stack_end: the stack pointer that the program began with. */
void capture_stack_init(uintptr_t stack_end);

/**
 * capture_stack() - The id of the stack above the hook, through the thread's cache.
 * Context: hook path, under the guard, without the capture lock. A new stack first tells the
 * trace about modules loaded since. Return: 0 with stacks off or inside the unwinder.
 */
uint32_t capture_stack(void);
/* The same for a stack that begins at @from. @t may be NULL, without memory. */
struct thread;
struct walk_frame;
uint32_t capture_stack_from(struct thread *t, const struct walk_frame *from);
/* On the thread's own stack, where walk_recall() found none by @key. */
uint32_t capture_stack_new(struct thread *t, const struct walk_frame *from, uint64_t key);
/* The same for calls that make tasks, which have no guard of their own yet; 0 while off. */
uint32_t capture_stack_of_task(void);
/* Its two innermost frames, taken now if stacks are off; 0 where there is none. */
void capture_innermost(uint32_t stack, uint64_t ret_ips[2]);

/* What the unwinder asks about the map: bridge_code_fn. Takes the capture lock. */
bool capture_find_code(uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end);

/* Tasks. @call names the function; @child: pid, or -errno. */
void capture_fork(const char *call, long child, uint32_t stack);
void capture_thread_create(uint32_t stack);	/* by the caller, which has that stack */
void capture_thread_start(void);
void capture_thread_end(void);	/* under the capture lock */

/* Checkpoint and `end` event. May be called more than once: the last one counts. */
void capture_finish(const char *how, int status);

/* A whole comparison with counters and, if configured, frames. Under the capture lock. */
void capture_checkpoint(const char *why, bool frames);
void checkpoint_record(const char *why, bool frames, uint64_t seq);	/* checkpoint.c's part */
uint64_t capture_seq(void);
void capture_reset(void);	/* fork child: a new trace */

/* Asked for by the program's user through a signal. Async-signal-safe: done at the next event. */
void capture_request_checkpoint(void);

#endif
