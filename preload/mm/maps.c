/* SPDX-License-Identifier: MIT */
/*
 * The text of /proc/PID/maps, as show_map_vma() prints it:
 *
 *   7f0123456000-7f0123458000 r-xp 00001000 08:02 393449                     /usr/lib/x.so
 *   └ 8 digits at least ┘          └ 8 ┘                                    └ column 73
 */
#include <errno.h>
#include <string.h>

#include "vmtrace/mm.h"

#define NAME_COLUMN 73
#define PREFIX_MAX 160

static size_t put_hex(char *buf, size_t n, uint64_t value, unsigned int width)
{
	char digits[16];
	unsigned int nr = 0;

	do
		digits[nr++] = "0123456789abcdef"[value & 15];
	while (value >>= 4);
	while (width > nr) {
		buf[n++] = '0';
		width--;
	}
	while (nr)
		buf[n++] = digits[--nr];
	return n;
}

static size_t put_decimal(char *buf, size_t n, uint64_t value)
{
	char digits[20];
	unsigned int nr = 0;

	do
		digits[nr++] = '0' + value % 10;
	while (value /= 10);
	while (nr)
		buf[n++] = digits[--nr];
	return n;
}

static size_t put_prefix(const struct vma_desc *desc, char *buf)
{
	size_t n = put_hex(buf, 0, desc->vm_start, 8);

	buf[n++] = '-';
	n = put_hex(buf, n, desc->vm_end, 8);
	buf[n++] = ' ';
	buf[n++] = desc->vm_flags & VM_READ ? 'r' : '-';
	buf[n++] = desc->vm_flags & VM_WRITE ? 'w' : '-';
	buf[n++] = desc->vm_flags & VM_EXEC ? 'x' : '-';
	buf[n++] = desc->vm_flags & VM_MAYSHARE ? 's' : 'p';
	buf[n++] = ' ';
	n = put_hex(buf, n, desc->offset, 8);
	buf[n++] = ' ';
	n = put_hex(buf, n, desc->dev_major, 2);
	buf[n++] = ':';
	n = put_hex(buf, n, desc->dev_minor, 2);
	buf[n++] = ' ';
	n = put_decimal(buf, n, desc->inode);
	buf[n++] = ' ';
	return n;
}

size_t maps_format_line(const struct vma_desc *desc, char *buf, size_t size)
{
	char prefix[PREFIX_MAX];
	size_t n = put_prefix(desc, prefix), used;
	const char *name = desc->name && desc->name[0] ? desc->name : NULL;

	if (name) {
		while (n < NAME_COLUMN - 1)
			prefix[n++] = ' ';
		prefix[n++] = ' ';
	}
	used = n < size ? n : size;
	memcpy(buf, prefix, used);
	for (; name && *name && used < size; name++) {
		if (*name == '\n') {
			for (const char *p = "\\012"; *p && used < size; p++)
				buf[used++] = *p;
		} else {
			buf[used++] = *name;
		}
	}
	if (used < size)
		buf[used++] = '\n';
	return used;
}

struct cursor {
	const char *p, *end;
	bool bad;
};

static void expect(struct cursor *c, char ch)
{
	if (c->p < c->end && *c->p == ch)
		c->p++;
	else
		c->bad = true;
}

static int digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return 16;
}

static uint64_t get_number(struct cursor *c, unsigned int base)
{
	uint64_t value = 0;
	const char *from = c->p;

	for (; c->p < c->end && (unsigned int)digit(*c->p) < base; c->p++) {
		uint64_t d = digit(*c->p);

		if (value > (~0ull - d) / base)
			c->bad = true;
		value = value * base + d;
	}
	if (c->p == from)
		c->bad = true;
	return value;
}

static uint64_t get_flag(struct cursor *c, char ch, char none, uint64_t flag)
{
	if (c->p < c->end && *c->p == ch) {
		c->p++;
		return flag;
	}
	expect(c, none);
	return 0;
}

/* A shared mapping is taken for writable by its file: maps doesn't tell. */
static uint64_t get_perms(struct cursor *c)
{
	uint64_t flags = get_flag(c, 'r', '-', VM_READ);

	flags |= get_flag(c, 'w', '-', VM_WRITE);
	flags |= get_flag(c, 'x', '-', VM_EXEC);
	flags |= get_flag(c, 's', 'p', VM_SHARED | VM_MAYSHARE);
	return flags;
}

int maps_parse_line(const char *line, size_t len, struct vma_desc *ret_desc,
		    char *name, size_t name_size)
{
	struct cursor c = { .p = line, .end = line + len };
	struct vma_desc desc = { 0 };
	size_t name_len;
	bool pad;

	if (len && line[len - 1] == '\n')
		c.end--;
	desc.vm_start = get_number(&c, 16);
	expect(&c, '-');
	desc.vm_end = get_number(&c, 16);
	expect(&c, ' ');
	desc.vm_flags = get_perms(&c);
	expect(&c, ' ');
	desc.offset = get_number(&c, 16);
	expect(&c, ' ');
	desc.dev_major = get_number(&c, 16);
	expect(&c, ':');
	desc.dev_minor = get_number(&c, 16);
	expect(&c, ' ');
	desc.inode = get_number(&c, 10);
	if (c.bad || desc.vm_start >= desc.vm_end || !name_size)
		return -EINVAL;
	if (c.p < c.end)
		expect(&c, ' ');
	/* The padding is one space at least and ends at the column; names may begin with some. */
	for (pad = true; pad && c.p < c.end && *c.p == ' ';) {
		c.p++;
		pad = c.p - line < NAME_COLUMN;
	}
	if (c.bad)
		return -EINVAL;
	name_len = c.end - c.p;
	if (name_len >= name_size)
		name_len = name_size - 1;
	memcpy(name, c.p, name_len);
	name[name_len] = '\0';
	desc.name = name;
	*ret_desc = desc;
	return 0;
}
