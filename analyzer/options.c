/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <stdlib.h>

#include "address.h"
#include "alloc.h"
#include "fields.h"
#include "out.h"

const struct option options_long[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "json", no_argument, NULL, 'j' },
	{ "partial", no_argument, NULL, 'p' },
	{ "no-symbols", no_argument, NULL, 'y' },
	{ "at", required_argument, NULL, 'a' },
	{ "own", no_argument, NULL, 'o' },
	{ "why", no_argument, NULL, 'w' },
	{ "stacks", no_argument, NULL, 's' },
	{ "call", required_argument, NULL, 'c' },
	{ "limit", required_argument, NULL, 'l' },
	{ "by", required_argument, NULL, 'b' },
	{ "sort", required_argument, NULL, 'r' },
	{ "timeline", no_argument, NULL, 't' },
	{ "suppressions", required_argument, NULL, 'S' },
	{ "fail", no_argument, NULL, 'F' },
	{ NULL, 0, NULL, 0 },
};

static int bad_argument(const char *option, const char *arg)
{
	fprintf(stderr, "vmtrace-report: --%s: '", option);
	out_name(stderr, arg);
	fputs("' is no valid value (see --help)\n", stderr);
	return -EINVAL;
}

static int parse_number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno ? -EINVAL : 0;
}

static int take_heap_by(struct options *opt, const char *arg)
{
	int i = find_name(heap_by_names, HEAP_NR_BY, arg);

	if (i < 0)
		return bad_argument("by", arg);
	opt->heap_by = i;
	opt->has_by = true;
	return 0;
}

static int take_heap_sort(struct options *opt, const char *arg)
{
	int i = find_name(heap_sort_names, HEAP_NR_SORTS, arg);

	if (i < 0)
		return bad_argument("sort", arg);
	opt->heap_sort = i;
	opt->has_heap_sort = true;
	return 0;
}

static int take_suppressions(struct options *opt, const char *path)
{
	char err[400];

	if (!suppress_load(&opt->suppressions, path, err, sizeof(err)))
		return 0;
	fputs("vmtrace-report: ", stderr);
	out_name(stderr, err);
	fputc('\n', stderr);
	return -EINVAL;
}

int options_take(struct options *opt, int c, const char *arg)
{
	switch (c) {
	case 'j':
		opt->json = true;
		return 0;
	case 'p':
		opt->partial = true;
		return 0;
	case 'y':
		opt->no_symbols = true;
		return 0;
	case 'o':
		opt->own = true;
		return 0;
	case 'w':
		opt->why = true;
		return 0;
	case 's':
		opt->stacks = true;
		return 0;
	case 't':
		opt->timeline = true;
		return 0;
	case 'F':
		opt->fail = true;
		return 0;
	case 'b':
		return take_heap_by(opt, arg);
	case 'r':
		return take_heap_sort(opt, arg);
	case 'S':
		return take_suppressions(opt, arg);
	case 'a':
		return moment_parse(arg, &opt->at) ? bad_argument("at", arg) : 0;
	case 'c':
		opt->call = find_name(record_call_names, MM_OP_COUNT, arg);
		return opt->call < 0 ? bad_argument("call", arg) : 0;
	case 'l':
		opt->has_limit = true;
		return parse_number(arg, &opt->limit) ? bad_argument("limit", arg) : 0;
	default:
		return -EINVAL;
	}
}

int options_take_addresses(struct options *opt, char **words, int nr)
{
	int i;

	if (!nr) {
		fputs("vmtrace-report: no address was given behind the trace (see --help)\n", stderr);
		return -EINVAL;
	}
	opt->addresses = alloc_array(nr, sizeof(*opt->addresses));
	for (i = 0; i < nr; i++) {
		if (!address_parse(words[i], &opt->addresses[i]))
			continue;
		fputs("vmtrace-report: '", stderr);
		out_name(stderr, words[i]);
		fputs("' is no address: hex digits, with or without 0x, behind the trace\n", stderr);
		return -EINVAL;
	}
	opt->nr_addresses = nr;
	return 0;
}

void options_fini(struct options *opt)
{
	suppress_fini(&opt->suppressions);
	alloc_free(opt->addresses);
}
