/* SPDX-License-Identifier: MIT */
/*
 * The options that views have: their names and what is made of their values.
 */
#ifndef VMTRACE_ANALYZER_OPTIONS_H
#define VMTRACE_ANALYZER_OPTIONS_H

#include <getopt.h>

#include "report.h"

/* Long names and the letters that stand for them elsewhere; ends with a NULL name. */
extern const struct option options_long[];

/**
 * options_take() - Put option @c into @opt.
 * @arg: its value, NULL if it has none.
 *
 * Return: 0, or -EINVAL after a message.
 */
int options_take(struct options *opt, int c, const char *arg);

/**
 * options_take_addresses() - Put the words behind the trace into @opt.
 *
 * Return: 0, or -EINVAL after a message.
 */
int options_take_addresses(struct options *opt, char **words, int nr);

void options_fini(struct options *opt);

#endif
