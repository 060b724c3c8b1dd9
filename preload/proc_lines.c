/* SPDX-License-Identifier: MIT */
/* A buffer that the file's text moves through. */
#include "proc_lines.h"

#include <fcntl.h>
#include <string.h>

#include "sys.h"

#include "no_heap.h"

#define TEXT_BYTES 4096u

static char text[TEXT_BYTES + 1];

/* Whole lines of text[0, len) and, if it is full without one, its beginning. Return: bytes used. */
static size_t take_lines(size_t len, bool *is_rest, void (*take)(char *line, void *ctx), void *ctx)
{
	size_t used = 0;
	char *eol;

	while ((eol = memchr(text + used, '\n', len - used))) {
		*eol = '\0';
		if (!*is_rest)
			take(text + used, ctx);
		*is_rest = false;
		used = (size_t)(eol - text) + 1;
	}
	if (used || len < TEXT_BYTES)
		return used;
	text[len] = '\0';
	if (!*is_rest)
		take(text, ctx);
	*is_rest = true;
	return len;
}

int proc_lines(const char *path, void (*take)(char *line, void *ctx), void *ctx)
{
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	size_t len = 0, used;
	bool is_rest = false;
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = sys_read(fd, text + len, TEXT_BYTES - len)) > 0) {
		len += (size_t)n;
		used = take_lines(len, &is_rest, take, ctx);
		memmove(text, text + used, len - used);
		len -= used;
	}
	text[len] = '\0';
	if (len && !is_rest)
		take(text, ctx);
	sys_close(fd);
	return n < 0 ? (int)n : 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

char *proc_word(char **s)
{
	char *word = *s, *end;

	while (is_blank(*word))
		word++;
	if (!*word)
		return NULL;
	for (end = word; *end && !is_blank(*end); end++)
		;
	*s = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

uint64_t proc_digits(const char *s)
{
	uint64_t n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return n;
}

bool proc_number(const char *line, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);

	while (is_blank(*line))
		line++;
	if (strncmp(line, key, len))
		return false;
	for (line += len; is_blank(*line); line++)
		;
	*ret = proc_digits(line);
	return true;
}
