/* SPDX-License-Identifier: MIT */
/*
 * The same for programs. Other programs depend on these members: add, don't rename.
 */
#include "json.h"
#include "mm_physical.h"

static const char *const sureness_names[] = {
	[COST_EXACT] = "exact", [COST_AT_LEAST] = "at_least", [COST_ESTIMATE] = "estimate",
};

static struct json_t *json_levels(const uint64_t *nr, int levels)
{
	struct json_t *obj = js_object();
	int level;

	for (level = 0; level < levels; level++)
		js_set_u64(obj, table_level_names[level], nr[level]);
	return obj;
}

static struct json_t *json_tables(const struct mm_physical *p)
{
	const struct page_tables *t = &p->tables;
	bool known = p->kernel.known[FIGURE_pgtables_bytes];
	struct json_t *obj = js_object();

	js_set(obj, "needed", json_levels(t->nr, NR_TABLE_LEVELS));
	js_set_u64(obj, "kept_with_huge_pages", t->kept);
	js_set_u64(obj, "counted_bytes", page_tables_bytes(t));
	js_set(obj, "kernel_bytes",
	       known ? js_number(p->kernel.value[FIGURE_pgtables_bytes]) : js_null());
	js_set(obj, "emptied_at_most", json_levels(t->emptied, NR_COUNTED_LEVELS));
	js_set(obj, "emptied_by_vmtrace", json_levels(t->emptied_own, NR_COUNTED_LEVELS));
	js_set(obj, "if_filled", json_levels(t->filled, NR_COUNTED_LEVELS));
	js_set_bool(obj, "copied_by_fork", p->is_forked);
	js_set_bool(obj, "five_levels", t->has_five_levels);
	js_set_bool(obj, "huge_known", t->has_huge);
	return obj;
}

static struct json_t *json_rss(const struct mm_physical *p)
{
	struct json_t *obj = js_object(), *kinds = js_object();
	int i;

	for (i = 0; i < NR_PAGE_KINDS; i++)
		js_set_u64(kinds, page_kind_names[i], p->counts.kinds[i]);
	js_set(obj, "kinds_pages", kinds);
	js_set_bool(obj, "kinds_known", p->counts.has_kinds);
	for (i = 0; i < RSS_NONE; i++) {
		bool known = p->kernel.known[mm_physical_figures[i]];
		struct json_t *one = js_object();

		js_set_u64(one, "bytes", p->counts.rss[i] * MM_PAGE_SIZE);
		js_set(one, "kernel_bytes",
		       known ? js_number(p->kernel.value[mm_physical_figures[i]]) : js_null());
		js_set(obj, rss_counter_names[i], one);
	}
	js_set_u64(obj, "bytes", page_counts_rss_bytes(&p->counts));
	js_set(obj, "kernel_bytes_before", p->end.rss_before ?
	       js_number(p->end.rss_before * MM_PAGE_SIZE) : js_null());
	js_set(obj, "kernel_bytes_after", p->end.rss_after ?
	       js_number(p->end.rss_after * MM_PAGE_SIZE) : js_null());
	js_set_u64(obj, "faults", p->end.faults);
	js_set_u64(obj, "uncounted_bytes", p->counts.rss[RSS_NONE] * MM_PAGE_SIZE);
	return obj;
}

static struct json_t *json_objects(const struct mm_physical *p)
{
	struct json_t *obj = js_object(), *objects = js_object();
	const struct mm_cost *c = &p->cost;
	int i;

	for (i = 0; i < NR_COST_OBJECTS; i++) {
		struct json_t *one = js_object();
		bool known = c->object_bytes[i];

		js_set_u64(one, "objects", c->nr[i]);
		js_set_str(one, "sureness", sureness_names[cost_sureness[i]]);
		js_set(one, "object_bytes", known ? js_number(c->object_bytes[i]) : js_null());
		js_set(one, "bytes", known ? js_number(c->nr[i] * c->object_bytes[i]) : js_null());
		js_set(objects, cost_object_names[i], one);
	}
	js_set(obj, "objects", objects);
	js_set_u64(obj, "objects_bytes", mm_cost_bytes(c));
	js_set_str(obj, "slabinfo_error", c->unreadable);
	return obj;
}

void mm_physical_json(struct json_t *obj, const struct mm_physical *p)
{
	struct json_t *one;

	if (!p->is_known)
		return;
	one = js_object();
	js_set_u64(one, "t", p->t);
	js_set_str(one, "why", p->why);
	js_set(one, "page_tables", json_tables(p));
	js_set(one, "rss", json_rss(p));
	js_set(one, "kernel_memory", json_objects(p));
	js_set(obj, "pages", one);
}
