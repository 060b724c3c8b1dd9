/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a heap line: what the scanner accepts the JSON parser accepts too, and both find the
 * same operations. What is behind the line must not matter: it is filled with what could go on.
 *
 * The same bytes are also taken for what is between the brackets of "ops", so that few are wasted on
 * finding the head.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heapline.h"

#define HEAD "{\"ev\":\"heap\",\"tid\":7,\"t0\":100,\"base\":\"0x5500\",\"ops\":["
#define TAIL "]}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct heap_ops *a, const struct heap_ops *b)
{
	size_t i;

	if (a->nr != b->nr)
		abort();
	for (i = 0; i < a->nr; i++) {
		const struct heap_op *x = &a->list[i], *y = &b->list[i];

		if (x->t != y->t || x->addr != y->addr || x->size != y->size ||
		    x->stack != y->stack || x->kind != y->kind)
			abort();
	}
}

/* The line is @len bytes at @text, which has room for HEAPLINE_PAD more. */
static void run(char *text, size_t len)
{
	static const char *const pads[] = { "0123456789", "],[1,2", "]}", "\"" };
	static struct heap_ops scanned[4], parsed;
	struct record_error err = { "" };
	size_t i, k, nr = sizeof(pads) / sizeof(pads[0]);
	bool accepted[4];

	for (i = 0; i < nr; i++) {
		for (k = 0; k < HEAPLINE_PAD; k++)
			text[len + k] = pads[i][k % strlen(pads[i])];
		accepted[i] = heapline_scan(text, len, &scanned[i]);
		if (accepted[i] != accepted[0])
			abort();
		if (accepted[i])
			compare(&scanned[i], &scanned[0]);
	}
	if (!accepted[0])
		return;
	if (heapline_parse(text, len, &parsed, &err))
		abort();
	compare(&scanned[0], &parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head = strlen(HEAD), tail = strlen(TAIL);
	char *text = malloc(size + HEAPLINE_PAD);

	if (!text)
		return 0;
	memcpy(text, data, size);
	run(text, size);
	free(text);
	text = malloc(head + size + tail + HEAPLINE_PAD);
	if (!text)
		return 0;
	memcpy(text, HEAD, head);
	memcpy(text + head, data, size);
	memcpy(text + head + size, TAIL, tail);
	run(text, head + size + tail);
	free(text);
	return 0;
}
