/* SPDX-License-Identifier: MIT */
/* What the files of the generator share: chance, places, and one function for each kind of step. */
#ifndef VMTRACE_TEST_STEPS_H
#define VMTRACE_TEST_STEPS_H

#include "generator.h"

#define PAGE MM_PAGE_SIZE
#define WINDOW_PAGES 40
#define STACK_PAGES 2048
#define NR_FILES_MAX 12
#define NR_SEGMENTS 3
#define NR_GENERATORS 8

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
/* Beyond any user space, whatever it begins at. Where holes don't stop a call: see some_span(). */
#define ENDLESS (1ull << 56)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

struct file_info {
	int fd;
	const char *name;		/* for people */
	bool no_write, no_exec, thp_align, is_hugetlb, may_truncate;
};

struct objects {
	struct file_info files[NR_FILES_MAX];
	unsigned int nr_files;
	int segments[NR_SEGMENTS];
	uint64_t segment_bytes[NR_SEGMENTS];
	int sink, zero;
	int mem, self;			/* /proc/self/mem, pidfd of ourselves; again after fork */
};

extern struct objects objects;

uint64_t below(struct generator *g, uint64_t n);
bool one_in(struct generator *g, uint64_t n);

/* A place in the window: mostly a few whole pages, sometimes nonsense. */
uint64_t some_addr(struct generator *g);
uint64_t some_len(struct generator *g);
uint64_t some_span(struct generator *g);	/* not endless: our own memory is beyond */
uint64_t some_prot(struct generator *g);
void remember_floating(struct generator *g, uint64_t addr, uint64_t len);

/** do_call() - Make a call and fill in @s. */
void do_call(struct generator *g, struct step *s, long nr, enum mm_op op, const uint64_t arg[6]);

#define CALL(g, s, nr, op, ...) do_call(g, s, nr, op, (const uint64_t[6]){ __VA_ARGS__ })

/* steps_map.c */
void step_mmap(struct generator *g, struct step *s, bool fixed);
void step_munmap(struct generator *g, struct step *s);
void step_mprotect(struct generator *g, struct step *s);
void step_mremap(struct generator *g, struct step *s);
void step_brk(struct generator *g, struct step *s);
void step_madvise(struct generator *g, struct step *s);
void step_lock(struct generator *g, struct step *s);
void step_seal(struct generator *g, struct step *s);
void step_policy(struct generator *g, struct step *s);
void step_remap_file_pages(struct generator *g, struct step *s);
void step_process_madvise(struct generator *g, struct step *s);

/* steps_uffd.c */
void step_uffd(struct generator *g, struct step *s);
bool step_close_uffd(struct generator *g, struct step *s);	/* false: none is open */

/* steps_other.c */
void step_shm(struct generator *g, struct step *s);
void step_prctl(struct generator *g, struct step *s);
void step_aio(struct generator *g, struct step *s);
void step_touch(struct generator *g, struct step *s);
void step_stack(struct generator *g, struct step *s);
void step_truncate(struct generator *g, struct step *s);
void step_limit(struct generator *g, struct step *s);
void step_lift_limit(struct generator *g, struct step *s);
void step_crowd(struct generator *g, struct step *s);
void step_disperse(struct generator *g, struct step *s);

#endif
