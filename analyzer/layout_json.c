/* SPDX-License-Identifier: MIT */
/* layout.json, a line for each element, so that git shows what changed. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fields.h"
#include "json.h"
#include "layout.h"

static struct json_t *json_span(const struct span *span)
{
	struct json_t *list;

	if (span->min == span->max)
		return js_number(span->min);
	list = js_array();
	js_append(list, js_number(span->min));
	js_append(list, js_number(span->max));
	return list;
}

void layout_set_place(struct json_t *obj, enum layout_role role, enum layout_section section,
		      const char *name)
{
	js_set_str(obj, "role", layout_role_names[role]);
	if (section != LAYOUT_NO_SECTION)
		js_set_str(obj, "section", layout_section_names[section]);
	if (*name)
		js_set_str(obj, "name", name);
}

static void set_site(const struct layout_program *p, struct json_t *obj, uint32_t site)
{
	if (site != LAYOUT_NO_SITE)
		js_set_str(obj, "site", p->sites[site].id);
}

static void set_traces(const struct layout_program *p, struct json_t *obj, uint64_t traces)
{
	if (traces != p->traces)
		js_set_u64(obj, "traces", traces);
}

static struct json_t *json_region(const struct layout_program *p, const struct layout_region *r)
{
	struct json_t *obj = js_object();

	layout_set_place(obj, r->role, r->section, r->name);
	js_set_str(obj, "perms", r->perms);
	if (*r->flags)
		js_set_str(obj, "flags", r->flags);
	if (*r->origin)
		js_set_str(obj, "origin", r->origin);
	if (r->offset)
		js_set_u64(obj, "offset", r->offset);
	js_set(obj, "bytes", json_span(&r->bytes));
	if (r->resident.max)
		js_set(obj, "resident", json_span(&r->resident));
	if (r->huge.max)
		js_set(obj, "huge", json_span(&r->huge));
	if (r->is_merged)
		js_set_bool(obj, "merged", true);
	set_site(p, obj, r->site);
	set_traces(p, obj, r->traces);
	return obj;
}

static struct json_t *json_fact(const struct layout_program *p, const struct layout_fact *f)
{
	struct json_t *obj = js_object();

	js_set_str(obj, "fact", layout_fact_names[f->kind]);
	layout_set_place(obj, f->role, f->section, f->name);
	set_site(p, obj, f->site);
	set_traces(p, obj, f->traces);
	return obj;
}

static struct json_t *json_threads(const struct layout_program *p, const struct layout_threads *t)
{
	struct json_t *obj = js_object();

	set_site(p, obj, t->site);
	js_set(obj, "count", json_span(&t->count));
	set_traces(p, obj, t->traces);
	return obj;
}

static struct json_t *json_heap(const struct layout_program *p, const struct layout_heap *h)
{
	struct json_t *obj = js_object();

	set_site(p, obj, h->site);
	js_set(obj, "live_bytes", json_span(&h->live_bytes));
	js_set(obj, "live_blocks", json_span(&h->live_blocks));
	set_traces(p, obj, h->traces);
	return obj;
}

/* @v goes. */
static void print_line(FILE *out, const char *indent, struct json_t *v, bool is_last)
{
	fputs(indent, out);
	js_print(v, out, true);
	fputs(is_last ? "\n" : ",\n", out);
	js_free(v);
}

static void print_member(FILE *out, const char *key, struct json_t *v)
{
	fprintf(out, "      \"%s\": ", key);
	print_line(out, "", v, false);
}

static void print_totals(const struct layout_program *p, FILE *out)
{
	struct json_t *v;
	const char *comma = "";
	size_t i;

	fputs("      \"totals\": {", out);
	for (i = 0; i < LAYOUT_NR_TOTALS; i++) {
		if (!p->has_total[i])
			continue;
		fprintf(out, "%s\n        \"%s\": ", comma, layout_total_names[i]);
		v = json_span(&p->total[i]);
		js_print(v, out, true);
		js_free(v);
		comma = ",";
	}
	fputs("\n      },\n", out);
}

static int by_id(const void *a, const void *b)
{
	const struct layout_site *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static void mark(bool *is_used, uint32_t site)
{
	if (site != LAYOUT_NO_SITE)
		is_used[site] = true;
}

/* Those that something refers to, by id. */
static void print_sites(const struct layout_program *p, FILE *out)
{
	const struct layout_site **sites = alloc_array(p->nr_sites + 1, sizeof(struct layout_site *));
	bool *is_used = alloc_array(p->nr_sites + 1, sizeof(*is_used));
	size_t i, k, nr = 0;

	for (i = 0; i < p->nr_regions; i++)
		mark(is_used, p->regions[i].site);
	for (i = 0; i < p->nr_facts; i++)
		mark(is_used, p->facts[i].site);
	for (i = 0; i < p->nr_threads; i++)
		mark(is_used, p->threads[i].site);
	for (i = 0; i < p->nr_heap; i++)
		mark(is_used, p->heap[i].site);
	for (i = 0; i < p->nr_sites; i++)
		if (is_used[i])
			sites[nr++] = &p->sites[i];
	qsort(sites, nr, sizeof(struct layout_site *), by_id);
	fputs("      \"sites\": {\n", out);
	for (i = 0; i < nr; i++) {
		struct json_t *frames = js_array();

		for (k = 0; k < sites[i]->nr_frames; k++)
			js_append(frames, js_string(sites[i]->frames[k]));
		fprintf(out, "        \"%s\": ", sites[i]->id);
		print_line(out, "", frames, i + 1 == nr);
	}
	fputs("      },\n", out);
	alloc_free(sites);
	alloc_free(is_used);
}

static void print_program(const struct layout_program *p, FILE *out)
{
	size_t i;

	fputs("    {\n", out);
	print_member(out, "name", js_string(p->name));
	print_member(out, "machine", js_string(p->machine));
	print_member(out, "page_size", js_number(p->page_size));
	print_member(out, "tier", js_string(p->tier));
	print_member(out, "traces", js_number(p->traces));
	print_totals(p, out);
	print_sites(p, out);
	fputs("      \"regions\": [\n", out);
	for (i = 0; i < p->nr_regions; i++)
		print_line(out, "        ", json_region(p, &p->regions[i]), i + 1 == p->nr_regions);
	fputs("      ],\n      \"facts\": [\n", out);
	for (i = 0; i < p->nr_facts; i++)
		print_line(out, "        ", json_fact(p, &p->facts[i]), i + 1 == p->nr_facts);
	fputs("      ],\n      \"threads\": [\n", out);
	for (i = 0; i < p->nr_threads; i++)
		print_line(out, "        ", json_threads(p, &p->threads[i]), i + 1 == p->nr_threads);
	fputs("      ],\n      \"heap\": [\n", out);
	for (i = 0; i < p->nr_heap; i++)
		print_line(out, "        ", json_heap(p, &p->heap[i]), i + 1 == p->nr_heap);
	fputs("      ]\n    }", out);
}

void layout_print(const struct layout *layout, FILE *out)
{
	size_t i;

	fprintf(out, "{\n  \"layout\": %d,\n  \"programs\": [\n", LAYOUT_VERSION);
	for (i = 0; i < layout->nr_programs; i++) {
		print_program(&layout->programs[i], out);
		fputs(i + 1 < layout->nr_programs ? ",\n" : "\n", out);
	}
	fputs("  ]\n}\n", out);
}
