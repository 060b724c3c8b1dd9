/* SPDX-License-Identifier: MIT */
#include "diff_groups.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* Malloc chooses where these come from: whoever asked first is chance. */
static bool has_site(enum layout_role role)
{
	return role != LAYOUT_ARENA && role != LAYOUT_MALLOC_MMAP && role != LAYOUT_HEAP &&
	       role != LAYOUT_FILE && role > LAYOUT_LOADER;
}

struct diff_member {
	struct diff_group key;
	const struct layout_region *region;
	const struct layout_site *site;
};

static bool is_libc(const char *frame)
{
	return strstr(frame, "libc.so.6") || strstr(frame, "ld-linux") || strstr(frame, "libpthread.so.0");
}

void diff_place(const struct layout_site *site, const char *place[2])
{
	place[0] = place[1] = NULL;
	if (!site)
		return;
	place[0] = site->frames[0];
	if (site->nr_frames > 1 && is_libc(place[0]))
		place[1] = site->frames[1];
}

static int compare_text(const char *x, const char *y)
{
	return strcmp(x ? x : "", y ? y : "");
}

int diff_compare_places(const char *const x[2], const char *const y[2])
{
	int c = compare_text(x[0], y[0]);

	return c ? c : compare_text(x[1], y[1]);
}

int diff_compare_sites(const struct layout_site *x, const struct layout_site *y)
{
	return compare_text(x ? x->id : NULL, y ? y->id : NULL);
}

int diff_compare_groups(const void *a, const void *b)
{
	const struct diff_group *x = a, *y = b;
	int c;

	if (x->role != y->role)
		return x->role < y->role ? -1 : 1;
	c = strcmp(x->name, y->name);
	if (!c)
		c = diff_compare_places(x->place, y->place);
	return c ? c : (x->section > y->section) - (x->section < y->section);
}

static int compare_members(const void *a, const void *b)
{
	const struct diff_member *x = a, *y = b;
	int c = diff_compare_groups(&x->key, &y->key);

	if (!c)
		c = diff_compare_sites(x->site, y->site);
	return c ? c : (x->region > y->region) - (x->region < y->region);
}

/* Whether @words, separated by spaces, has @word. */
static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *s;

	for (s = words; (s = strstr(s, word)); s++)
		if ((s == words || s[-1] == ' ') && (!s[n] || s[n] == ' '))
			return true;
	return false;
}

/* A word that is not in the list yet; lists are sorted, so that they can be compared. */
static void add_word(char **words, const char *word)
{
	char *old = *words, *joined, *s, *token, *save = NULL;
	size_t size = strlen(old) + strlen(word) + 2;
	bool is_put = false;

	if (!*word || has_word(old, word))
		return;
	joined = alloc_zeroed(size);
	for (s = old; (token = strtok_r(s, " ", &save)); s = NULL) {
		if (!is_put && strcmp(word, token) < 0) {
			strcat(strcat(joined, *joined ? " " : ""), word);
			is_put = true;
		}
		strcat(strcat(joined, *joined ? " " : ""), token);
	}
	if (!is_put)
		strcat(strcat(joined, *joined ? " " : ""), word);
	alloc_free(old);
	*words = joined;
}

static void add_words(char **words, const char *more)
{
	char *copy = alloc_string(more), *s, *token, *save = NULL;

	for (s = copy; (token = strtok_r(s, " ", &save)); s = NULL)
		add_word(words, token);
	alloc_free(copy);
}

/* @is_always: the least counts, too. */
void diff_add_span(struct span *to, const struct span *by, bool is_always)
{
	to->min = add_capped(to->min, is_always ? by->min : 0);
	to->max = add_capped(to->max, by->max);
}

static void add_region(struct diff_group *g, const struct layout_region *r, bool is_always)
{
	g->count.min += is_always;
	g->count.max++;
	diff_add_span(&g->bytes, &r->bytes, is_always);
	diff_add_span(&g->resident, &r->resident, is_always);
	diff_add_span(&g->huge, &r->huge, is_always);
	add_words(&g->perms, r->perms);
	add_words(&g->flags, r->flags);
}

/* Bytes of @g that @site mapped; @at moves on, and so must the site: members are sorted by it. */
static uint64_t bytes_of(const struct diff_group *g, const struct layout_site *site, size_t *at)
{
	uint64_t sum = 0;
	int c;

	for (; g && *at < g->nr_members; ++*at) {
		c = diff_compare_sites(g->members[*at].site, site);
		if (c > 0)
			break;
		if (!c)
			sum = add_capped(sum, g->members[*at].region->bytes.max);
	}
	return sum;
}

/* Who mapped most of what @g has and @before had not. Members of a site stand side by side. */
const struct layout_site *diff_most_of(const struct diff_group *g,
					 const struct diff_group *before)
{
	const struct layout_site *site = NULL;
	uint64_t most = 0, sum = 0;
	size_t i, at = 0;

	for (i = 0; i < g->nr_members; i++) {
		const struct diff_member *m = &g->members[i];
		uint64_t then;

		sum = add_capped(sum, m->region->bytes.max);
		if (i + 1 < g->nr_members && !diff_compare_sites(m[1].site, m->site))
			continue;
		then = bytes_of(before, m->site, &at);
		if (!site || (sum > then && sum - then > most)) {
			site = m->site;
			most = sum > then ? sum - then : 0;
		}
		sum = 0;
	}
	return site;
}

void diff_make_groups(struct diff *d, int side, const struct layout_program *p)
{
	struct diff_member *members = alloc_array(p->nr_regions + 1, sizeof(*members));
	struct diff_group *groups = alloc_array(p->nr_regions + 1, sizeof(*groups));
	size_t i, nr = 0;

	for (i = 0; i < p->nr_regions; i++) {
		const struct layout_region *r = &p->regions[i];
		struct diff_member *m = &members[i];

		*m = (struct diff_member){
			.key = { .role = r->role, .section = r->section, .name = r->name,
				 .origin = r->origin },
			.region = r,
			.site = r->site == LAYOUT_NO_SITE ? NULL : &p->sites[r->site],
		};
		if (has_site(r->role))
			diff_place(m->site, m->key.place);
	}
	qsort(members, p->nr_regions, sizeof(*members), compare_members);
	for (i = 0; i < p->nr_regions; i++) {
		if (!i || diff_compare_groups(&members[i - 1].key, &members[i].key)) {
			groups[nr] = members[i].key;
			groups[nr].perms = alloc_string("");
			groups[nr].flags = alloc_string("");
			groups[nr].members = &members[i];
			nr++;
		}
		groups[nr - 1].nr_members++;
		add_region(&groups[nr - 1], members[i].region,
			   members[i].region->traces == p->traces);
	}
	for (i = 0; i < nr; i++)
		groups[i].site = groups[i].role > LAYOUT_LOADER ? diff_most_of(&groups[i], NULL) : NULL;
	d->groups[side] = groups;
	d->members[side] = members;
	d->nr_groups[side] = nr;
}

/* Every permission that occurs now occurred before. */
bool diff_has_all(const char *before, const char *now)
{
	char *copy = alloc_string(now), *s, *token, *save = NULL;
	bool all = true;

	for (s = copy; (token = strtok_r(s, " ", &save)); s = NULL)
		all &= has_word(before, token);
	alloc_free(copy);
	return all;
}

void diff_join_group(struct diff_group *to, const struct diff_group *by)
{
	diff_add_span(&to->count, &by->count, true);
	diff_add_span(&to->bytes, &by->bytes, true);
	diff_add_span(&to->resident, &by->resident, true);
	diff_add_span(&to->huge, &by->huge, true);
	add_words(&to->perms, by->perms);
	add_words(&to->flags, by->flags);
}
