/* SPDX-License-Identifier: MIT */
/*
 * Reads .eh_frame: the sorted table of .eh_frame_hdr leads to a function's FDE, and that to a CIE;
 * their instructions are run up to the address. What is not understood is not simple.
 *
 * Sources: DWARF 5 section 6.4, the LSB's chapter on .eh_frame, the psABI for x86-64.
 */
#include "cfi.h"

#include <dlfcn.h>
#include <string.h>

#include "cfi_check.h"
#include "cfi_read.h"
#include "modules.h"
#include "next.h"

#include "no_heap.h"

#define REG_BP 6
#define REG_SP 7
#define REG_RA 16
#define NR_REMEMBERED 8

uint64_t cfi_table[1u << CFI_TABLE_BITS];
uint32_t cfi_forgotten;

static cfi_mapping_fn *find_mapping;

/* One row of the table that the instructions describe. Offsets from the cfa, in bytes. */
struct row {
	uint64_t cfa_reg;
	int64_t cfa_offset;
	int64_t bp_offset;
	enum { BP_SAME, BP_SAVED, BP_OTHER } bp;
	bool is_cfa_odd;	/* an expression */
	bool is_ra_odd, is_ra_undefined;
};

struct program {
	uint64_t code_align;
	int64_t data_align;
	struct row row, first, remembered[NR_REMEMBERED];
	unsigned int nr_remembered;
	bool is_odd;		/* an instruction that is not understood */
};

/* A register's rule changes to: saved at @offset from the cfa. */
static void save(struct row *row, uint64_t reg, int64_t offset)
{
	if (reg == REG_BP) {
		row->bp = BP_SAVED;
		row->bp_offset = offset;
	} else if (reg == REG_RA) {
		row->is_ra_odd = offset != -8;
		row->is_ra_undefined = false;
	}
}

/* A register's rule changes to something that is no slot. */
static void change(struct row *row, uint64_t reg, bool is_same)
{
	if (reg == REG_BP)
		row->bp = is_same ? BP_SAME : BP_OTHER;
	else if (reg == REG_RA)
		row->is_ra_odd = true;
	else if (reg == REG_SP)
		row->is_cfa_odd = true;
}

static void restore(struct program *prog, uint64_t reg)
{
	if (reg == REG_BP) {
		prog->row.bp = prog->first.bp;
		prog->row.bp_offset = prog->first.bp_offset;
	} else if (reg == REG_RA) {
		prog->row.is_ra_odd = prog->first.is_ra_odd;
		prog->row.is_ra_undefined = prog->first.is_ra_undefined;
	}
}

static void remember(struct program *prog)
{
	if (prog->nr_remembered == NR_REMEMBERED)
		prog->is_odd = true;
	else
		prog->remembered[prog->nr_remembered++] = prog->row;
}

static void recall(struct program *prog)
{
	if (!prog->nr_remembered)
		prog->is_odd = true;
	else
		prog->row = prog->remembered[--prog->nr_remembered];
}

/* The instructions with an opcode of their own, but for those that advance. */
static void run_other(struct program *prog, struct cursor *c, unsigned int op)
{
	struct row *row = &prog->row;
	uint64_t reg;

	switch (op) {
	case 0x00:		/* nop */
		break;
	case 0x05:		/* offset_extended */
		reg = take_uleb(c);
		save(row, reg, (int64_t)take_uleb(c) * prog->data_align);
		break;
	case 0x06:		/* restore_extended */
		restore(prog, take_uleb(c));
		break;
	case 0x07:		/* undefined */
		reg = take_uleb(c);
		change(row, reg, false);
		row->is_ra_undefined |= reg == REG_RA;
		break;
	case 0x08:		/* same_value */
		change(row, take_uleb(c), true);
		break;
	case 0x09:		/* register */
		change(row, take_uleb(c), false);
		(void)take_uleb(c);
		break;
	case 0x0a:
		remember(prog);
		break;
	case 0x0b:
		recall(prog);
		break;
	case 0x0c:		/* def_cfa */
		row->cfa_reg = take_uleb(c);
		row->cfa_offset = (int64_t)take_uleb(c);
		row->is_cfa_odd = false;
		break;
	case 0x0d:		/* def_cfa_register */
		row->cfa_reg = take_uleb(c);
		break;
	case 0x0e:		/* def_cfa_offset */
		row->cfa_offset = (int64_t)take_uleb(c);
		break;
	case 0x0f:		/* def_cfa_expression */
		skip(c, take_uleb(c));
		row->is_cfa_odd = true;
		break;
	case 0x10:		/* expression */
	case 0x16:		/* val_expression */
		change(row, take_uleb(c), false);
		skip(c, take_uleb(c));
		break;
	case 0x11:		/* offset_extended_sf */
		reg = take_uleb(c);
		save(row, reg, take_sleb(c) * prog->data_align);
		break;
	case 0x12:		/* def_cfa_sf */
		row->cfa_reg = take_uleb(c);
		row->cfa_offset = take_sleb(c) * prog->data_align;
		row->is_cfa_odd = false;
		break;
	case 0x13:		/* def_cfa_offset_sf */
		row->cfa_offset = take_sleb(c) * prog->data_align;
		break;
	case 0x14:		/* val_offset */
		change(row, take_uleb(c), false);
		(void)take_uleb(c);
		break;
	case 0x2e:		/* GNU_args_size */
		(void)take_uleb(c);
		break;
	default:
		prog->is_odd = true;
	}
}

/* Run instructions until they are about addresses above @offset from the function's start. */
static void run(struct program *prog, struct cursor *c, uint64_t offset)
{
	uint64_t at = 0, reg;

	while (c->p < c->end && !c->is_short && !prog->is_odd) {
		unsigned int op = (unsigned int)take(c, 1), low = op & 0x3f;

		switch (op >> 6) {
		case 1:		/* advance_loc */
			at += low * prog->code_align;
			break;
		case 2:		/* offset */
			save(&prog->row, low, (int64_t)take_uleb(c) * prog->data_align);
			break;
		case 3:
			restore(prog, low);
			break;
		default:
			reg = low >= 2 && low <= 4 ? take(c, 1u << (low - 2)) : 0;
			at += reg * prog->code_align;
			if (low < 2 || low > 4)
				run_other(prog, c, low);
		}
		if (at > offset)
			return;
	}
}

static bool read_cie(struct program *prog, const unsigned char *cie, const unsigned char *limit)
{
	struct cursor c;
	struct cie head;

	/* Without data pointers are absolute, which nothing on x86-64 does. */
	if (!open_cie(&c, cie, limit, &head) || head.ra_reg != REG_RA || !head.has_data ||
	    head.is_odd || head.code != PE_SDATA4_PCREL)
		return false;
	prog->code_align = head.code_align;
	prog->data_align = head.data_align;
	run(prog, &c, UINT64_MAX);
	prog->first = prog->row;
	return !c.is_short;
}

/* Run the function's instructions up to @addr. Return: false if it is not in there. */
static bool read_fde(struct program *prog, const unsigned char *fde, const struct section *section,
		     uintptr_t addr)
{
	const unsigned char *cie;
	uintptr_t start, length;
	struct cursor c;

	if (!open_record(&c, fde, section->end))
		return false;
	cie = c.p;
	cie -= take(&c, 4);
	if (cie < section->start || cie >= section->end || !read_cie(prog, cie, section->end))
		return false;
	start = (uintptr_t)c.p;
	start += (uintptr_t)(int64_t)(int32_t)take(&c, 4);
	length = take(&c, 4);
	if (addr < start || addr - start >= length)
		return false;
	skip(&c, take_uleb(&c));
	run(prog, &c, addr - start);
	return !c.is_short && !prog->is_odd;
}

/* The FDE of the last function that begins at or before @addr, or NULL. */
static const unsigned char *find_fde(const struct section *section, uintptr_t addr)
{
	const unsigned char *fde;
	uint32_t nr, i;
	const int32_t *table = cfi_open_table(section, &nr);

	i = table ? cfi_search(table, nr, (int64_t)(addr - (uintptr_t)section->header)) : 0;
	if (!i)
		return NULL;
	fde = section->header + table[2 * (i - 1) + 1];
	return fde >= section->start && fde < section->end ? fde : NULL;
}

/* The row as a word without its tag. */
static uint64_t encode(const struct row *row)
{
	uint64_t rule;

	if (row->is_ra_undefined)
		return CFI_BOTTOM;
	if (row->is_cfa_odd || row->is_ra_odd || row->bp == BP_OTHER ||
	    (row->cfa_reg != REG_SP && row->cfa_reg != REG_BP) || row->cfa_offset < 8 ||
	    row->cfa_offset % 8 || row->cfa_offset / 8 > 0xffff)
		return CFI_NOT_SIMPLE;
	rule = (uint64_t)row->cfa_offset / 8;
	if (row->cfa_reg == REG_BP)
		rule |= CFI_OF_BP;
	if (row->bp == BP_SAVED) {
		if (row->bp_offset > -16 || row->bp_offset % 8 || row->bp_offset < -8 * 0xff)
			return CFI_NOT_SIMPLE;
		rule |= (uint64_t)(-row->bp_offset / 8) << 16;
	}
	return rule;
}

/*
 * Where the unwind information of @addr lies. It need not be in the segment that the loader names; what
 * the map says of it counts, unless that is not known yet.
 */
static bool find_section(uintptr_t addr, struct section *ret)
{
	struct dl_find_object object;
	uintptr_t start, end, header;

	if (!next.find_object_ || next.find_object_((void *)addr, &object) || !object.dlfo_eh_frame)
		return false;
	header = (uintptr_t)object.dlfo_eh_frame;
	if (!find_mapping(header, &start, &end)) {
		start = (uintptr_t)object.dlfo_map_start;
		end = (uintptr_t)object.dlfo_map_end;
	}
	*ret = (struct section){ object.dlfo_eh_frame, (const unsigned char *)start,
				 (const unsigned char *)end };
	return header >= start && header < end;
}

static uint64_t look_up(uintptr_t ip)
{
	struct section section;
	struct program prog;
	const unsigned char *fde;

	/* The call is the instruction before the return address. */
	if (!find_section(ip - 1, &section))
		return CFI_NOT_SIMPLE;
	fde = find_fde(&section, ip - 1);
	memset(&prog, 0, sizeof(prog));
	if (!fde || !read_fde(&prog, fde, &section, ip - 1))
		return CFI_NOT_SIMPLE | (cfi_is_sound(&section, ip - 1, find_mapping) ? 0 : CFI_MALFORMED);
	return encode(&prog.row);
}

void cfi_init(cfi_mapping_fn *find)
{
	find_mapping = find;
}

uint64_t cfi_find(uintptr_t ip)
{
	uint64_t rule;

	if (ip < 4096 || ip >> 47)
		return CFI_NOT_SIMPLE;
	rule = look_up(ip);
	if (modules_is_vmtrace(ip))
		rule |= CFI_OWN;
	rule |= (uint64_t)(ip >> CFI_TABLE_BITS) << 32;
	__atomic_store_n(&cfi_table[ip & ((1u << CFI_TABLE_BITS) - 1)], rule, __ATOMIC_RELAXED);
	return rule;
}

void cfi_forget(void)
{
	size_t i;

	__atomic_fetch_add(&cfi_forgotten, 1, __ATOMIC_RELAXED);
	for (i = 0; i < sizeof(cfi_table) / sizeof(cfi_table[0]); i++) {
		if (cfi_table[i])
			__atomic_store_n(&cfi_table[i], 0, __ATOMIC_RELAXED);
	}
}
