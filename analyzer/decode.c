/* SPDX-License-Identifier: MIT */
/*
 * Numbers are the kernel's for x86-64, in tables of our own: a trace may come from a newer kernel
 * than the headers this was built with.
 */
#include "decode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "out.h"

struct symbol_name {
	uint64_t value;
	const char *name;
};

static const struct symbol_name prot_bits[] = {
	{ 1, "PROT_READ" }, { 2, "PROT_WRITE" }, { 4, "PROT_EXEC" }, { 8, "PROT_SEM" },
	{ 0x01000000, "PROT_GROWSDOWN" }, { 0x02000000, "PROT_GROWSUP" }, { 0, NULL },
};

/* The low two bits are a type, not a set. */
static const struct symbol_name map_types[] = {
	{ 1, "MAP_SHARED" }, { 2, "MAP_PRIVATE" }, { 3, "MAP_SHARED_VALIDATE" },
	{ 8, "MAP_DROPPABLE" }, { 0, NULL },
};

static const struct symbol_name map_bits[] = {
	{ 0x10, "MAP_FIXED" }, { 0x20, "MAP_ANONYMOUS" }, { 0x40, "MAP_32BIT" },
	{ 0x80, "MAP_ABOVE4G" }, { 0x100, "MAP_GROWSDOWN" }, { 0x800, "MAP_DENYWRITE" },
	{ 0x1000, "MAP_EXECUTABLE" }, { 0x2000, "MAP_LOCKED" }, { 0x4000, "MAP_NORESERVE" },
	{ 0x8000, "MAP_POPULATE" }, { 0x10000, "MAP_NONBLOCK" }, { 0x20000, "MAP_STACK" },
	{ 0x40000, "MAP_HUGETLB" }, { 0x80000, "MAP_SYNC" },
	{ 0x100000, "MAP_FIXED_NOREPLACE" }, { 0, NULL },
};

static const struct symbol_name mremap_bits[] = {
	{ 1, "MREMAP_MAYMOVE" }, { 2, "MREMAP_FIXED" }, { 4, "MREMAP_DONTUNMAP" }, { 0, NULL },
};

static const struct symbol_name advice_values[] = {
	{ 0, "MADV_NORMAL" }, { 1, "MADV_RANDOM" }, { 2, "MADV_SEQUENTIAL" },
	{ 3, "MADV_WILLNEED" }, { 4, "MADV_DONTNEED" }, { 8, "MADV_FREE" }, { 9, "MADV_REMOVE" },
	{ 10, "MADV_DONTFORK" }, { 11, "MADV_DOFORK" }, { 12, "MADV_MERGEABLE" },
	{ 13, "MADV_UNMERGEABLE" }, { 14, "MADV_HUGEPAGE" }, { 15, "MADV_NOHUGEPAGE" },
	{ 16, "MADV_DONTDUMP" }, { 17, "MADV_DODUMP" }, { 18, "MADV_WIPEONFORK" },
	{ 19, "MADV_KEEPONFORK" }, { 20, "MADV_COLD" }, { 21, "MADV_PAGEOUT" },
	{ 22, "MADV_POPULATE_READ" }, { 23, "MADV_POPULATE_WRITE" },
	{ 24, "MADV_DONTNEED_LOCKED" }, { 25, "MADV_COLLAPSE" }, { 100, "MADV_HWPOISON" },
	{ 101, "MADV_SOFT_OFFLINE" }, { 102, "MADV_GUARD_INSTALL" },
	{ 103, "MADV_GUARD_REMOVE" }, { 0, NULL },
};

static const struct symbol_name mlock2_bits[] = { { 1, "MLOCK_ONFAULT" }, { 0, NULL } };

static const struct symbol_name mlockall_bits[] = {
	{ 1, "MCL_CURRENT" }, { 2, "MCL_FUTURE" }, { 4, "MCL_ONFAULT" }, { 0, NULL },
};

static const struct symbol_name shmat_bits[] = {
	{ 0x1000, "SHM_RDONLY" }, { 0x2000, "SHM_RND" }, { 0x4000, "SHM_REMAP" },
	{ 0x8000, "SHM_EXEC" }, { 0, NULL },
};

static const struct symbol_name mpol_values[] = {
	{ 0, "MPOL_DEFAULT" }, { 1, "MPOL_PREFERRED" }, { 2, "MPOL_BIND" },
	{ 3, "MPOL_INTERLEAVE" }, { 4, "MPOL_LOCAL" }, { 5, "MPOL_PREFERRED_MANY" },
	{ 6, "MPOL_WEIGHTED_INTERLEAVE" }, { 0, NULL },
};

static const struct symbol_name mbind_bits[] = {
	{ 1, "MPOL_MF_STRICT" }, { 2, "MPOL_MF_MOVE" }, { 4, "MPOL_MF_MOVE_ALL" }, { 0, NULL },
};

static const struct symbol_name prctl_values[] = {
	{ 35, "PR_SET_MM" }, { 67, "PR_SET_MEMORY_MERGE" }, { 0x53564d41, "PR_SET_VMA" },
	{ 0, NULL },
};

/* What an argument means: by call and by name. */
static const struct arg_meaning {
	const char *arg;
	int op;				/* -1: any call */
	const struct symbol_name *types, *bits, *values;
	uint64_t type_mask;
} meanings[] = {
	{ "prot", -1, NULL, prot_bits, NULL, 0 },
	{ "flags", MM_MMAP, map_types, map_bits, NULL, 0xf },
	{ "flags", MM_REMAP_FILE_PAGES, map_types, map_bits, NULL, 0xf },
	{ "flags", MM_MREMAP, NULL, mremap_bits, NULL, 0 },
	{ "flags", MM_MLOCK2, NULL, mlock2_bits, NULL, 0 },
	{ "flags", MM_MLOCKALL, NULL, mlockall_bits, NULL, 0 },
	{ "flags", MM_SHMAT, NULL, shmat_bits, NULL, 0 },
	{ "flags", MM_MBIND, NULL, mbind_bits, NULL, 0 },
	{ "advice", -1, NULL, NULL, advice_values, 0 },
	{ "mode", -1, NULL, NULL, mpol_values, 0 },
	{ "option", MM_PRCTL, NULL, NULL, prctl_values, 0 },
};

static const char *find_value(const struct symbol_name *table, uint64_t value)
{
	for (; table && table->name; table++)
		if (table->value == value)
			return table->name;
	return NULL;
}

static size_t add(char *buf, size_t size, size_t at, const char *name)
{
	if (at >= size)
		return at;
	return at + snprintf(buf + at, size - at, "%s%s", at ? "|" : "", name);
}

/* "A|B|0x40" for a set of bits; false: no symbol fits. */
static bool format_bits(const struct arg_meaning *m, uint64_t value, char *buf, size_t size)
{
	const char *type = find_value(m->types, value & m->type_mask);
	const struct symbol_name *bit;
	uint64_t rest = value;
	char number[24];
	size_t at = 0;

	if (type) {
		at = add(buf, size, at, type);
		rest &= ~m->type_mask;
	}
	for (bit = m->bits; bit->name; bit++) {
		if (!(rest & bit->value))
			continue;
		at = add(buf, size, at, bit->name);
		rest &= ~bit->value;
	}
	if (!at && m->bits == prot_bits && !rest)
		at = add(buf, size, at, "PROT_NONE");
	snprintf(number, sizeof(number), "0x%" PRIx64, rest);
	if (at && rest)
		add(buf, size, at, number);
	return at;
}

static bool format_symbol(enum mm_op op, const char *arg, uint64_t value, char *buf, size_t size)
{
	size_t i;

	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const struct arg_meaning *m = &meanings[i];
		const char *name;

		if (strcmp(m->arg, arg) || (m->op >= 0 && m->op != (int)op))
			continue;
		if (m->bits)
			return format_bits(m, value, buf, size);
		name = find_value(m->values, value);
		if (name)
			snprintf(buf, size, "%s", name);
		return name;
	}
	return false;
}

/* Go through the words of trace.h for @op: "addr:x length:n". */
static const char *next_arg(const char *word, char *name, size_t size, bool *ret_hex)
{
	const char *colon;

	if (!*word)
		return NULL;
	colon = strchr(word, ':');
	snprintf(name, size, "%.*s", (int)(colon - word), word);
	*ret_hex = colon[1] == 'x';
	return colon[2] ? colon + 3 : colon + 2;
}

/* A descriptor is an int: the register's upper half is whatever the caller left there. */
static int64_t as_number(const char *name, uint64_t value)
{
	return !strcmp(name, "fd") || !strcmp(name, "pidfd") ? (int32_t)value : (int64_t)value;
}

void decode_print_call(const struct mm_call *call, FILE *out)
{
	const char *word = record_call_args[call->op];
	char name[32], text[256];
	bool is_hex;
	int i;

	fprintf(out, "%s(", record_call_names[call->op]);
	for (i = 0; (word = next_arg(word, name, sizeof(name), &is_hex)); i++) {
		if (i)
			fputs(", ", out);
		if (is_hex && !call->arg[i])
			fputs("NULL", out);
		else if (is_hex)
			fprintf(out, "0x%" PRIx64, call->arg[i]);
		else if (format_symbol(call->op, name, call->arg[i], text, sizeof(text)))
			fputs(text, out);
		else
			fprintf(out, "%" PRId64, as_number(name, call->arg[i]));
	}
	fputc(')', out);
}

void decode_print_result(const struct rec_call *c, FILE *out)
{
	if (c->errno_name) {
		fputs(" = -1 ", out);
		out_name(out, c->errno_name);
	} else if (record_returns_address(c->call.op)) {
		fprintf(out, " = 0x%" PRIx64, (uint64_t)c->call.ret);
	} else {
		fprintf(out, " = %" PRId64, c->call.ret);
	}
}

struct json_t *decode_json_args(const struct mm_call *call)
{
	const char *word = record_call_args[call->op];
	struct json_t *args = js_object();
	char name[32], text[256];
	bool is_hex;
	int i;

	for (i = 0; (word = next_arg(word, name, sizeof(name), &is_hex)); i++) {
		if (is_hex)
			js_set_hex(args, name, call->arg[i]);
		else if (format_symbol(call->op, name, call->arg[i], text, sizeof(text)))
			js_set_str(args, name, text);
		else
			js_set(args, name, js_signed(as_number(name, call->arg[i])));
	}
	return args;
}
