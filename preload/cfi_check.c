/* SPDX-License-Identifier: MIT */
/* What cfi.c does not need to understand is only measured here. */
#include "cfi_check.h"

#include "no_heap.h"

/* Absolute, relative to the pointer itself, or to the table. */
static bool is_known_base(uint64_t encoding)
{
	return (encoding & PE_BASE) <= PE_PCREL || (encoding & PE_BASE) == PE_DATAREL;
}

/* The place that an indirect pointer is read from must be there. */
static bool skip_pointer(struct cursor *c, uint64_t encoding, cfi_mapping_fn *find_mapping)
{
	unsigned int bytes = pointer_bytes(encoding);
	uintptr_t place = (uintptr_t)c->p, value, start, end;

	if (!bytes || !is_known_base(encoding))
		return false;
	value = (uintptr_t)take(c, bytes);
	if (bytes == 4 && (encoding & PE_FORMAT) == PE_SDATA4)
		value = (uintptr_t)(int64_t)(int32_t)value;
	if (!(encoding & PE_INDIRECT))
		return !c->is_short;
	if ((encoding & PE_BASE) != PE_PCREL)
		return false;
	value += place;
	return !c->is_short && find_mapping(value, &start, &end) && end - value >= sizeof(uintptr_t);
}

static bool check_cie(const unsigned char *cie, const struct section *section, struct cie *ret,
		      cfi_mapping_fn *find_mapping)
{
	struct cursor c;

	if (!open_cie(&c, cie, section->end, ret))
		return false;
	c.p = ret->personality_at;
	return !c.p || skip_pointer(&c, ret->personality, find_mapping);
}

static bool check_fde(const unsigned char *fde, const struct section *section,
		      cfi_mapping_fn *find_mapping)
{
	const unsigned char *cie;
	struct cursor c, data;
	struct cie head;

	if (fde < section->start || fde >= section->end || !open_record(&c, fde, section->end))
		return false;
	cie = c.p;
	cie -= take(&c, 4);
	if (cie < section->start || cie >= section->end ||
	    !check_cie(cie, section, &head, find_mapping) || head.code & PE_INDIRECT ||
	    !skip_pointer(&c, head.code, find_mapping) ||
	    !skip_pointer(&c, head.code & PE_FORMAT, find_mapping))
		return false;
	if (!head.has_data)
		return true;
	data = c;
	skip(&c, take_uleb(&data));
	if (head.lsda != PE_OMIT && !skip_pointer(&data, head.lsda, find_mapping))
		return false;
	return !c.is_short && !data.is_short;
}

bool cfi_is_sound(const struct section *section, uintptr_t addr, cfi_mapping_fn *find_mapping)
{
	const unsigned char *header = section->header;
	uint32_t nr, i;
	const int32_t *table = cfi_open_table(section, &nr);

	if (!table || header[1] != PE_SDATA4_PCREL)
		return false;
	i = cfi_search(table, nr, (int64_t)(addr - (uintptr_t)header));
	return !i || check_fde(header + table[2 * (i - 1) + 1], section, find_mapping);
}
