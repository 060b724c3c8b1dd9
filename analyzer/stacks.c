/* SPDX-License-Identifier: MIT */
#include "stacks.h"

#include <string.h>

#include "alloc.h"

struct loaded {
	uint64_t start, end, flags;
	uint32_t module;
};

void stacks_init(struct stacks *s)
{
	*s = (struct stacks){ 0 };
}

void stacks_fini(struct stacks *s)
{
	size_t i;

	for (i = 0; i < s->nr_modules; i++) {
		alloc_free(s->modules[i].path);
		alloc_free(s->modules[i].build_id);
		alloc_free(s->modules[i].soname);
	}
	alloc_free(s->modules);
	alloc_free(s->nodes);
	alloc_free(s->loaded);
	stacks_init(s);
}

/* Index of the first loaded segment that ends above @addr. */
static size_t find_loaded(const struct stacks *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nr_loaded;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->loaded[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Forget what was loaded in [start, end): something else is there now, or nothing. */
static size_t forget_range(struct stacks *s, uint64_t start, uint64_t end)
{
	size_t from = find_loaded(s, start), to = from;

	while (to < s->nr_loaded && s->loaded[to].start < end)
		to++;
	if (to > from)
		memmove(s->loaded + from, s->loaded + to,
			(s->nr_loaded - to) * sizeof(*s->loaded));
	s->nr_loaded -= to - from;
	return from;
}

static void load_segment(struct stacks *s, const struct rec_range *seg, uint32_t module)
{
	size_t at = forget_range(s, seg->start, seg->end);

	s->loaded = alloc_grow(s->loaded, s->nr_loaded, &s->cap_loaded, sizeof(*s->loaded));
	memmove(s->loaded + at + 1, s->loaded + at, (s->nr_loaded - at) * sizeof(*s->loaded));
	s->loaded[at] = (struct loaded){ seg->start, seg->end, seg->flags, module };
	s->nr_loaded++;
}

static void unload(struct stacks *s, const struct rec_module *m)
{
	size_t i, kept = 0;

	for (i = 0; i < s->nr_loaded; i++) {
		if (s->modules[s->loaded[i].module].base != m->base)
			s->loaded[kept++] = s->loaded[i];
	}
	s->nr_loaded = kept;
}

void stacks_add_module(struct stacks *s, const struct rec_module *m)
{
	struct module *mod;
	size_t i;

	if (!m->is_load) {
		unload(s, m);
		return;
	}
	if (s->nr_modules >= STACKS_NO_MODULE - 1)
		return;
	s->modules = alloc_grow(s->modules, s->nr_modules, &s->cap_modules, sizeof(*s->modules));
	mod = &s->modules[s->nr_modules++];
	mod->path = alloc_string(m->path);
	mod->build_id = m->build_id ? alloc_string(m->build_id) : NULL;
	mod->base = m->base;
	mod->own = m->own;
	mod->soname = m->soname ? alloc_string(m->soname) : NULL;
	mod->exec_stack = m->exec_stack;
	mod->has_relro = m->has_relro;
	mod->relro = m->relro;
	for (i = 0; i < m->nr_segments; i++) {
		if (!i || m->segments[i].start < mod->start)
			mod->start = m->segments[i].start;
		if (m->segments[i].end > mod->end)
			mod->end = m->segments[i].end;
	}
	for (i = 0; i < m->nr_segments; i++)
		if (m->segments[i].start < m->segments[i].end)
			load_segment(s, &m->segments[i], s->nr_modules - 1);
}

void stacks_add(struct stacks *s, const struct rec_stack *st)
{
	uint32_t parent = st->parent;
	size_t i, at;

	for (i = 0; i < st->nr_ips; i++) {
		struct stack_node *node;
		uint64_t ip = st->ips[i];

		s->nodes = alloc_grow(s->nodes, s->nr_nodes, &s->cap_nodes, sizeof(*s->nodes));
		node = &s->nodes[s->nr_nodes++];
		*node = (struct stack_node){ ip, parent, STACKS_NO_MODULE };
		at = ip ? find_loaded(s, ip - 1) : s->nr_loaded;
		if (at < s->nr_loaded && s->loaded[at].start <= ip - 1)
			node->module = s->loaded[at].module;
		parent = s->nr_nodes;
	}
}

const struct module *stacks_module_in(const struct stacks *s, uint64_t start, uint64_t end,
				      uint64_t *ret_flags)
{
	size_t at = find_loaded(s, start);
	const struct module *m;

	*ret_flags = 0;
	if (at == s->nr_loaded)
		return NULL;
	m = &s->modules[s->loaded[at].module];
	if (m->start >= end)
		return NULL;
	for (; at < s->nr_loaded && s->loaded[at].start < end; at++)
		*ret_flags |= s->loaded[at].flags;
	return m;
}

uint32_t stacks_module_at(const struct stacks *s, uint64_t addr, uint64_t *ret_flags)
{
	size_t at = find_loaded(s, addr);

	if (at == s->nr_loaded || s->loaded[at].start > addr)
		return STACKS_NO_MODULE;
	*ret_flags = s->loaded[at].flags;
	return s->loaded[at].module;
}

const struct stack_node *stacks_node(const struct stacks *s, uint32_t id)
{
	return id && id <= s->nr_nodes ? &s->nodes[id - 1] : NULL;
}
