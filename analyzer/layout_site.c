/* SPDX-License-Identifier: MIT */
#include "layout_site.h"

#include <string.h>

#include "alloc.h"
#include "frame_name.h"
#include "report.h"

enum { MAX_FRAMES = 256 };

struct frames {
	char *text[MAX_FRAMES];
	bool is_libc[MAX_FRAMES];
	size_t nr;
};

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
		const char *name = frame_module_name(m);

		/* Frames may be missing here. */
		if (!node->ip)
			continue;
		if (!m || !m->own)
			add(&f, frame_text(symbols_get(tr->symbols, node), name), m && frame_is_libc(name));
	}
	drop_start(&f);
	site = layout_site_add(program, f.text, f.nr);
	while (f.nr)
		drop_last(&f);
	return site;
}
