/* SPDX-License-Identifier: MIT */
/*
 * The parts of the view of frames for programs: frames_json_sum.c has what the process and a mapping have
 * alike.
 */
#ifndef VMTRACE_ANALYZER_FRAMES_JSON_H
#define VMTRACE_ANALYZER_FRAMES_JSON_H

#include "frames_view.h"

struct json_t;

void frames_set_pages(struct json_t *obj, const char *key, uint64_t pages);
void frames_set_sums(struct json_t *obj, const struct frames_view *view,
		     const struct frames_sum *sum);

#endif
