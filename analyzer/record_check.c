/* SPDX-License-Identifier: MIT */
/*
 * What a checkpoint holds: counters, the comparison with the kernel, differences.
 */
#include "fields.h"

#include <errno.h>

#define NAME_FIGURE(name) [FIGURE_##name] = #name,
const char *const rec_figure_names[NR_FIGURES] = { REC_FIGURES(NAME_FIGURE) };

static int take_figures(struct decode *d, const char *which, struct rec_figures *ret)
{
	struct json_t *obj = js_get(d->doc, which);
	unsigned int i;

	if (!js_is_object(obj))
		return bad(d->err, "%s is not an object", which);
	for (i = 0; i < NR_FIGURES; i++) {
		struct json_t *v = js_get(obj, rec_figure_names[i]);
		enum field_type type = rec_figure_is_address(i) ? F_HEX : F_U64;

		if (v && take_value(v, type, &ret->value[i]))
			return bad(d->err, "%s.%s is not %s", which, rec_figure_names[i],
				   field_type_names[type]);
		ret->known[i] = v;
	}
	return 0;
}

int decode_mm(struct decode *d, struct record *rec)
{
	if (take_figures(d, "shadow", &rec->mm.shadow))
		return -EINVAL;
	return take_figures(d, "kernel", &rec->mm.kernel);
}

static const struct field verify_fields[] = {
	FIELD(struct rec_verify, why, OPTIONAL, F_STR),
	FIELD(struct rec_verify, source, OPTIONAL, F_STR),
	FIELD(struct rec_verify, checks, 0, F_U64),
	FIELD(struct rec_verify, vmas, OPTIONAL, F_U64),
	FIELD(struct rec_verify, differences, 0, F_U64),
	FIELD(struct rec_verify, hash, OPTIONAL, F_HEX),
};

int decode_verify(struct decode *d, struct record *rec)
{
	rec->verify.has_hash = js_get(d->doc, "hash");
	return TAKE(d, d->doc, "", verify_fields, &rec->verify);
}

/* [start, end, perms, offset, dev, inode, name] and, for a name that is no UTF-8, its hex bytes. */
static int take_vma_array(struct decode *d, struct json_t *v, struct vma_desc *ret)
{
	struct json_t *name = js_at(v, 6), *exact = js_at(v, 7);
	const char *perms = js_str(js_at(v, 2)), *dev = js_str(js_at(v, 4));

	if (js_hex(js_at(v, 0), &ret->vm_start) || js_hex(js_at(v, 1), &ret->vm_end) ||
	    !is_page_range(ret->vm_start, ret->vm_end) || !perms ||
	    !record_perms(perms, &ret->vm_flags) || js_u64(js_at(v, 3), &ret->offset) || !dev ||
	    !take_dev(dev, &ret->dev_major, &ret->dev_minor) || js_u64(js_at(v, 5), &ret->inode))
		return -EINVAL;
	if (name && !js_is_null(name) && !js_str(name))
		return -EINVAL;
	ret->name = js_str(name);
	if (!exact)
		return 0;
	ret->name = js_str(exact) ? take_hex_bytes(d, js_str(exact)) : NULL;
	return ret->name ? 0 : -EINVAL;
}

static int take_vmas(struct decode *d, const char *which, struct vma_desc **ret, size_t *ret_nr)
{
	struct json_t *list = js_get(d->doc, which);
	size_t i;

	if (!js_is_array(list))
		return bad(d->err, "%s is not an array", which);
	*ret_nr = js_len(list);
	*ret = scratch_alloc(d->scratch, *ret_nr, sizeof(**ret));
	for (i = 0; i < *ret_nr; i++)
		if (take_vma_array(d, js_at(list, i), &(*ret)[i]))
			return bad(d->err, "%s[%zu] is no vma", which, i);
	return 0;
}

static const struct field diff_fields[] = {
	FIELD(struct rec_diff, seq, 0, F_U64),
	FIELD(struct rec_diff, start, 0, F_HEX),
	FIELD(struct rec_diff, end, 0, F_HEX),
	FIELD(struct rec_diff, brk, OPTIONAL, F_HEX),
	FIELD(struct rec_diff, fields, OPTIONAL, F_STRINGS),
};

int decode_diff(struct decode *d, struct record *rec)
{
	struct rec_diff *diff = &rec->diff;
	const char *cause = js_str(js_get(d->doc, "cause"));
	int i = cause ? find_name(record_cause_names, TRACE_NR_CAUSES, cause) : -1;

	if (i < 0)
		return bad(d->err, "cause is missing or unknown");
	diff->cause = i;
	diff->has_brk = js_get(d->doc, "brk");
	if (TAKE(d, d->doc, "", diff_fields, diff))
		return -EINVAL;
	if (!is_page_range(diff->start, diff->end))
		return bad(d->err, "start and end are no range of pages");
	if (take_vmas(d, "shadow", &diff->shadow, &diff->nr_shadow))
		return -EINVAL;
	return take_vmas(d, "kernel", &diff->kernel, &diff->nr_kernel);
}
