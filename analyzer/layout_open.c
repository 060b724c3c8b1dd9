/* SPDX-License-Identifier: MIT */
/*
 * A trace or a layout: what is given can be either, from a file, a pipe or memory, read once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "layout.h"
#include "reader.h"

/* A layout's first member says so; a trace's first line is its header. */
static bool is_layout(const struct reader *r)
{
	char head[64];
	ssize_t n = pread(r->fd, head, sizeof(head) - 1, 0);

	head[n > 0 ? n : 0] = '\0';
	return strstr(head, "\"layout\"") && !strstr(head, "\"ev\"");
}

/* Closes @r. */
static int add_layout(struct layout *layout, struct reader *r, char *err, size_t err_size)
{
	int fd = lseek(r->fd, 0, SEEK_SET) ? -1 : dup(r->fd), ret = -EINVAL;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	struct json_t *doc;

	if (file) {
		doc = js_load_file(r->path, file, err, err_size);
		ret = doc ? layout_add_document(layout, r->path, doc, err, err_size) : -EINVAL;
		js_free(doc);
		fclose(file);
	} else {
		snprintf(err, err_size, "%s: %s", r->path, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	reader_close(r);
	return ret;
}

static int add(struct layout *layout, struct reader *r, int opened, unsigned int flags, char *err,
	       size_t err_size)
{
	*err = '\0';
	if (opened) {
		snprintf(err, err_size, "%s", r->error);
		reader_close(r);
		return -EINVAL;
	}
	return flags & LAYOUT_NO_TRACE || is_layout(r) ?
		       add_layout(layout, r, err, err_size) :
		       layout_add_trace(layout, r, flags, err, err_size);
}

int layout_add_file(struct layout *layout, const char *path, unsigned int flags, char *err,
		    size_t err_size)
{
	struct reader r;

	return add(layout, &r, reader_open(&r, path, true), flags, err, err_size);
}

int layout_add_memory(struct layout *layout, const char *name, const void *data, size_t len,
		      unsigned int flags, char *err, size_t err_size)
{
	struct reader r;

	return add(layout, &r, reader_open_memory(&r, name, data, len), flags, err, err_size);
}
