/* SPDX-License-Identifier: MIT */
/* One reserved region and a bump pointer into it. */
#include "arena.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "own.h"
#include "sys.h"

#include "no_heap.h"

#define REGION_BYTES (4ull << 30)
#define REGION_BYTES_LIMITED (64ull << 20)	/* when RLIMIT_AS or RLIMIT_DATA is set */
#define REGION_GROWTH (4ull << 20)	/* with mlockall(MCL_FUTURE) all of it is in memory at once */
#define REGION_KEEP (4ull << 20)	/* room left when the program needs the address space */
/*
 * Above ASan's shadow and Go's arenas, below every position-independent program, and far from
 * mmap_base, so that get_unmapped_area() of the program never meets us.
 */
#define REGION_HINT 0x200000000000ull
#define REGION_STEP 0x010000000000ull
#define REGION_TRIES 8

static uint8_t *region;
static size_t region_bytes, used;

int arena_init(void)
{
	uint64_t limit = RLIM_INFINITY, data_limit = RLIM_INFINITY;
	void *p = NULL;
	int i;

	sys_getrlimit(RLIMIT_AS, &limit);
	sys_getrlimit(RLIMIT_DATA, &data_limit);
	region_bytes = limit == RLIM_INFINITY && data_limit == RLIM_INFINITY ? REGION_BYTES :
									       REGION_BYTES_LIMITED;
	for (i = 0; i < REGION_TRIES; i++) {
		p = sys_mmap((void *)(REGION_HINT + (uint64_t)i * REGION_STEP), region_bytes,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (!sys_is_err((long)p) || (long)p != -EEXIST)
			break;
	}
	if (sys_is_err((long)p))
		return (int)(long)p;
	/* Not in core dumps, and no huge pages for a few kilobytes. */
	sys_madvise(p, region_bytes, MADV_DONTDUMP);
	sys_madvise(p, region_bytes, MADV_NOHUGEPAGE);
	region = p;
	return 0;
}

/* The region was small, or cut short, and all of it is used. */
static bool has_room(size_t need)
{
	size_t more;

	if (need <= region_bytes - used)
		return true;
	more = (need - (region_bytes - used) + REGION_GROWTH - 1) & ~(REGION_GROWTH - 1);
	if (!region || more < need - (region_bytes - used) ||
	    own_grow(arena_end(), more))
		return false;
	region_bytes += more;
	return true;
}

void *arena_alloc(size_t bytes)
{
	size_t need = (bytes + 15) & ~(size_t)15;
	void *p;

	if (need < bytes || !has_room(need))
		return NULL;
	p = region + used;
	used += need;
	return p;
}

static struct piece {
	size_t bytes;
	struct piece *next;
} *pieces;

void *arena_map(size_t bytes)
{
	struct piece **link, *piece;

	bytes = (bytes + 4095) & ~(size_t)4095;
	for (link = &pieces; (piece = *link); link = &piece->next) {
		if (piece->bytes == bytes) {
			*link = piece->next;
			memset(piece, 0, bytes);
			return piece;
		}
	}
	used = (used + 4095) & ~(size_t)4095;
	return arena_alloc(bytes);
}

void arena_unmap(void *p, size_t bytes)
{
	struct piece *piece = p;

	piece->bytes = (bytes + 4095) & ~(size_t)4095;
	piece->next = pieces;
	pieces = piece;
}

void *arena_mm_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return arena_alloc(bytes);
}

uint64_t arena_start(void)
{
	return (uint64_t)(uintptr_t)region;
}

uint64_t arena_end(void)
{
	return arena_start() + region_bytes;
}

uint64_t arena_shrink(uint64_t *ret_start)
{
	uint64_t keep = (used + REGION_KEEP + 4095) & ~4095ull, cut;

	if (keep >= region_bytes)
		return 0;
	cut = region_bytes - keep;
	region_bytes = keep;
	*ret_start = arena_end();
	return cut;
}

size_t arena_resident(void)
{
	static unsigned char pages[4096];
	size_t at = 0, resident = 0, nr, i;

	for (; at < used; at += nr * 4096) {
		nr = (used - at + 4095) / 4096;
		if (nr > sizeof(pages))
			nr = sizeof(pages);
		if (sys_call(SYS_mincore, (long)(region + at), (long)(nr * 4096), (long)pages, 0, 0, 0))
			return resident;
		for (i = 0; i < nr; i++)
			resident += pages[i] & 1 ? 4096 : 0;
	}
	return resident;
}
