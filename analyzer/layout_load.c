/* SPDX-License-Identifier: MIT */
/* layout.json read with suspicion: one message, with the place as a path of members. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fields.h"
#include "json.h"
#include "layout.h"
#include "reader.h"

enum { FLAGS_MAX = 3 * 26 };		/* letters of a region's flags */

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
