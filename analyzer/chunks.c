/* SPDX-License-Identifier: MIT */
#include "chunks.h"

#include <string.h>

#include "alloc.h"

/* A frame without content, then a skippable one that says whose file it is; its length varies. */
bool chunks_are_in(const void *head, size_t len)
{
	static const unsigned char empty[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0 };
	static const unsigned char skippable[] = { 0x56, 0x2a, 0x4d, 0x18 };
	static const char mark[] = "vmtrace \"";
	const unsigned char *p = head;

	return len >= CHUNKS_HEAD_BYTES && !memcmp(p, empty, sizeof(empty)) &&
	       !memcmp(p + sizeof(empty), skippable, sizeof(skippable)) &&
	       !memcmp(p + sizeof(empty) + 8, mark, sizeof(mark) - 1);
}

static bool is_same(const struct chunk *chunk, const char *text, size_t len)
{
	return chunk->len == len && !memcmp(chunk->text, text, len);
}

static bool is_copy(const struct chunks *c, const char *text, size_t len, bool is_raw)
{
	size_t i;

	if (is_raw)
		return is_same(&c->last, text, len);
	for (i = 0; i < c->nr_raw; i++)
		if (is_same(&c->raw[i], text, len))
			return true;
	return false;
}

static void remember(struct chunk *chunk, const char *text, size_t len)
{
	if (!chunk->text)
		chunk->text = alloc_array(CHUNKS_BYTES, 1);
	memcpy(chunk->text, text, len);
	chunk->len = len;
}

bool chunks_is_new(struct chunks *c, const char *text, size_t len, bool is_raw)
{
	while (len && text[len - 1] == '\n')
		len--;
	if (!len)
		return true;
	if (is_copy(c, text, len, is_raw))
		return false;
	if (!is_raw) {
		remember(&c->last, text, len);
	} else if (c->nr_raw < CHUNKS_RAW_MAX) {
		c->raw = alloc_grow(c->raw, c->nr_raw, &c->cap_raw, sizeof(*c->raw));
		c->raw[c->nr_raw] = (struct chunk){ NULL, 0 };
		remember(&c->raw[c->nr_raw++], text, len);
	}
	return true;
}

void chunks_fini(struct chunks *c)
{
	size_t i;

	for (i = 0; i < c->nr_raw; i++)
		alloc_free(c->raw[i].text);
	alloc_free(c->raw);
	alloc_free(c->last.text);
	*c = (struct chunks){ 0 };
}
