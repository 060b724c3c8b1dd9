/* SPDX-License-Identifier: MIT */
/*
 * Both maps' runs side by side, cut where one of them ends:
 *
 *     before   |=======|      |=====|=====|
 *     now          |==========|  |========|
 *     steps    | 1 | 2 |  3   |4 |5 |  6  |
 */
#include "frames_churn.h"

#include "alloc.h"

#define CHURN_NAME(symbol, name, text) [CHURN_##symbol] = name,
const char *const churn_names[NR_CHURNS] = { CHURNS(CHURN_NAME) };
#define CHURN_TEXT(symbol, name, text) [CHURN_##symbol] = text,
const char *const churn_texts[NR_CHURNS] = { CHURNS(CHURN_TEXT) };

/* One map on the way. */
struct side {
	const struct physmap *map;
	const struct page_classes *classes;
	size_t run, vma;		/* the first that ends above where we are */
};

/* What is behind one page of a step. */
struct behind {
	bool is_present, is_swapped;
	enum page_kind kind;
	uint64_t pfn;
};

static void go_to(struct side *s, uint64_t va)
{
	while (s->run < s->map->nr_runs && rec_run_end(&s->map->runs[s->run]) <= va)
		s->run++;
	while (s->vma < s->map->nr_vmas && s->map->vmas[s->vma].end <= va)
		s->vma++;
}

static const struct rec_run *run_at(const struct side *s, uint64_t va)
{
	const struct rec_run *run = s->run < s->map->nr_runs ? &s->map->runs[s->run] : NULL;

	return run && run->va <= va ? run : NULL;
}

static const struct phys_vma *vma_at(const struct side *s, uint64_t va)
{
	const struct phys_vma *vma = s->vma < s->map->nr_vmas ? &s->map->vmas[s->vma] : NULL;

	return vma && vma->start <= va ? vma : NULL;
}

/* The nearest address above @va where something of this side begins or ends, at most @end. */
static uint64_t next_edge(const struct side *s, uint64_t va, uint64_t end)
{
	if (s->run < s->map->nr_runs) {
		const struct rec_run *run = &s->map->runs[s->run];
		uint64_t edge = run->va > va ? run->va : rec_run_end(run);

		end = edge < end ? edge : end;
	}
	if (s->vma < s->map->nr_vmas) {
		const struct phys_vma *vma = &s->map->vmas[s->vma];
		uint64_t edge = vma->start > va ? vma->start : vma->end;

		end = edge < end ? edge : end;
	}
	return end;
}

static struct behind behind_at(const struct side *s, uint64_t va)
{
	const struct rec_run *run = run_at(s, va);
	const struct rec_page_class *c = run ? page_class(s->classes, run->class) : NULL;

	if (!run || page_kind(c) == PAGE_KIND_ZERO)
		return (struct behind){ 0 };
	return (struct behind){
		.is_present = page_is_present(c), .is_swapped = page_is_swapped(c),
		.kind = page_kind(c), .pfn = run->pfn + (va - run->va) / MM_PAGE_SIZE,
	};
}

static void note(struct frames_churn *churn, const struct phys_vma *vma, enum churn what,
		 uint64_t pages)
{
	struct churn_vma *last = churn->nr_vmas ? &churn->vmas[churn->nr_vmas - 1] : NULL;

	churn->pages[what] += pages;
	if (!vma)
		return;
	if (!last || last->vma != vma) {
		churn->vmas = alloc_grow(churn->vmas, churn->nr_vmas, &churn->cap_vmas,
					 sizeof(*churn->vmas));
		last = &churn->vmas[churn->nr_vmas++];
		*last = (struct churn_vma){ .vma = vma };
	}
	last->pages[what] += pages;
}

/* KSM replaces an anonymous page, and gives one back. */
static bool can_be_same(const struct behind *a, const struct behind *b)
{
	return a->kind == b->kind || (a->kind == PAGE_KIND_ANON && b->kind == PAGE_KIND_KSM) ||
	       (a->kind == PAGE_KIND_KSM && b->kind == PAGE_KIND_ANON);
}

static void compare(struct frames_churn *churn, const struct phys_vma *vma, const struct behind *old,
		    const struct behind *new, bool can_move, uint64_t pages)
{
	if (old->is_present && new->is_present) {
		if (!can_be_same(old, new)) {
			note(churn, vma, CHURN_GONE, pages);
			note(churn, vma, CHURN_FAULTED_IN, pages);
		} else if (can_move && old->pfn != new->pfn) {
			note(churn, vma, CHURN_MOVED, pages);
		}
	} else if (new->is_present) {
		note(churn, vma, old->is_swapped ? CHURN_SWAPPED_IN : CHURN_FAULTED_IN, pages);
	} else if (new->is_swapped && !old->is_swapped) {
		note(churn, vma, CHURN_SWAPPED_OUT, pages);
	} else if (old->is_present) {
		note(churn, vma, CHURN_GONE, pages);
	} else if (old->is_swapped && !new->is_swapped) {
		note(churn, vma, CHURN_SWAP_FREED, pages);
	}
}

void frames_churn_init(struct frames_churn *churn, const struct physmap *before,
		       const struct physmap *now, const struct page_classes *classes)
{
	struct side old = { before, classes, 0, 0 }, new = { now, classes, 0, 0 };
	bool can_move = before->pfn_visible && now->pfn_visible;
	uint64_t va = 0;

	*churn = (struct frames_churn){ 0 };
	while (old.run < before->nr_runs || new.run < now->nr_runs) {
		uint64_t end = next_edge(&new, va, next_edge(&old, va, UINT64_MAX));
		struct behind was = behind_at(&old, va), is = behind_at(&new, va);
		const struct phys_vma *vma = vma_at(&new, va);

		compare(churn, vma ? vma : vma_at(&old, va), &was, &is, can_move,
			(end - va) / MM_PAGE_SIZE);
		va = end;
		go_to(&old, va);
		go_to(&new, va);
	}
}

void frames_churn_fini(struct frames_churn *churn)
{
	alloc_free(churn->vmas);
	*churn = (struct frames_churn){ 0 };
}
