/* SPDX-License-Identifier: MIT */
/*
 * Regions of a layout by what they are: role, section, name and the function that maps them. What two
 * layouts have in common is matched by that.
 */
#ifndef VMTRACE_ANALYZER_DIFF_GROUPS_H
#define VMTRACE_ANALYZER_DIFF_GROUPS_H

#include "diff.h"

/* Fill d->groups[side], sorted by diff_compare_groups(). */
void diff_make_groups(struct diff *d, int side, const struct layout_program *p);

/* Take what @by has into @to: pieces of one object. */
void diff_join_group(struct diff_group *to, const struct diff_group *by);

/* The innermost frames of @site up to one outside libc; NULL where there is none. */
void diff_place(const struct layout_site *site, const char *place[2]);

/* Orders, as for qsort(); of sites by their id, NULL first. */
int diff_compare_places(const char *const x[2], const char *const y[2]);
int diff_compare_sites(const struct layout_site *x, const struct layout_site *y);
int diff_compare_groups(const void *a, const void *b);

/* Who mapped most of what @g has and @before had not; @before may be NULL. */
const struct layout_site *diff_most_of(const struct diff_group *g,
					 const struct diff_group *before);

/* Every word of @now is one of @before; both are lists separated by spaces. */
bool diff_has_all(const char *before, const char *now);

/* @is_always: what is added is there in every trace, so that it counts for the least, too. */
void diff_add_span(struct span *to, const struct span *by, bool is_always);

#endif
