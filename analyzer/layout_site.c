/* SPDX-License-Identifier: MIT */
#include "layout_site.h"

#include <string.h>

#include "alloc.h"
#include "out.h"
#include "report.h"

enum { MAX_FRAMES = 256 };

struct frames {
	char *text[MAX_FRAMES];
	bool is_libc[MAX_FRAMES];
	size_t nr;
};

static const char *module_name(const struct module *m)
{
	return m->soname ? m->soname : out_base_name(m->path);
}

static bool is_libc(const char *name)
{
	return !strcmp(name, "libc.so.6") || !strcmp(name, "libpthread.so.0") ||
	       !strncmp(name, "ld-linux", 8);
}

/* One function of libc has several names; which one is found depends on the symbols installed. */
static const char *plain_name(const char *function)
{
	static const char *const prefixes[] = { "__libc_", "__GI_", "_" };
	size_t i = 0;

	while (i < sizeof(prefixes) / sizeof(prefixes[0])) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(function, prefixes[i], n) || !function[n])
			i++;
		else
			function += n;
	}
	return function;
}

/* Without a symbol version and without what the compiler calls its copies of a function. */
static size_t plain_length(const char *function)
{
	static const char *const suffixes[] = {
		"@", ".isra.", ".part.", ".constprop.", ".cold", ".lto_priv.",
	};
	size_t len = strlen(function), i;

	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		const char *at = strstr(function, suffixes[i]);

		if (at && at > function && (size_t)(at - function) < len)
			len = at - function;
	}
	return len;
}

/* "malloc (libc.so.6)"; symbol versions don't matter. */
static char *frame_text(const struct symbol *sym, const char *module)
{
	const char *found = sym->nr_frames ? sym->frames[sym->nr_frames - 1].function : NULL;
	const char *function = found && is_libc(module) ? plain_name(found) : found;
	size_t len = function ? plain_length(function) : 0, size = len + strlen(module) + 4;
	char *text = alloc_zeroed(size);

	if (len)
		snprintf(text, size, "%.*s (%s)", (int)len, function, module);
	else
		snprintf(text, size, "%s", module);
	return text;
}

/* The next caller. */
static void add(struct frames *f, char *text, bool libc)
{
	size_t i;

	/* Of several frames in libc the outermost stays. */
	if (f->nr && libc && f->is_libc[f->nr - 1]) {
		alloc_free(f->text[f->nr - 1]);
		f->text[f->nr - 1] = text;
		return;
	}
	/* Recursion, through up to three functions. */
	for (i = 1; i <= 3 && i <= f->nr; i++) {
		if (!strcmp(f->text[f->nr - i], text)) {
			alloc_free(text);
			return;
		}
	}
	if (f->nr == MAX_FRAMES) {
		alloc_free(text);
		return;
	}
	f->is_libc[f->nr] = libc;
	f->text[f->nr++] = text;
}

static void drop_last(struct frames *f)
{
	alloc_free(f->text[--f->nr]);
}

/* What calls main or a thread's function. */
static void drop_start(struct frames *f)
{
	if (f->nr > 1 && (!strncmp(f->text[f->nr - 1], "_start (", 8) ||
			  (!strchr(f->text[f->nr - 1], '(') && f->is_libc[f->nr - 2])))
		drop_last(f);
	if (f->nr > 1 && f->is_libc[f->nr - 1])
		drop_last(f);
}

uint32_t layout_site_of(struct layout_program *program, struct trace *tr, uint32_t stack)
{
	const struct stack_node *node = stacks_node(&tr->stacks, stack);
	struct frames f = { .nr = 0 };
	uint32_t site;

	for (; node; node = stacks_node(&tr->stacks, node->parent)) {
		const struct module *m = node->module == STACKS_NO_MODULE ?
						 NULL : &tr->stacks.modules[node->module];
		const char *name = m ? module_name(m) : "(no module)";

		/* Frames may be missing here. */
		if (!node->ip)
			continue;
		if (!m || !m->own)
			add(&f, frame_text(symbols_get(tr->symbols, node), name), m && is_libc(name));
	}
	drop_start(&f);
	site = layout_site_add(program, f.text, f.nr);
	while (f.nr)
		drop_last(&f);
	return site;
}

/* An allocator that is a library of its own, or what it calls inside. */
static bool is_allocator(const char *frame)
{
	static const char *const libraries[] = {
		"libjemalloc.so", "libtcmalloc", "libmimalloc.so", "libhoard.so", "libsnmallocshim",
		"libscudo",
	};
	const char *module = strrchr(frame, '(');
	size_t i;

	module = module ? module + 1 : frame;
	for (i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (!strncmp(module, libraries[i], strlen(libraries[i])))
			return true;
	return false;
}

bool layout_frame_is_malloc(const char *frame)
{
	static const char *const names[] = {
		"malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc",
		"posix_memalign", "valloc", "pvalloc",
	};
	size_t i, len = strcspn(frame, " ");

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && !strncmp(frame, names[i], len))
			return true;
	return is_allocator(frame);
}
