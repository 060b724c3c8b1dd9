/* SPDX-License-Identifier: MIT */
/*
 * The trace's vocabulary: event kinds, call names with their arguments, causes of differences.
 *
 * TRACE.md tells what they mean, trace.schema.json holds them for validators; writer and reader
 * take every name from here, and a test compares the three.
 */
#ifndef VMTRACE_TRACE_H
#define VMTRACE_TRACE_H

#include <vmtrace/mm.h>

#define TRACE_VERSION 1

/* X(symbol, "ev") */
#define TRACE_EVENTS(X) \
	X(HEADER, "header")		/* first line: who, where, how */ \
	X(VMA, "vma")			/* one line of the map at start */ \
	X(MODULE, "module")		/* an ELF object was loaded or unloaded */ \
	X(THREAD, "thread")		/* a thread was found, started, ended */ \
	X(STACK, "stack")		/* new nodes of the stack tree */ \
	X(LIMITS, "limits")		/* resource limits have changed */ \
	X(CALL, "call")			/* a system call that may change the map */ \
	X(HEAP, "heap")			/* a batch of heap operations of one thread */ \
	X(CHECKPOINT, "checkpoint")	/* the lines up to the next non-checkpoint event belong to it */ \
	X(MM, "mm")			/* counters, the shadow's beside the kernel's */ \
	X(VERIFY, "verify")		/* outcome of a comparison of the whole map */ \
	X(DIFF, "diff")			/* one difference, its cause, and the kernel's truth */ \
	X(TOPOLOGY, "topology")		/* zones, nodes, free blocks, slab objects */ \
	X(PAGE_CLASS, "page_class")	/* what pages of a run have in common */ \
	X(FRAMES, "frames")		/* what stands behind one vma, or a part of it */ \
	X(FRAME_DIFF, "frame_diff")	/* pages that the shadow can't account for */ \
	X(FRAMES_END, "frames_end")	/* the sums, and what the scan itself has moved */ \
	X(FORK, "fork")			/* fork, vfork, clone, posix_spawn: a task was made */ \
	X(EXEC, "exec")			/* execve was entered, or failed */ \
	X(LOST, "lost")			/* records that could not be kept */ \
	X(END, "end")			/* the process ended in a way that could be seen */

/*
 * X(MM_op, "name", "arguments"): one word per register, NAME:x for addresses (hex strings),
 * NAME:n for signed numbers.
 */
#define TRACE_CALLS(X) \
	X(MM_MMAP, "mmap", "addr:x length:n prot:n flags:n fd:n offset:n") \
	X(MM_MUNMAP, "munmap", "addr:x length:n") \
	X(MM_MREMAP, "mremap", "old_addr:x old_size:n new_size:n flags:n new_addr:x") \
	X(MM_MPROTECT, "mprotect", "addr:x length:n prot:n") \
	X(MM_PKEY_MPROTECT, "pkey_mprotect", "addr:x length:n prot:n pkey:n") \
	X(MM_BRK, "brk", "addr:x") \
	X(MM_MADVISE, "madvise", "addr:x length:n advice:n") \
	X(MM_PROCESS_MADVISE, "process_madvise", "pidfd:n iov:x vlen:n advice:n flags:n") \
	X(MM_MLOCK, "mlock", "addr:x length:n") \
	X(MM_MLOCK2, "mlock2", "addr:x length:n flags:n") \
	X(MM_MUNLOCK, "munlock", "addr:x length:n") \
	X(MM_MLOCKALL, "mlockall", "flags:n") \
	X(MM_MUNLOCKALL, "munlockall", "") \
	X(MM_MSEAL, "mseal", "addr:x length:n flags:n") \
	X(MM_REMAP_FILE_PAGES, "remap_file_pages", "addr:x size:n prot:n pgoff:n flags:n") \
	X(MM_SHMAT, "shmat", "shmid:n addr:x flags:n") \
	X(MM_SHMDT, "shmdt", "addr:x") \
	X(MM_MBIND, "mbind", "addr:x length:n mode:n nodemask:x maxnode:n flags:n") \
	X(MM_SET_MEMPOLICY, "set_mempolicy", "mode:n nodemask:x maxnode:n") \
	X(MM_SET_MEMPOLICY_HOME_NODE, "set_mempolicy_home_node", "addr:x length:n node:n flags:n") \
	X(MM_PRCTL, "prctl", "option:n arg2:x arg3:x arg4:x arg5:x") \
	X(MM_IO_SETUP, "io_setup", "nr_events:n ctxp:x ctx:x") \
	X(MM_IO_DESTROY, "io_destroy", "ctx:x") \
	X(MM_IOCTL, "ioctl", "fd:n request:x argp:x start:x length:n mode:n") \
	X(MM_CLOSE, "close", "fd:n")

/* Who made a call. */
#define TRACE_ORIGINS(X) \
	X(APP, "app")		/* the program or one of its libraries, through a symbol */ \
	X(LIBC, "libc")		/* inside libc */ \
	X(LOADER, "loader")	/* inside the dynamic loader */ \
	X(RAW, "raw")		/* syscall(2) or an inline system call */ \
	X(SELF, "self")		/* vmtrace or its unwinder */

/* Why pages and the shadow contradict each other. */
#define TRACE_FRAME_CAUSES(X) \
	X(OUTSIDE, "outside")		/* pages where the shadow has no vma */ \
	X(ANON_SHARED, "anon_shared")	/* an anonymous page in a shared mapping */

/* Why the shadow and the kernel differed. */
#define TRACE_CAUSES(X) \
	X(NOT_CAPTURED, "not_captured")	/* a change outside the range of the event just recorded */ \
	X(STACK_GROWTH, "stack_growth")	/* a VM_GROWSDOWN vma's start moved down */ \
	X(MERGE_RULE, "merge_rule")	/* same pages, other boundaries: anon_vma, struct file or policy */ \
	X(OWN_MAPPING, "own_mapping")	/* vmtrace's or its unwinder's memory */ \
	X(OTHER_TASK, "other_task")	/* changed by a task that shares the mm without hooks */ \
	X(LOST, "lost")			/* records were dropped; this is the whole map as it is now */ \
	X(NAME, "name")			/* rename, unlink, mount: only the name changed */ \
	X(UNEXPLAINED, "unexplained")	/* a defect */

#define TRACE_ENUM(symbol, name) TRACE_##symbol,
enum trace_event { TRACE_EVENTS(TRACE_ENUM) TRACE_NR_EVENTS };
#undef TRACE_ENUM
#define TRACE_ENUM(symbol, name) TRACE_ORIGIN_##symbol,
enum trace_origin { TRACE_ORIGINS(TRACE_ENUM) TRACE_NR_ORIGINS };
#undef TRACE_ENUM
#define TRACE_ENUM(symbol, name) TRACE_CAUSE_##symbol,
enum trace_cause { TRACE_CAUSES(TRACE_ENUM) TRACE_NR_CAUSES };
#undef TRACE_ENUM
#define TRACE_ENUM(symbol, name) TRACE_FRAME_CAUSE_##symbol,
enum trace_frame_cause { TRACE_FRAME_CAUSES(TRACE_ENUM) TRACE_NR_FRAME_CAUSES };
#undef TRACE_ENUM

#endif
