/* SPDX-License-Identifier: MIT */
/* layout: traces of one or several runs become one layout. diff: two layouts compared. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "diff.h"
#include "json.h"
#include "layout.h"
#include "out.h"

static const char layout_help[] =
	"Usage: vmtrace-report layout [OPTION]... TRACE...\n"
	"Print what the address spaces are made of, without addresses: JSON, a line for each region.\n"
	"Several traces of a program give ranges; each program of a process tree has its own part.\n"
	"A TRACE may be a layout, which is merged in.\n\n"
	"  --partial        of a damaged trace take what could be read\n"
	"  --no-symbols     open no other files: call stacks stay modules\n"
	"  --help           print this text\n";

static const char diff_help[] =
	"Usage: vmtrace-report diff [OPTION]... BEFORE AFTER\n"
	"Print what differs between two traces or layouts: regions are matched by role, file and call\n"
	"stack, not by address. What lies within the ranges of BEFORE is no difference.\n\n"
	"  --json           print JSON\n"
	"  --partial        of a damaged trace take what could be read\n"
	"  --no-symbols     open no other files: call stacks stay modules\n"
	"  --help           print this text\n"
	"\nExit status: 0 equal, 1 different, 2 the input or the call is unusable.\n";

int command_misused(int c, char **argv)
{
	fprintf(stderr, "vmtrace-report %s: ", argv[0]);
	if (c == ':')
		fprintf(stderr, "option '%s' wants a value", argv[optind - 1]);
	else if (c == '?' && optopt && strncmp(argv[optind - 1], "--", 2))
		/* One of several letters: getopt() may not have moved on. */
		fprintf(stderr, "-%c is no option of it", optopt);
	else if (c == '?')
		out_name(stderr, argv[optind - 1]), fputs(" is no option of it", stderr);
	else
		fputs("wrong number of files", stderr);
	fputs(" (see --help)\n", stderr);
	return EXIT_UNUSABLE;
}

static int unusable(const char *err)
{
	fputs("vmtrace-report: ", stderr);
	out_name(stderr, err);
	fputc('\n', stderr);
	return EXIT_UNUSABLE;
}

int command_add_file(struct layout *layout, const char *path, unsigned int flags)
{
	char err[1024];
	int ret = layout_add_file(layout, path, flags, err, sizeof(err));

	/* Damage that is taken is told, too. */
	if (*err)
		(void)unusable(err);
	return ret ? EXIT_UNUSABLE : EXIT_OK;
}

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-symbols", no_argument, NULL, 'y' },
	{ "partial", no_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

int cmd_layout(int argc, char **argv)
{
	struct layout layout;
	unsigned int flags = 0;
	int c, i, status = EXIT_OK;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (c == 'h')
			return fputs(layout_help, stdout) < 0;
		if (c == ':' || c == '?')
			return command_misused(c, argv);
		flags |= c == 'y' ? LAYOUT_NO_SYMBOLS : c == 'p' ? LAYOUT_PARTIAL : 0;
	}
	if (optind == argc)
		return command_misused(0, argv);
	layout_init(&layout);
	for (i = optind; i < argc && status == EXIT_OK; i++)
		status = command_add_file(&layout, argv[i], flags);
	if (status == EXIT_OK)
		layout_print(&layout, stdout);
	layout_fini(&layout);
	return status;
}

static bool has_differences(const struct layout *before, const struct layout *after)
{
	bool found = before->nr_programs != after->nr_programs;
	struct diff diff;
	size_t i;

	for (i = 0; i < after->nr_programs && !found; i++) {
		diff_init(&diff, layout_find(before, after->programs[i].name), &after->programs[i]);
		found = !diff.before || diff.nr_items;
		diff_fini(&diff);
	}
	return found;
}

int cmd_diff(int argc, char **argv)
{
	unsigned int flags = 0;
	bool json = false;
	struct layout layouts[2];
	struct json_t *doc;
	int c, i, status = EXIT_OK;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (c == 'h')
			return fputs(diff_help, stdout) < 0;
		if (c == ':' || c == '?')
			return command_misused(c, argv);
		flags |= c == 'y' ? LAYOUT_NO_SYMBOLS : c == 'p' ? LAYOUT_PARTIAL : 0;
		json |= c == 'j';
	}
	if (argc - optind != 2)
		return command_misused(0, argv);
	layout_init(&layouts[0]);
	layout_init(&layouts[1]);
	for (i = 0; i < 2 && status == EXIT_OK; i++)
		status = command_add_file(&layouts[i], argv[optind + i], flags);
	if (status == EXIT_OK) {
		if (json) {
			doc = diff_json(&layouts[0], &layouts[1]);
			js_print(doc, stdout, false);
			js_free(doc);
		} else {
			diff_print_text(&layouts[0], &layouts[1], out_wants_colour(stdout), stdout);
		}
		status = has_differences(&layouts[0], &layouts[1]) ? EXIT_REGRESSION : EXIT_OK;
	}
	layout_fini(&layouts[0]);
	layout_fini(&layouts[1]);
	return status;
}
