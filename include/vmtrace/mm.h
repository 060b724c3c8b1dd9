/* SPDX-License-Identifier: MIT */
/*
 * The shadow mm_struct: a user-space copy of the kernel's model of one address space.
 *
 * The same code runs live in the traced process (fed by the capture), in the analyzer (fed by the
 * trace) and in the tests (fed by the kernel's own answers). It is pure: no I/O, no globals, no
 * memory but what its allocator hands out, no lock of its own.
 *
 *            struct mm
 *      ┌────────┴─────────┐
 *      │ root             │ first              one set of nodes, two orders over it:
 *      ▼                  ▼                    a balanced tree, augmented with the largest
 *    [vma]──┐           [vma]⇄[vma]⇄[vma]      gap below each node, and an address-sorted
 *     ╱ ╲   └ augmented                        doubly linked list
 *
 * Ranges are half-open, [start, end). Addresses and lengths are bytes, vm_pgoff counts pages.
 * Context: every function here may run on the hook path; the caller serialises access to one mm.
 */
#ifndef VMTRACE_MM_H
#define VMTRACE_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MM_PAGE_SHIFT 12
#define MM_PAGE_SIZE (1ull << MM_PAGE_SHIFT)

/* vm_flags: names and bits of the kernel's include/linux/mm.h (x86-64). */
#define VM_READ		0x00000001ull
#define VM_WRITE	0x00000002ull
#define VM_EXEC		0x00000004ull
#define VM_SHARED	0x00000008ull
#define VM_MAYREAD	0x00000010ull
#define VM_MAYWRITE	0x00000020ull
#define VM_MAYEXEC	0x00000040ull
#define VM_MAYSHARE	0x00000080ull
#define VM_GROWSDOWN	0x00000100ull
#define VM_UFFD_MISSING	0x00000200ull
#define VM_PFNMAP	0x00000400ull
#define VM_MAYBE_GUARD	0x00000800ull
#define VM_UFFD_WP	0x00001000ull
#define VM_LOCKED	0x00002000ull
#define VM_IO		0x00004000ull
#define VM_SEQ_READ	0x00008000ull
#define VM_RAND_READ	0x00010000ull
#define VM_DONTCOPY	0x00020000ull
#define VM_DONTEXPAND	0x00040000ull
#define VM_LOCKONFAULT	0x00080000ull
#define VM_ACCOUNT	0x00100000ull
#define VM_NORESERVE	0x00200000ull
#define VM_HUGETLB	0x00400000ull
#define VM_SYNC		0x00800000ull
#define VM_WIPEONFORK	0x02000000ull
#define VM_DONTDUMP	0x04000000ull
#define VM_SOFTDIRTY	0x08000000ull
#define VM_MIXEDMAP	0x10000000ull
#define VM_HUGEPAGE	0x20000000ull
#define VM_NOHUGEPAGE	0x40000000ull
#define VM_MERGEABLE	0x80000000ull
#define VM_PKEY_SHIFT	32
#define VM_PKEY_MASK	(0xfull << VM_PKEY_SHIFT)
#define VM_UFFD_MINOR	(1ull << 41)
#define VM_DROPPABLE	(1ull << 40)
#define VM_SEALED	(1ull << 42)

/*
 * What differs from kernel to kernel; probed at start, recorded in the header. Bits are part of the
 * trace's format. A bit for what only older kernels do is clear in the default, so that a trace
 * recorded before there was that bit keeps its meaning.
 */
enum mm_rule {
	MM_RULE_STACK_NOHUGEPAGE = 1u << 0,	/* MAP_STACK implies VM_NOHUGEPAGE (6.7+) */
	MM_RULE_THP_ALIGN = 1u << 1,		/* 2-MiB multiples are aligned (6.7+) */
	MM_RULE_MERGE_FAULTED = 1u << 2,	/* a faulted range joins an id-less neighbour */
	MM_RULE_CLOSE_BOUNDARY = 1u << 3,	/* vm_ops->close vmas may shift a boundary */
	MM_RULE_ACCOUNT_CLEAR = 1u << 4,	/* mprotect dropping WRITE may clear VM_ACCOUNT */
	MM_RULE_MULTI_MREMAP = 1u << 5,		/* mremap moves several vmas at once */
	MM_RULE_HEAP_STRICT = 1u << 6,		/* [heap] names need real overlap, not touching */
	MM_RULE_DONTUNMAP_RESET = 1u << 7,	/* MREMAP_DONTUNMAP resets the source's pgoff, keeps
						 * it apart from its copy, unlocks no more of it */
	MM_RULE_ANON_NAME = 1u << 8,		/* CONFIG_ANON_VMA_NAME */
	MM_RULE_THP_MADVISE = 1u << 9,		/* only MADV_HUGEPAGE memory gets huge pages */
	MM_RULE_PKEYS = 1u << 10,		/* the CPU has protection keys */
	MM_RULE_OVERCOMMIT_NEVER = 1u << 11,	/* vm.overcommit_memory=2 ignores MAP_NORESERVE */
	MM_RULE_MERGE_UPPER = 1u << 12,		/* mmap between two anon_vmas joins the upper; a copy
						 * kept off its source joins nothing (before 6.12) */
	MM_RULE_MREMAP_UNMAPS_FIRST = 1u << 13,	/* MREMAP_FIXED clears its target, then looks at the
						 * source (before 6.17) */
	MM_RULE_KSM_LATE = 1u << 14,		/* PR_SET_MEMORY_MERGE marks a new mapping after it
						 * has tried to join (before 6.17) */
	MM_RULE_RINGS_STAY = 1u << 15,		/* fork copies no AIO ring; MADV_DOFORK refuses
						 * VM_SPECIAL, not just VM_IO (7.2) */
	MM_RULES_DEFAULT = (1u << 7) - 1,	/* as measured on 6.18, without anon names */
};

/* Memory for nodes and names. alloc() returns zeroed memory or NULL; nothing is given back. */
struct mm_alloc {
	void *(*alloc)(void *ctx, size_t bytes);
	void *ctx;
};

/* What stands behind a mapping. Anonymous memory: dev, inode 0 and name NULL or a [pseudo] name. */
struct vma_file {
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	const char *name;	/* as /proc/PID/maps prints it; copied when stored */
	bool is_hugetlb;	/* on hugetlbfs: rounding and flags differ */
	bool has_close;		/* vm_ops->close exists (SysV shm) */
	bool no_write;		/* descriptor opened O_RDONLY: MAP_SHARED loses VM_SHARED|VM_MAYWRITE */
	bool no_exec;		/* on a noexec mount: loses VM_MAYEXEC */
	bool thp_align;		/* the file system aligns mappings to huge pages (ext4, xfs, ...) */
};

/* A vma by value: one line of /proc/PID/maps plus what else is known. */
struct vma_desc {
	uint64_t vm_start, vm_end;
	uint64_t vm_flags;	/* rwx and SHARED/MAYSHARE always; others as far as known */
	uint64_t offset;	/* bytes, 0 for anonymous */
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	const char *name;	/* NULL or "" for none */
	bool flags_known;	/* vm_flags says more than rwxs: all (read from smaps) but for ... */
	uint64_t vm_flags_unknown;	/* ... the bits that are a guess */
	bool anon_vma;		/* known to have an anon_vma (private pages were seen) */
	bool own;		/* vmtrace's own memory */
};

/* What is known about vma->anon_vma, which user space can't see. */
enum anon_vma_state { ANON_VMA_NONE, ANON_VMA_UNKNOWN, ANON_VMA_PRESENT };

/* Was the anon_vma inherited over fork, so that its chain has more than one entry? */
enum anon_vma_forked { ANON_VMA_FORKED_NO, ANON_VMA_FORKED_MAYBE, ANON_VMA_FORKED_YES };

/*
 * What is known about vma->vm_pgoff of anonymous memory, which user space can't see: as stored; as
 * stored or vm_start >> 12 (moved while nobody could tell whether it had been written); anything.
 */
enum vm_pgoff_state { VM_PGOFF_KNOWN, VM_PGOFF_EITHER, VM_PGOFF_ANY };

/* Why a boundary stands (vma genealogy): the first field that kept the neighbours apart. */
enum vma_boundary {
	VMA_BOUNDARY_GAP, VMA_BOUNDARY_PERMS, VMA_BOUNDARY_FLAGS, VMA_BOUNDARY_FILE,
	VMA_BOUNDARY_PGOFF, VMA_BOUNDARY_ANON_VMA, VMA_BOUNDARY_POLICY, VMA_BOUNDARY_NAME,
	VMA_BOUNDARY_SPECIAL, VMA_BOUNDARY_UNTRIED,	/* mergeable, but no operation touched it */
};

struct vma {
	uint64_t vm_start, vm_end, vm_flags;
	uint64_t vm_flags_unknown;	/* bits of vm_flags that are a guess */
	uint64_t vm_pgoff;		/* pages; for private anonymous memory the model's belief */
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	const char *name;		/* interned in the mm; NULL: none ([heap], [stack] are computed) */
	uint64_t file_id;		/* struct file identity: equal = same, 0 = anonymous */
	uint64_t file_bytes;		/* SysV shm, AIO ring: size of the whole, else 0 */
	uint64_t policy_id;		/* 0: none; equal = mpol_equal() */
	uint64_t uffd_ctx;		/* userfaultfd, 0: none; equal = same, others may be */
	/*
	 * Equal ids of two vmas that are both PRESENT mean the same anon_vma for certain; while one
	 * is UNKNOWN they mean a common origin. Different ids prove nothing. 0: ANON_VMA_NONE.
	 */
	uint32_t anon_vma_id;
	uint8_t anon_vma;		/* enum anon_vma_state */
	uint8_t pgoff_state;		/* enum vm_pgoff_state */
	uint8_t anon_vma_forked;	/* enum anon_vma_forked */
	bool has_close, is_hugetlb, own;
	bool uncertain;			/* the boundary at vm_start hinges on what can't be seen */
	uint64_t event;			/* sequence number of the event that made it, 0: at start */
	struct vma *vm_next, *vm_prev;	/* address-sorted list */
	struct {			/* balanced tree, augmented */
		struct vma *left, *right, *parent;
		int height;
		uint64_t max_gap;	/* largest hole right below any node of this subtree, bytes */
		uint64_t min_start, max_end;	/* extent of the subtree */
	} node;
};

/* Calls that change an address space. The order is part of no file format: names are. */
enum mm_op {
	MM_MMAP, MM_MUNMAP, MM_MREMAP, MM_MPROTECT, MM_PKEY_MPROTECT, MM_BRK, MM_MADVISE,
	MM_PROCESS_MADVISE, MM_MLOCK, MM_MLOCK2, MM_MUNLOCK, MM_MLOCKALL, MM_MUNLOCKALL, MM_MSEAL,
	MM_REMAP_FILE_PAGES, MM_SHMAT, MM_SHMDT, MM_MBIND, MM_SET_MEMPOLICY,
	MM_SET_MEMPOLICY_HOME_NODE, MM_PRCTL, MM_IO_SETUP, MM_IO_DESTROY,
	MM_IOCTL, MM_CLOSE,	/* of a userfaultfd */
	MM_OP_COUNT,
};

struct mm_range {
	uint64_t start, end;
};

/**
 * struct mm_call - One system call that may have changed the map, with its outcome.
 * @op:    which call.
 * @arg:   its arguments as the kernel got them (raw registers). brk: arg[0] the wanted break.
 *         io_setup: arg[2] the context it stored (address of the ring), 0 if unknown.
 *         ioctl: arg[3], arg[4] start and length of the range registered or no longer so with a
 *         userfaultfd, arg[5] the modes.
 * @len:   what the arguments don't say: shmat's segment size, io_setup's ring size; else 0.
 * @ret:   the raw result, -errno on failure. brk: the break after the call.
 * @file:  the file behind a successful mmap of a descriptor, shmat or shared anonymous memory as
 *         far as known; NULL: anonymous or unknown.
 * @ranges, @nr_ranges: process_madvise: what the calling process advises itself about, in order.
 * @name:  prctl(PR_SET_VMA_ANON_NAME)'s string, else NULL.
 * @passed, @stopped: of a failed walk over several vmas, which the model can't follow where the reason
 *         may be a flag in doubt: the last address that it is known to have got over, and the one it
 *         is known not to; 0: unknown. See mm_ask().
 * @event: sequence number, stored in the vmas it makes.
 * @own:   vmtrace's own mapping.
 */
struct mm_call {
	enum mm_op op;
	uint64_t arg[6];
	uint64_t len;
	int64_t ret;
	const struct vma_file *file;
	const struct mm_range *ranges;
	size_t nr_ranges;
	const char *name;
	uint64_t passed, stopped;
	uint64_t event;
	bool own;
};

/**
 * struct mm_effect - What mm_apply() did.
 * @start, @end:  smallest range that holds all vmas changed; start == end: nothing changed.
 * @nr_removed, @nr_inserted: vmas gone and new (a resized one is neither).
 * @uncertain:    some boundary in or at the edge of the range hinges on state user space can't see
 *                (anon_vma, struct file, policy): ask the kernel, then mm_resolve().
 * @predicted:    for mmap: address get_unmapped_area() foretold, 0 if not predictable.
 * @vma:          the vma that holds the result (mmap, mremap, brk, shmat), else NULL.
 */
struct mm_effect {
	uint64_t start, end;
	unsigned int nr_removed, nr_inserted;
	bool uncertain;
	uint64_t predicted;
	struct vma *vma;
};

struct mm {
	const struct mm_alloc *mem;
	struct vma *root, *first, *last;
	struct vma *mmap_cache;		/* last hit of find_vma() */
	struct vma *free_vmas;		/* nodes to use again, linked by vm_next */
	void *names;			/* interned names, private to names.c */

	uint32_t rules;			/* enum mm_rule */
	bool is_inherited;		/* a fork child whose map was read: its anon_vmas are chained */
	int mm_users;			/* tasks that share it */
	int mm_count;			/* references; mm_users together count as one */
	uint32_t map_count, map_count_peak, max_map_count;
	uint64_t total_vm, data_vm, exec_vm, stack_vm, locked_vm, pinned_vm;	/* pages */
	uint64_t locked_vm_leaked;	/* of locked_vm: still counted by the kernel, locked no more */
	uint64_t hiwater_vm;		/* pages */
	uint64_t def_flags;
	bool ksm_merge_any;		/* PR_SET_MEMORY_MERGE is on */
	uint64_t mmap_base, mmap_legacy_base, task_size, mmap_min_addr;
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t rlimit_memlock, rlimit_data, rlimit_as, rlimit_stack;	/* bytes; ~0: none */
	uint64_t stack_guard_gap;	/* bytes; 0 means 256 pages */
	uint32_t next_anon_vma_id;
	uint64_t next_file_id;
	uint64_t next_policy_id;

	uint64_t find_vma_calls, find_vma_cache_hits;
	uint64_t nr_uncertain;		/* outcomes that hinged on what can't be seen */
	uint64_t nr_predicted, nr_predicted_right;	/* mmap addresses */
};

/**
 * mm_init() - An empty address space with one user.
 * @mm:  caller's memory; every field is set.
 * @mem: source of nodes and names, must outlive @mm.
 *
 * Segment addresses, limits and rules are set by the caller afterwards; rules starts as
 * MM_RULES_DEFAULT, max_map_count as 65530, task_size as 0x7ffffffff000.
 */
void mm_init(struct mm *mm, const struct mm_alloc *mem);

/**
 * mm_insert() - Add a vma as the kernel listed it, without any merging.
 *
 * Return: 0, -EINVAL if it is empty, unaligned or overlaps, -ENOMEM; @mm unchanged on failure.
 */
int mm_insert(struct mm *mm, const struct vma_desc *desc);

/**
 * mm_ask() - Where does it show how far a call has come that failed half-way?
 *
 * To be asked of the kernel before mm_apply(), and answered by mm_answer(), until there is no more.
 * Without an answer mm_apply() takes the likelier outcome and reports doubt.
 * Return: an address, 0: nowhere, or there is no doubt.
 */
uint64_t mm_ask(struct mm *mm, const struct mm_call *call);

/**
 * mm_answer() - The kernel's answer to mm_ask(): sets @call's passed or stopped.
 * @addr: as mm_ask() returned it.
 * @desc: the vma that contains @addr, NULL if nothing is mapped there.
 */
void mm_answer(struct mm_call *call, uint64_t addr, const struct vma_desc *desc);

/**
 * mm_apply() - Replay one call on the model.
 * @ret_effect: filled in always; may be NULL.
 *
 * Failed calls are applied too: several of them change the map before they fail.
 * Return: 0, or -ENOMEM (allocator empty; the model may lack nodes and wants a mm_replace()).
 */
int mm_apply(struct mm *mm, const struct mm_call *call, struct mm_effect *ret_effect);

/**
 * mm_resolve() - Take over the kernel's answer about where a vma starts and ends.
 * @start, @end: bounds of one vma as the kernel reports it.
 *
 * Only boundaries are changed, and only where the model was uncertain: neighbours inside
 * [start, end) that differ in nothing visible are joined; a vma that reaches beyond is split.
 * Learns from it (equal or different anon_vma, same or other struct file).
 * Return: 0 done, 1 the answer can't be reached by joining and splitting, -ENOMEM.
 */
int mm_resolve(struct mm *mm, uint64_t start, uint64_t end);

/**
 * mm_replace() - Make [start, end) what the kernel says it is.
 * @desc, @nr: vmas in address order; those that stick out of the range replace what they overlap.
 *
 * Hidden knowledge (anon_vma, file identity, policy, event) is kept where a piece stays the same.
 * Return: 0, -EINVAL if @desc is unordered, -ENOMEM.
 */
int mm_replace(struct mm *mm, uint64_t start, uint64_t end,
	       const struct vma_desc *desc, size_t nr, uint64_t event);

/**
 * mm_dup() - What fork(2) gives the child (dup_mmap): no DONTCOPY vmas, no locks, forked anon_vmas.
 * @dst: uninitialised; gets mm_users 1.
 */
int mm_dup(struct mm *dst, const struct mm *src, const struct mm_alloc *mem);

/* In-place variant for the child of a real fork, whose memory already is a copy. */
int mm_fork_child(struct mm *mm);

void mmget(struct mm *mm);	/* one more task shares it (CLONE_VM) */
bool mmput(struct mm *mm);	/* one less; true: it was the last and the map is gone */

/* Lookup, with the kernel's meanings. mm is not const: the cache and its counters change. */
struct vma *find_vma(struct mm *mm, uint64_t addr);		/* first with vm_end > addr */
struct vma *find_vma_prev(struct mm *mm, uint64_t addr, struct vma **ret_prev);
struct vma *find_vma_intersection(struct mm *mm, uint64_t start, uint64_t end);
struct vma *vma_lookup(struct mm *mm, uint64_t addr);		/* the one that contains addr */

/**
 * get_unmapped_area() - The address the kernel would choose.
 * @addr: hint, 0 for none. @flags: MAP_*. @file: may be NULL.
 *
 * Return: the address, or 0 if there is none or it can't be foretold (MAP_32BIT).
 */
uint64_t get_unmapped_area(struct mm *mm, uint64_t addr, uint64_t len, uint64_t pgoff,
			   uint64_t flags, const struct vma_file *file);

/* The name maps shows for @vma ([heap] and [stack] included); "" for none. */
const char *vma_name(const struct mm *mm, const struct vma *vma);

/* Why @vma does not continue the one below it. */
enum vma_boundary vma_boundary(const struct mm *mm, const struct vma *vma);
const char *vma_boundary_name(enum vma_boundary why);

/* By value, with the name as vma_name() and the offset as maps show them. */
void vma_describe(const struct mm *mm, const struct vma *vma, struct vma_desc *ret_desc);

/**
 * mm_check() - Every invariant of the model.
 *
 * List and tree hold the same nodes in the same order, nothing overlaps, everything is page
 * aligned, heights, gaps and extents of the tree are right, counters match.
 * Return: NULL, or a static string that names the first one broken.
 */
const char *mm_check(const struct mm *mm);

/* A hash over bounds, perms, offset, dev, inode of all vmas: cheap equality of two maps. */
uint64_t mm_hash(const struct mm *mm);

/* The text of /proc/PID/maps. No stdio, no locale, no allocation. */

#define MAPS_LINE_MAX (4096 + 128)

/**
 * maps_format_line() - One line as the kernel's show_map_vma() prints it, with '\n'.
 * Return: bytes written (no NUL is added), at most @size.
 */
size_t maps_format_line(const struct vma_desc *desc, char *buf, size_t size);

/**
 * maps_parse_line() - The opposite.
 * @line, @len: one line, with or without '\n'; need not be terminated.
 * @name:       receives the name, terminated, cut at @name_size; ret_desc->name points to it.
 * Return: 0, -EINVAL.
 */
int maps_parse_line(const char *line, size_t len, struct vma_desc *ret_desc,
		    char *name, size_t name_size);

#endif
