/* SPDX-License-Identifier: MIT */
/*
 * A program's own list of what it did to the heap, written to the file `heap.list` in the end:
 *
 *     alloc ADDRESS SIZE ALIGNMENT    free ADDRESS    realloc ADDRESS SIZE OLD    fail SIZE
 *
 * `section NAME exact` (nothing else may have happened in it) and `section NAME among` (libraries
 * allocate, too) begin a part of the list. In the trace a section begins with an allocation of
 * LIST_MARK bytes and more, one more for each. The list is kept without the heap.
 */
#ifndef VMTRACE_TEST_HEAP_LIST_H
#define VMTRACE_TEST_HEAP_LIST_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIST_MARK 7000000
#define LIST_BYTES 262144

static char list[LIST_BYTES];
static size_t list_len;

__attribute__((format(printf, 1, 2))) static void list_add(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	list_len += (size_t)vsnprintf(list + list_len, LIST_BYTES - list_len, format, ap);
	va_end(ap);
}

static void *list_alloc(void *p, size_t size, size_t align)
{
	if (p)
		list_add("alloc %lu %zu %zu\n", (unsigned long)(uintptr_t)p, size, align);
	else
		list_add("fail %zu\n", size > INT64_MAX ? (size_t)INT64_MAX : size);
	return p;
}

/* Before the release. */
static void list_free(const void *p)
{
	if (p)
		list_add("free %lu\n", (unsigned long)(uintptr_t)p);
}

/* The compiler must not see through it: pairs of malloc() and free() would go. */
static void list_section(const char *name, const char *how)
{
	static size_t nr;
	void *volatile mark = malloc(LIST_MARK + nr++);

	list_add("section %s %s\n", name, how);
	free(mark);
}

static void list_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, list, list_len) != (ssize_t)list_len)
		abort();
	close(fd);
}

#endif
