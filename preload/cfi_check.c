/* SPDX-License-Identifier: MIT */
/* What cfi.c does not need to understand is only measured here. */
#include "cfi_check.h"

#include "no_heap.h"

/* How a CIE says that pointers in it and in its FDEs are written. */
struct pointers {
	uint64_t code, lsda;
	bool has_data;		/* augmentation data, with a length in front */
};

/* Bytes of a pointer. Return: 0 for a form that is not known. */
static unsigned int pointer_bytes(uint64_t encoding)
{
	if ((encoding & 0x70) > PE_PCREL && (encoding & 0x70) != (PE_SDATA4_DATAREL & 0x70))
		return 0;
	switch (encoding & PE_FORMAT) {
	case 0x00:
	case 0x04:
	case 0x0c:
		return 8;
	case PE_UDATA4:
	case PE_SDATA4:
		return 4;
	}
	return 0;
}

/* The place that an indirect pointer is read from must be there. */
static bool skip_pointer(struct cursor *c, uint64_t encoding, cfi_mapping_fn *find_mapping)
{
	unsigned int bytes = pointer_bytes(encoding);
	uintptr_t place = (uintptr_t)c->p, value, start, end;

	if (!bytes)
		return false;
	value = (uintptr_t)take(c, bytes);
	if (bytes == 4 && (encoding & PE_FORMAT) == PE_SDATA4)
		value = (uintptr_t)(int64_t)(int32_t)value;
	if (!(encoding & PE_INDIRECT))
		return !c->is_short;
	if ((encoding & 0x70) != PE_PCREL)
		return false;
	value += place;
	return !c->is_short && find_mapping(value, &start, &end) && end - value >= sizeof(uintptr_t);
}

static bool check_augmentation(struct cursor *c, const char *letters, struct pointers *ret,
			       cfi_mapping_fn *find_mapping)
{
	struct cursor data;
	uint64_t encoding, len;

	*ret = (struct pointers){ 0, PE_OMIT, *letters == 'z' };
	if (!*letters)
		return true;
	if (*letters++ != 'z')
		return false;
	len = take_uleb(c);
	data = *c;
	skip(c, len);
	data.end = c->p;
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			ret->code = take(&data, 1);
			break;
		case 'L':
			ret->lsda = take(&data, 1);
			break;
		case 'P':
			encoding = take(&data, 1);
			if (!skip_pointer(&data, encoding, find_mapping))
				return false;
			break;
		case 'S':
		case 'B':
			break;
		default:
			return false;
		}
	}
	return !c->is_short && !data.is_short;
}

static bool check_cie(const unsigned char *cie, const struct section *section, struct pointers *ret,
		      cfi_mapping_fn *find_mapping)
{
	const char *letters;
	struct cursor c;
	uint64_t version;

	if (!open_record(&c, cie, section->end) || take(&c, 4))
		return false;
	version = take(&c, 1);
	letters = (const char *)c.p;
	while (take(&c, 1))
		;
	(void)take_uleb(&c);
	(void)take_sleb(&c);
	if (version == 1)
		(void)take(&c, 1);
	else
		(void)take_uleb(&c);
	return (version == 1 || version == 3) && !c.is_short &&
	       check_augmentation(&c, letters, ret, find_mapping);
}

static bool check_fde(const unsigned char *fde, const struct section *section,
		      cfi_mapping_fn *find_mapping)
{
	const unsigned char *cie;
	struct pointers pointers;
	struct cursor c, data;

	if (fde < section->start || fde >= section->end || !open_record(&c, fde, section->end))
		return false;
	cie = c.p;
	cie -= take(&c, 4);
	if (cie < section->start || cie >= section->end ||
	    !check_cie(cie, section, &pointers, find_mapping) || pointers.code & PE_INDIRECT ||
	    !skip_pointer(&c, pointers.code, find_mapping) ||
	    !skip_pointer(&c, pointers.code & PE_FORMAT, find_mapping))
		return false;
	if (!pointers.has_data)
		return true;
	data = c;
	skip(&c, take_uleb(&data));
	if (pointers.lsda != PE_OMIT && !skip_pointer(&data, pointers.lsda, find_mapping))
		return false;
	return !c.is_short && !data.is_short;
}

bool cfi_is_sound(const struct section *section, uintptr_t addr, cfi_mapping_fn *find_mapping)
{
	const unsigned char *header = section->header;
	const int32_t *table = (const int32_t *)(const void *)(header + CFI_HEADER_BYTES);
	int64_t wanted = (int64_t)(addr - (uintptr_t)header);
	uint32_t nr, i;

	if (section->end - header < CFI_HEADER_BYTES || header[0] != 1 ||
	    header[1] != PE_SDATA4_PCREL || header[2] != PE_UDATA4 || header[3] != PE_SDATA4_DATAREL)
		return false;
	memcpy(&nr, header + 8, sizeof(nr));
	if (nr > (size_t)(section->end - header - CFI_HEADER_BYTES) / 8)
		return false;
	i = cfi_search(table, nr, wanted);
	return !i || check_fde(header + table[2 * (i - 1) + 1], section, find_mapping);
}
