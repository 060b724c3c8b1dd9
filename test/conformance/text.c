/* SPDX-License-Identifier: MIT */
/* Steps as lines of C, for people who read a minimised program. */
#include <linux/mman.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "generator.h"
#include "steps.h"
#include "touch.h"

#include "vmtrace/trace.h"

struct word {
	uint64_t value;
	const char *text;
};

#define WORD(x) { x, #x }

static const struct word prots[] = {
	WORD(PROT_READ), WORD(PROT_WRITE), WORD(PROT_EXEC), WORD(PROT_GROWSDOWN), { 0, NULL },
};
static const struct word map_types[] = {
	WORD(MAP_SHARED), WORD(MAP_PRIVATE), WORD(MAP_SHARED_VALIDATE), WORD(MAP_DROPPABLE),
	{ 0, NULL },
};
static const struct word map_flags[] = {
	WORD(MAP_ANONYMOUS), WORD(MAP_FIXED), WORD(MAP_FIXED_NOREPLACE), WORD(MAP_NORESERVE),
	WORD(MAP_POPULATE), WORD(MAP_STACK), WORD(MAP_LOCKED), WORD(MAP_HUGETLB),
	WORD(MAP_GROWSDOWN), WORD(MAP_32BIT), { 0, NULL },
};
static const struct word remap_flags[] = {
	WORD(MREMAP_MAYMOVE), WORD(MREMAP_FIXED), WORD(MREMAP_DONTUNMAP), { 0, NULL },
};
static const struct word advices[] = {
	WORD(MADV_NORMAL), WORD(MADV_RANDOM), WORD(MADV_SEQUENTIAL), WORD(MADV_WILLNEED),
	WORD(MADV_DONTNEED), WORD(MADV_FREE), WORD(MADV_REMOVE), WORD(MADV_DONTFORK),
	WORD(MADV_DOFORK), WORD(MADV_MERGEABLE), WORD(MADV_UNMERGEABLE), WORD(MADV_HUGEPAGE),
	WORD(MADV_NOHUGEPAGE), WORD(MADV_DONTDUMP), WORD(MADV_DODUMP), WORD(MADV_WIPEONFORK),
	WORD(MADV_KEEPONFORK), WORD(MADV_COLD), WORD(MADV_PAGEOUT), { 22, "MADV_POPULATE_READ" },
	{ 23, "MADV_POPULATE_WRITE" }, { 25, "MADV_COLLAPSE" }, { 102, "MADV_GUARD_INSTALL" },
	{ 103, "MADV_GUARD_REMOVE" }, { 0, NULL },
};
static const struct word resources[] = {
	WORD(RLIMIT_AS), WORD(RLIMIT_MEMLOCK), WORD(RLIMIT_DATA), WORD(RLIMIT_STACK), { 0, NULL },
};

static const struct {
	const char *name, *args;
} calls[MM_OP_COUNT] = {
#define CALL_NAME(op, name, args) [op] = { name, args },
	TRACE_CALLS(CALL_NAME)
#undef CALL_NAME
};

struct text {
	char *buf;
	size_t len;
};

static void put(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->buf + t->len, STEP_TEXT_MAX - t->len, format, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
	if (t->len >= STEP_TEXT_MAX)
		t->len = STEP_TEXT_MAX - 1;
}

static void put_word(struct text *t, const struct word *words, uint64_t value)
{
	for (; words->text; words++) {
		if (words->value == value) {
			put(t, "%s", words->text);
			return;
		}
	}
	put(t, "%lu", value);
}

static void put_flags(struct text *t, const struct word *words, uint64_t value, const char *none)
{
	const char *separator = "";

	if (!value && none)
		put(t, "%s", none);
	for (; words->text; words++) {
		if (!(value & words->value))
			continue;
		put(t, "%s%s", separator, words->text);
		separator = " | ";
		value &= ~words->value;
	}
	if (value)
		put(t, "%s%#lx", separator, value);
}

static void put_arg(struct text *t, const struct mm_call *call, int i, char kind)
{
	uint64_t value = call->arg[i];
	bool protects = call->op == MM_MMAP || call->op == MM_MPROTECT ||
			call->op == MM_PKEY_MPROTECT;

	if (protects && i == 2) {
		put_flags(t, prots, value, "PROT_NONE");
	} else if (call->op == MM_MMAP && i == 3) {
		put_word(t, map_types, value & MAP_TYPE);
		put(t, " | ");
		put_flags(t, map_flags, value & ~(uint64_t)MAP_TYPE, "0");
	} else if (call->op == MM_MREMAP && i == 3) {
		put_flags(t, remap_flags, value, "0");
	} else if (call->op == MM_MADVISE && i == 2) {
		put_word(t, advices, value);
	} else if (call->op == MM_MMAP && i == 4 && (int64_t)value >= 0) {
		for (unsigned int n = 0; n < objects.nr_files; n++)
			if (objects.files[n].fd == (int)value)
				put(t, "/* %s */ ", objects.files[n].name);
		put(t, "%lu", value);
	} else if (kind == 'x') {
		put(t, value ? "%#lx" : "NULL", value);
	} else {
		put(t, "%ld", (int64_t)value);
	}
}

static void put_call(struct text *t, const struct mm_call *call)
{
	const char *s = calls[call->op].args;

	put(t, "%s(", calls[call->op].name);
	for (int i = 0; *s && i < 6; i++) {
		s = strchr(s, ':') + 1;
		if (i)
			put(t, ", ");
		put_arg(t, call, i, *s);
		s += s[1] == ' ' ? 2 : 1;
	}
	if (call->ret < 0 && call->ret > -4096)
		put(t, ") = -%s", strerrorname_np((int)-call->ret));
	else if (call->ret > 4096)
		put(t, ") = %#lx", call->ret);
	else
		put(t, ") = %ld", call->ret);
}

const char *step_text(const struct step *s, char buf[STEP_TEXT_MAX])
{
	struct text t = { .buf = buf };

	buf[0] = '\0';
	switch (s->kind) {
	case STEP_CALL:
		put_call(&t, &s->call);
		break;
	case STEP_TOUCH:
		for (unsigned int i = 0; i < s->nr_touches; i++) {
			put(&t, "%s", i ? "; " : "");
			put(&t, touch_text(s->touch[i].how), s->touch[i].addr);
			put(&t, "%s", s->touch[i].failed ? " fails" : "");
		}
		break;
	case STEP_FORK:
		put(&t, "fork()");
		break;
	case STEP_SPAWN:
		put(&t, "vfork() or posix_spawn()");
		break;
	case STEP_LIMIT:
		put(&t, "setrlimit(");
		put_word(&t, resources, (uint64_t)s->resource);
		put(&t, ", %ld)", (int64_t)s->limit);
		break;
	case STEP_OTHER:
		put(&t, "%s", s->what ? s->what : "nothing");
		break;
	}
	return buf;
}

const char *op_name(enum mm_op op)
{
	return calls[op].name;
}
