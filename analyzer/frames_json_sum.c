/* SPDX-License-Identifier: MIT */
#include "frames_json.h"

#include "json.h"

void frames_set_pages(struct json_t *obj, const char *key, uint64_t pages)
{
	js_set_u64(obj, key, frames_bytes(pages));
}

static void set_known(struct json_t *obj, const char *key, bool is_known, uint64_t bytes)
{
	js_set(obj, key, is_known ? js_number(bytes) : js_null());
}

static struct json_t *json_kinds(const struct frames_sum *sum)
{
	struct json_t *obj = js_object();
	int i;

	for (i = 0; i < NR_PAGE_KINDS; i++) {
		const struct frames_kind *kind = &sum->kind[i];
		struct json_t *one;

		if (!kind->pages)
			continue;
		one = js_object();
		frames_set_pages(one, "bytes", kind->pages);
		if (i != PAGE_KIND_SWAP && i != PAGE_KIND_GUARD) {
			set_known(one, "pss_bytes", !sum->nr_no_mapcount, kind->pss_bytes);
			frames_set_pages(one, "uss_bytes", kind->uss);
			set_known(one, "huge_bytes", !sum->nr_no_huge, frames_bytes(kind->huge));
		}
		js_set(obj, page_kind_names[i], one);
	}
	return obj;
}

static struct json_t *json_flags(const struct frames_sum *sum)
{
	struct json_t *obj = js_object();
	char bit[16];
	int i;

	for (i = 0; i < NR_PAGE_FLAGS; i++) {
		snprintf(bit, sizeof(bit), "bit%d", i);
		if (sum->flags[i])
			frames_set_pages(obj, page_flag_names[i] ? page_flag_names[i] : bit, sum->flags[i]);
	}
	if (sum->soft_dirty)
		frames_set_pages(obj, "soft_dirty", sum->soft_dirty);
	if (sum->uffd_wp)
		frames_set_pages(obj, "uffd_wp", sum->uffd_wp);
	return obj;
}

static struct json_t *json_contig_run(const struct physmap *map, const struct contig_run *run)
{
	const struct phys_vma *vma = physmap_vma(map, run->va);
	struct json_t *obj = js_object();

	js_set_hex(obj, "va", run->va);
	js_set_hex(obj, "pfn", run->pfn);
	js_set_u64(obj, "pages", run->pages);
	frames_set_pages(obj, "bytes", run->pages);
	js_set_str(obj, "name", vma ? vma->name : NULL);
	return obj;
}

static struct json_t *json_contig(const struct physmap *map, const struct frames_contig *contig)
{
	struct json_t *obj = js_object(), *orders = js_array(), *largest = js_array();
	size_t i;

	for (i = 0; i < CONTIG_ORDERS; i++) {
		struct json_t *one;

		if (!contig->runs[i])
			continue;
		one = js_object();
		js_set_u64(one, "order", i);
		js_set_u64(one, "runs", contig->runs[i]);
		frames_set_pages(one, "bytes", contig->pages[i]);
		js_append(orders, one);
	}
	for (i = 0; i < contig->nr_largest; i++)
		js_append(largest, json_contig_run(map, &contig->largest[i]));
	js_set_u64(obj, "runs", contig->nr_runs);
	frames_set_pages(obj, "bytes", contig->nr_pages);
	js_set(obj, "orders", orders);
	js_set(obj, "largest", largest);
	return obj;
}

static struct json_t *json_thp(const struct frames_thp *thp)
{
	struct json_t *obj = js_object();
	int i;

	for (i = 0; i < NR_THP_REASONS; i++)
		if (thp->pages[i])
			frames_set_pages(obj, thp_reason_names[i], thp->pages[i]);
	return obj;
}

/* What the process and a vma have alike. */
void frames_set_sums(struct json_t *obj, const struct frames_view *v, const struct frames_sum *sum)
{
	const struct physmap *map = &v->maps.now;

	frames_set_pages(obj, "resident_bytes", sum->all.pages);
	frames_set_pages(obj, "rss_bytes", sum->rss);
	frames_set_pages(obj, "swapped_bytes", sum->swapped);
	set_known(obj, "pss_bytes", !sum->nr_no_mapcount, sum->all.pss_bytes);
	frames_set_pages(obj, "uss_bytes", sum->all.uss);
	set_known(obj, "huge_bytes", !sum->nr_no_huge, frames_bytes(sum->all.huge));
	js_set(obj, "kinds", json_kinds(sum));
	js_set(obj, "flag_bytes", json_flags(sum));
	js_set(obj, "contiguity", map->pfn_visible ? json_contig(map, &sum->contig) : js_null());
	js_set(obj, "not_huge_bytes", json_thp(&sum->thp));
}
