/* SPDX-License-Identifier: MIT */
#include "frame_name.h"

#include <string.h>

#include "alloc.h"
#include "out.h"

const char *frame_module_name(const struct module *m)
{
	if (!m)
		return "(no module)";
	return m->soname ? m->soname : out_base_name(m->path);
}

bool frame_is_libc(const char *name)
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

char *frame_text(const struct symbol *sym, const char *module)
{
	const char *found = sym->nr_frames ? sym->frames[sym->nr_frames - 1].function : NULL;
	const char *function = found && frame_is_libc(module) ? plain_name(found) : found;
	size_t len = function ? plain_length(function) : 0, size = len + strlen(module) + 4;
	char *text = alloc_zeroed(size);

	if (len)
		snprintf(text, size, "%.*s (%s)", (int)len, function, module);
	else
		snprintf(text, size, "%s", module);
	return text;
}

static const char *module_of(const char *frame)
{
	const char *paren = strrchr(frame, '(');

	return paren ? paren + 1 : frame;
}

/* An allocator that is a library of its own, or what it calls inside. */
static bool is_allocator(const char *frame)
{
	static const char *const libraries[] = {
		"libjemalloc.so", "libtcmalloc", "libmimalloc.so", "libhoard.so", "libsnmallocshim",
		"libscudo",
	};
	const char *module = module_of(frame);
	size_t i;

	for (i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (!strncmp(module, libraries[i], strlen(libraries[i])))
			return true;
	return false;
}

bool frame_is_malloc(const char *frame)
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

/*
 * Where the name begins. The symbol of a template's instance has in front what it returns:
 * "std::pair<int, int> std::make_pair<int, int>(int&&, int&&)".
 */
static const char *skip_return_type(const char *function)
{
	const char *name = function, *p;
	unsigned int depth = 0;

	for (p = function; *p && (depth || *p != '('); p++) {
		if (*p == '<')
			depth++;
		else if (*p == '>' && depth)
			depth--;
		else if (*p == ' ' && !depth)
			name = p + 1;
	}
	return name;
}

/* What of the C++ library was compiled into the program: templates and operator new. */
static bool is_cxx_support(const char *function)
{
	static const char *const spaces[] = { "std::", "__gnu_cxx::" };
	const char *name = skip_return_type(function);
	size_t i;

	for (i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (!strncmp(name, spaces[i], strlen(spaces[i])))
			return true;
	return !strncmp(function, "operator new", strlen("operator new"));
}

bool frame_is_support(const char *frame)
{
	static const char *const libraries[] = {
		"libc.so", "libpthread.so", "ld-linux", "libstdc++.so", "libc++.so", "libc++abi.so",
		"libgcc_s.so",
	};
	const char *module = module_of(frame);
	size_t i;

	for (i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (!strncmp(module, libraries[i], strlen(libraries[i])))
			return true;
	return frame_is_malloc(frame) || is_cxx_support(frame);
}
