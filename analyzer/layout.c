/* SPDX-License-Identifier: MIT */
/* Names, memory and order of layouts. */
#include "layout.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "hash.h"
#include "out.h"

enum { SITE_TRIES = 8 };		/* sites of one hash, beyond which ids are refused */

#define NAME_OF(symbol, name) [LAYOUT_##symbol] = name,
const char *const layout_role_names[LAYOUT_NR_ROLES] = { LAYOUT_ROLES(NAME_OF) };
const char *const layout_section_names[LAYOUT_NR_SECTIONS] = { LAYOUT_SECTIONS(NAME_OF) };
#undef NAME_OF
#define NAME_OF(name) [LAYOUT_##name] = #name,
const char *const layout_total_names[LAYOUT_NR_TOTALS] = { LAYOUT_TOTALS(NAME_OF) };
#undef NAME_OF
#define NAME_OF(symbol, name) [LAYOUT_FACT_##symbol] = name,
const char *const layout_fact_names[LAYOUT_NR_FACTS] = { LAYOUT_FACTS(NAME_OF) };
#undef NAME_OF

void layout_init(struct layout *layout)
{
	*layout = (struct layout){ 0 };
}

void layout_program_init(struct layout_program *p, const char *name)
{
	*p = (struct layout_program){ .name = alloc_string(name) };
	table_init(&p->site_of_hash, sizeof(uint64_t));
}

void layout_program_fini(struct layout_program *p)
{
	size_t i, k;

	for (i = 0; i < p->nr_sites; i++) {
		for (k = 0; k < p->sites[i].nr_frames; k++)
			alloc_free(p->sites[i].frames[k]);
		alloc_free(p->sites[i].frames);
	}
	for (i = 0; i < p->nr_regions; i++) {
		alloc_free(p->regions[i].name);
		alloc_free(p->regions[i].flags);
	}
	for (i = 0; i < p->nr_facts; i++)
		alloc_free(p->facts[i].name);
	if (p->name)
		table_fini(&p->site_of_hash);
	alloc_free(p->sites);
	alloc_free(p->regions);
	alloc_free(p->facts);
	alloc_free(p->heap);
	alloc_free(p->threads);
	alloc_free(p->name);
	alloc_free(p->machine);
	alloc_free(p->tier);
	*p = (struct layout_program){ 0 };
}

void layout_fini(struct layout *layout)
{
	size_t i;

	for (i = 0; i < layout->nr_programs; i++)
		layout_program_fini(&layout->programs[i]);
	alloc_free(layout->programs);
	layout_init(layout);
}

/* Index of the first program that is not before @name. */
static size_t find_program(const struct layout *layout, const char *name)
{
	size_t i;

	for (i = 0; i < layout->nr_programs; i++)
		if (strcmp(layout->programs[i].name, name) >= 0)
			break;
	return i;
}

const struct layout_program *layout_find(const struct layout *layout, const char *name)
{
	size_t i = find_program(layout, name);

	return i < layout->nr_programs && !strcmp(layout->programs[i].name, name) ?
		       &layout->programs[i] : NULL;
}

struct layout_program *layout_program_get(struct layout *layout, const char *name)
{
	size_t i = find_program(layout, name);

	if (i < layout->nr_programs && !strcmp(layout->programs[i].name, name))
		return &layout->programs[i];
	layout->programs = alloc_grow(layout->programs, layout->nr_programs,
				      &layout->cap_programs, sizeof(*layout->programs));
	memmove(layout->programs + i + 1, layout->programs + i,
		(layout->nr_programs - i) * sizeof(*layout->programs));
	layout->nr_programs++;
	layout_program_init(&layout->programs[i], name);
	return &layout->programs[i];
}

static uint64_t hash_frames(char *const *frames, size_t nr)
{
	uint64_t hash = HASH_START;
	size_t i;

	for (i = 0; i < nr; i++)
		hash = hash_line(hash, frames[i]);
	return hash;
}

static bool has_frames(const struct layout_site *site, char *const *frames, size_t nr)
{
	size_t i;

	for (i = 0; i < nr && i < site->nr_frames; i++)
		if (strcmp(site->frames[i], frames[i]))
			return false;
	return nr == site->nr_frames;
}

static uint32_t add_site(struct layout_program *p, uint64_t key, char *const *frames, size_t nr)
{
	struct layout_site *site;
	size_t i;

	p->sites = alloc_grow(p->sites, p->nr_sites, &p->cap_sites, sizeof(*p->sites));
	site = &p->sites[p->nr_sites];
	*site = (struct layout_site){ .nr_frames = nr };
	snprintf(site->id, sizeof(site->id), "%016" PRIx64, key);
	site->frames = alloc_array(nr, sizeof(*site->frames));
	for (i = 0; i < nr; i++)
		site->frames[i] = alloc_string(frames[i]);
	return p->nr_sites++;
}

uint32_t layout_site_add(struct layout_program *p, char *const *frames, size_t nr)
{
	uint64_t key = hash_frames(frames, nr), *index;
	bool is_new;

	if (!nr)
		return LAYOUT_NO_SITE;
	for (;; key++) {
		index = table_put(&p->site_of_hash, key, &is_new);
		if (is_new)
			*index = add_site(p, key, frames, nr);
		if (is_new || has_frames(&p->sites[*index], frames, nr))
			return *index;
	}
}

uint32_t layout_site_put(struct layout_program *p, const char *id, char *const *frames, size_t nr)
{
	uint64_t key, *index;
	bool is_new;

	if (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16)
		return LAYOUT_NO_SITE;
	key = strtoull(id, NULL, 16);
	if (!nr || key - hash_frames(frames, nr) >= SITE_TRIES)
		return LAYOUT_NO_SITE;
	index = table_put(&p->site_of_hash, key, &is_new);
	if (is_new)
		*index = add_site(p, key, frames, nr);
	return has_frames(&p->sites[*index], frames, nr) ? *index : LAYOUT_NO_SITE;
}

uint32_t layout_site_find(const struct layout_program *p, const struct layout_site *site)
{
	uint64_t key = hash_frames(site->frames, site->nr_frames);
	const uint64_t *index;
	size_t i;

	for (i = 0; i < SITE_TRIES; i++) {
		index = table_find(&p->site_of_hash, key + i);
		if (index && has_frames(&p->sites[*index], site->frames, site->nr_frames))
			return *index;
	}
	return LAYOUT_NO_SITE;
}

struct layout_region *layout_region_new(struct layout_program *p)
{
	p->regions = alloc_grow(p->regions, p->nr_regions, &p->cap_regions, sizeof(*p->regions));
	p->regions[p->nr_regions] = (struct layout_region){ .origin = "", .site = LAYOUT_NO_SITE };
	return &p->regions[p->nr_regions++];
}

struct layout_fact *layout_fact_new(struct layout_program *p)
{
	p->facts = alloc_grow(p->facts, p->nr_facts, &p->cap_facts, sizeof(*p->facts));
	p->facts[p->nr_facts] = (struct layout_fact){ .site = LAYOUT_NO_SITE };
	return &p->facts[p->nr_facts++];
}

struct layout_threads *layout_threads_new(struct layout_program *p)
{
	p->threads = alloc_grow(p->threads, p->nr_threads, &p->cap_threads, sizeof(*p->threads));
	p->threads[p->nr_threads] = (struct layout_threads){ .site = LAYOUT_NO_SITE };
	return &p->threads[p->nr_threads++];
}

struct layout_heap *layout_heap_new(struct layout_program *p)
{
	p->heap = alloc_grow(p->heap, p->nr_heap, &p->cap_heap, sizeof(*p->heap));
	p->heap[p->nr_heap] = (struct layout_heap){ .site = LAYOUT_NO_SITE };
	return &p->heap[p->nr_heap++];
}

void layout_describe(FILE *out, enum layout_role role, enum layout_section section,
		     const char *name)
{
	fputs(layout_role_names[role], out);
	if (name && *name) {
		fputc(' ', out);
		out_name(out, name);
	}
	if (section != LAYOUT_NO_SECTION)
		fprintf(out, " %s", layout_section_names[section]);
}
