/* SPDX-License-Identifier: MIT */
#include "suppress.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "report.h"

static const char kind[] = "leak:";

/* Where in a file reading stands, and where its message goes. */
struct place {
	const char *path;
	uint64_t line;
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 2, 3)))
static int refuse(const struct place *at, const char *format, ...)
{
	int n = at->line ? snprintf(at->err, at->err_size, "%.200s:%" PRIu64 ": ", at->path, at->line) :
			   snprintf(at->err, at->err_size, "%.200s: ", at->path);
	va_list ap;

	va_start(ap, format);
	if (n >= 0 && (size_t)n < at->err_size)
		vsnprintf(at->err + n, at->err_size - n, format, ap);
	va_end(ap);
	return -EINVAL;
}

/* Drop blanks at both ends. Return: the rest of @line. */
static char *strip(char *line)
{
	size_t len = strlen(line);

	while (len && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

static int take_line(struct suppressions *s, const struct place *at, char *line, size_t len)
{
	const char *pattern;

	if (strlen(line) != len)
		return refuse(at, "a NUL byte");
	line = strip(line);
	if (!*line || *line == '#')
		return 0;
	if (strncmp(line, kind, strlen(kind)))
		return refuse(at, "'%.60s' does not begin with 'leak:'", line);
	pattern = line + strlen(kind);
	if (!*pattern)
		return refuse(at, "no pattern behind 'leak:'");
	s->list = alloc_grow(s->list, s->nr, &s->cap, sizeof(*s->list));
	s->list[s->nr++] = (struct suppression){ .pattern = alloc_string(pattern) };
	return 0;
}

int suppress_load(struct suppressions *s, const char *path, char *err, size_t err_size)
{
	struct place at = { .path = path, .err = err, .err_size = err_size };
	FILE *file = fopen(path, "re");
	size_t size = 0;
	char *line = NULL;
	ssize_t len;
	int ret = 0;

	if (!file)
		return refuse(&at, "%s", strerror(errno));
	errno = 0;
	while (!ret && (len = getline(&line, &size, file)) >= 0) {
		at.line++;
		ret = take_line(s, &at, line, len);
	}
	if (ferror(file)) {
		at.line = 0;
		ret = refuse(&at, "%s", strerror(errno));
	}
	free(line);
	fclose(file);
	return ret;
}

void suppress_fini(struct suppressions *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		alloc_free(s->list[i].pattern);
	alloc_free(s->list);
	*s = (struct suppressions){ 0 };
}

bool suppress_matches(const char *pattern, const char *name)
{
	bool is_tied = *pattern == '^', is_open = false;

	if (!*name)
		return false;
	pattern += is_tied;
	while (*pattern) {
		size_t len = strcspn(pattern, "*$");
		const char *found;

		if (*pattern == '*') {
			is_tied = false;
			is_open = true;
			pattern++;
			continue;
		}
		if (*pattern == '$')
			return !*name || is_open;
		found = memmem(name, strlen(name), pattern, len);
		if (!found || (is_tied && found != name))
			return false;
		name = found + len;
		pattern += len;
		is_tied = is_open = false;
	}
	return true;
}

static bool matches_symbol(const char *pattern, const struct symbol *sym)
{
	size_t i;

	if (sym->path && suppress_matches(pattern, sym->path))
		return true;
	for (i = 0; i < sym->nr_frames; i++) {
		const struct symbol_frame *f = &sym->frames[i];

		if ((f->function && suppress_matches(pattern, f->function)) ||
		    (f->file && suppress_matches(pattern, f->file)))
			return true;
	}
	return false;
}

static bool matches_stack(const char *pattern, struct trace *tr, uint32_t stack)
{
	const struct stack_node *node = stacks_node(&tr->stacks, stack);

	for (; node; node = stacks_node(&tr->stacks, node->parent))
		if (node->ip && matches_symbol(pattern, symbols_get(tr->symbols, node)))
			return true;
	return false;
}

struct suppression *suppress_find(const struct suppressions *s, struct trace *tr, uint32_t stack)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (matches_stack(s->list[i].pattern, tr, stack))
			return &s->list[i];
	return NULL;
}
