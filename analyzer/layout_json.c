/* SPDX-License-Identifier: MIT */
/* layout.json: written a line for each element, so that git shows what changed; read with suspicion. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fields.h"
#include "json.h"
#include "layout.h"

enum { FLAGS_MAX = 3 * 26 };		/* letters of a region's flags */

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

static void set_place(struct json_t *obj, enum layout_role role, enum layout_section section,
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

	set_place(obj, r->role, r->section, r->name);
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
	set_place(obj, f->role, f->section, f->name);
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

/* Reading. One message, with the place as a path of members. */

struct load {
	struct layout_program *p;
	char where[64];			/* "programs[0].regions[17]" */
	char *err;
	size_t err_size;
	const char *path;
};

__attribute__((format(printf, 2, 3)))
static int wrong(struct load *l, const char *format, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	snprintf(l->err, l->err_size, "%s: %s%s%s", l->path, l->where, *l->where ? ": " : "", what);
	return -EINVAL;
}

static int take_text(struct load *l, struct json_t *obj, const char *key, const char **ret)
{
	struct json_t *v = js_get(obj, key);

	*ret = "";
	if (!v)
		return 0;
	*ret = js_str(v);
	return *ret ? 0 : wrong(l, "%s is no string", key);
}

static int take_count(struct load *l, struct json_t *obj, const char *key, uint64_t fallback,
		      uint64_t *ret)
{
	struct json_t *v = js_get(obj, key);

	*ret = fallback;
	if (v && js_u64(v, ret))
		return wrong(l, "%s is no number", key);
	return 0;
}

static int span_of(struct json_t *v, struct span *ret)
{
	if (!js_u64(v, &ret->min)) {
		ret->max = ret->min;
		return 0;
	}
	if (!js_is_array(v) || js_len(v) != 2 || js_u64(js_at(v, 0), &ret->min) ||
	    js_u64(js_at(v, 1), &ret->max) || ret->min > ret->max)
		return -EINVAL;
	return 0;
}

static int take_span(struct load *l, struct json_t *obj, const char *key, bool is_optional,
		     struct span *ret)
{
	struct json_t *v = js_get(obj, key);

	*ret = (struct span){ 0, 0 };
	if (!v && is_optional)
		return 0;
	return span_of(v, ret) ? wrong(l, "%s is neither a number nor [min, max]", key) : 0;
}

static int take_word(struct load *l, struct json_t *obj, const char *key, const char *const *words,
		     size_t nr, int *ret)
{
	const char *word;

	if (take_text(l, obj, key, &word))
		return -EINVAL;
	*ret = find_name(words, nr, word);
	return *ret < 0 ? wrong(l, "%s '%.40s' is unknown", key, word) : 0;
}

static int take_place(struct load *l, struct json_t *obj, enum layout_role *ret_role,
		      enum layout_section *ret_section, char **ret_name)
{
	int role, section;
	const char *name;

	if (take_word(l, obj, "role", layout_role_names, LAYOUT_NR_ROLES, &role) ||
	    take_word(l, obj, "section", layout_section_names, LAYOUT_NR_SECTIONS, &section) ||
	    take_text(l, obj, "name", &name))
		return -EINVAL;
	*ret_role = role;
	*ret_section = section;
	*ret_name = alloc_string(name);
	return 0;
}

static int take_site_id(struct load *l, struct json_t *obj, uint32_t *ret)
{
	const char *id;
	size_t i;

	*ret = LAYOUT_NO_SITE;
	if (take_text(l, obj, "site", &id))
		return -EINVAL;
	if (!*id)
		return 0;
	/* The id is the key of the table: a hash in hex. */
	if (strlen(id) == 16 && strspn(id, "0123456789abcdef") == 16) {
		const uint64_t *index = table_find(&l->p->site_of_hash, strtoull(id, NULL, 16));

		i = index ? *index : l->p->nr_sites;
		if (i < l->p->nr_sites && !strcmp(l->p->sites[i].id, id)) {
			*ret = i;
			return 0;
		}
	}
	return wrong(l, "site '%.20s' is not among the sites", id);
}

static int load_site(struct load *l, const char *id, struct json_t *frames)
{
	size_t i, nr = js_len(frames);
	char **list;
	int err = 0;

	if (!js_is_array(frames) || !nr)
		return wrong(l, "sites.%.20s is no array of frames", id);
	list = alloc_array(nr, sizeof(*list));
	for (i = 0; i < nr && !err; i++) {
		list[i] = (char *)js_str(js_at(frames, i));
		if (!list[i])
			err = wrong(l, "sites.%.20s[%zu] is no string", id, i);
	}
	if (!err && layout_site_put(l->p, id, list, nr) == LAYOUT_NO_SITE)
		err = wrong(l, "sites.%.20s: its frames belong to another id", id);
	alloc_free(list);
	return err;
}

static bool is_perms(const char *s)
{
	uint64_t flags;

	return record_perms(s, &flags);
}

/* Words of two letters, separated by a space: "ht lo". */
static bool is_flags(const char *s)
{
	size_t i, n = strlen(s);

	for (i = 0; i < n; i++)
		if (i % 3 == 2 ? s[i] != ' ' : s[i] < 'a' || s[i] > 'z')
			return false;
	return !n || (n % 3 == 2 && n <= FLAGS_MAX);
}

/* In how many traces something is; by default in all. */
static int take_traces(struct load *l, struct json_t *obj, uint64_t *ret)
{
	if (take_count(l, obj, "traces", l->p->traces, ret))
		return -EINVAL;
	return *ret && *ret <= l->p->traces ? 0 : wrong(l, "traces is out of range");
}

static int load_region(struct load *l, struct json_t *obj)
{
	struct layout_region *r = layout_region_new(l->p);
	const char *perms, *flags, *origin;
	int i;

	/* layout_program_fini() frees whatever is there by then. */
	if (take_place(l, obj, &r->role, &r->section, &r->name) ||
	    take_text(l, obj, "perms", &perms) || take_text(l, obj, "flags", &flags) ||
	    take_text(l, obj, "origin", &origin) ||
	    take_count(l, obj, "offset", 0, &r->offset) ||
	    take_span(l, obj, "bytes", false, &r->bytes) ||
	    take_span(l, obj, "resident", true, &r->resident) ||
	    take_span(l, obj, "huge", true, &r->huge) ||
	    take_traces(l, obj, &r->traces) ||
	    take_site_id(l, obj, &r->site))
		return -EINVAL;
	r->is_merged = js_is_true(js_get(obj, "merged"));
	if (!is_perms(perms))
		return wrong(l, "perms is no permission string");
	if (!is_flags(flags))
		return wrong(l, "flags is no list of words as in smaps");
	memcpy(r->perms, perms, sizeof(r->perms));
	r->flags = alloc_string(flags);
	i = *origin ? find_name(record_origin_names, TRACE_NR_ORIGINS, origin) : 0;
	if (i < 0)
		return wrong(l, "origin '%.20s' is unknown", origin);
	r->origin = *origin ? record_origin_names[i] : "";
	return 0;
}

static int load_fact(struct load *l, struct json_t *obj)
{
	struct layout_fact *f = layout_fact_new(l->p);
	int kind;

	if (take_word(l, obj, "fact", layout_fact_names, LAYOUT_NR_FACTS, &kind) ||
	    take_place(l, obj, &f->role, &f->section, &f->name) ||
	    take_traces(l, obj, &f->traces) ||
	    take_site_id(l, obj, &f->site))
		return -EINVAL;
	f->kind = kind;
	return 0;
}

static int load_heap(struct load *l, struct json_t *obj)
{
	struct layout_heap *h = layout_heap_new(l->p);

	return take_span(l, obj, "live_bytes", false, &h->live_bytes) ||
	       take_span(l, obj, "live_blocks", false, &h->live_blocks) ||
	       take_traces(l, obj, &h->traces) ||
	       take_site_id(l, obj, &h->site) ? -EINVAL : 0;
}

static int load_threads(struct load *l, struct json_t *obj)
{
	struct layout_threads *t = layout_threads_new(l->p);

	return take_span(l, obj, "count", false, &t->count) ||
	       take_traces(l, obj, &t->traces) ||
	       take_site_id(l, obj, &t->site) ? -EINVAL : 0;
}

static int load_list(struct load *l, struct json_t *obj, const char *key,
		     int (*load)(struct load *l, struct json_t *obj))
{
	struct json_t *list = js_get(obj, key);
	size_t i, at = strlen(l->where), nr = js_len(list);
	int err = 0;

	if (!js_is_array(list))
		return wrong(l, "%s is no array", key);
	for (i = 0; i < nr && !err; i++) {
		snprintf(l->where + at, sizeof(l->where) - at, ".%s[%zu]", key, i);
		err = js_is_object(js_at(list, i)) ? load(l, js_at(list, i)) :
						     wrong(l, "this is no object");
	}
	if (!err)
		l->where[at] = '\0';
	return err;
}

static int load_totals(struct load *l, struct json_t *totals)
{
	void *it;
	int i;

	if (!js_is_object(totals))
		return wrong(l, "totals is no object");
	for (it = js_iter(totals); it; it = js_next(totals, it)) {
		i = find_name(layout_total_names, LAYOUT_NR_TOTALS, js_key(it));
		if (i < 0)
			return wrong(l, "totals.%.40s is unknown", js_key(it));
		if (span_of(js_value(it), &l->p->total[i]))
			return wrong(l, "totals.%s is neither a number nor [min, max]", js_key(it));
		l->p->has_total[i] = true;
	}
	return 0;
}

static int load_program(struct load *l, struct json_t *obj)
{
	struct json_t *sites = js_get(obj, "sites");
	const char *machine, *tier;
	void *it;

	if (take_text(l, obj, "machine", &machine) || take_text(l, obj, "tier", &tier) ||
	    take_count(l, obj, "page_size", 0, &l->p->page_size) ||
	    take_count(l, obj, "traces", 0, &l->p->traces))
		return -EINVAL;
	l->p->machine = alloc_string(machine);
	l->p->tier = alloc_string(tier);
	if (!l->p->traces || l->p->traces > LAYOUT_TRACES_MAX)
		return wrong(l, l->p->traces ? "traces is out of range" :
						"traces is missing or 0");
	if (l->p->page_size != MM_PAGE_SIZE)
		return wrong(l, "page_size is not %llu", MM_PAGE_SIZE);
	if (load_totals(l, js_get(obj, "totals")))
		return -EINVAL;
	if (!js_is_object(sites))
		return wrong(l, "sites is no object");
	for (it = js_iter(sites); it; it = js_next(sites, it))
		if (load_site(l, js_key(it), js_value(it)))
			return -EINVAL;
	return load_list(l, obj, "regions", load_region) || load_list(l, obj, "facts", load_fact) ||
	       load_list(l, obj, "threads", load_threads) ||
	       load_list(l, obj, "heap", load_heap) ? -EINVAL : 0;
}

static int load_all(struct load *l, struct layout *layout, struct json_t *doc)
{
	struct json_t *programs = js_get(doc, "programs");
	uint64_t version;
	size_t i;

	if (js_u64(js_get(doc, "layout"), &version))
		return wrong(l, "this is no layout");
	if (version != LAYOUT_VERSION)
		return wrong(l, "layout version %" PRIu64 ", this program knows %d", version,
			     LAYOUT_VERSION);
	if (!js_is_array(programs))
		return wrong(l, "programs is no array");
	for (i = 0; i < js_len(programs); i++) {
		struct json_t *obj = js_at(programs, i);
		const char *name = js_str(js_get(obj, "name"));

		snprintf(l->where, sizeof(l->where), "programs[%zu]", i);
		if (!name || !*name)
			return wrong(l, "name is missing");
		if (layout_find(layout, name))
			return wrong(l, "'%.80s' is there already", name);
		l->p = layout_program_get(layout, name);
		if (load_program(l, obj))
			return -EINVAL;
		*l->where = '\0';
	}
	return 0;
}

int layout_add_document(struct layout *layout, const char *path, struct json_t *doc, char *err,
			size_t err_size)
{
	struct load l = { .err = err, .err_size = err_size, .path = path };
	struct layout read;
	size_t i;
	int ret;

	layout_init(&read);
	ret = load_all(&l, &read, doc);
	for (i = 0; i < read.nr_programs && !ret; i++)
		ret = layout_can_take(layout, &read.programs[i], path, err, err_size);
	for (i = 0; i < read.nr_programs && !ret; i++)
		(void)layout_take(layout, &read.programs[i], path, err, err_size);
	layout_fini(&read);
	return ret;
}
