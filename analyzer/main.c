/* SPDX-License-Identifier: MIT */
/*
 * vmtrace-report: the command line. A table of views, and what is done with the traces one after the
 * other.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "commands.h"
#include "json.h"
#include "options.h"
#include "out.h"
#include "report.h"
#include "suggest.h"
#include "tree.h"

static const struct view *const views[] = {
	&view_summary, &view_maps, &view_events, &view_mm, &view_heap, &view_leaks,
	&view_fragmentation, &view_frames, &view_verify, &view_explain,
};

static const struct {
	const char *name, *brief;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "layout", "what address spaces are made of, without addresses, as JSON", cmd_layout },
	{ "diff", "what differs between two layouts", cmd_diff },
	{ "check", "whether a layout breaks rules, or differs from a baseline", cmd_check },
};

enum { NR_COMMANDS = sizeof(commands) / sizeof(commands[0]) };
enum { NR_VIEWS = sizeof(views) / sizeof(views[0]) };

/* Options every view has; the others are taken where view->takes lists them. */
static const char general_options[] = "hVjpy";

static const char usage_text[] =
	"Usage: vmtrace-report [VIEW] [OPTION]... TRACE...\n"
	"Answer questions about traces written by libvmtrace.so; TRACE - is standard input.\n";

static const char general_help[] =
	"  --json           print JSON\n"
	"  --partial        a damaged trace is fine: status 0 if its beginning could be read\n"
	"  --no-symbols     open no other files: addresses stay module+offset\n"
	"  --help           print this text (VIEW --help: that of a view)\n"
	"  --version        print the version\n";

static void print_help(const struct view *view)
{
	size_t i;

	if (view) {
		printf("Usage: vmtrace-report %s [OPTION]... TRACE%s\nPrint %s.\n\n%s%s", view->name,
		       view->flags & VIEW_ADDRESSES ? " ADDRESS..." : "...", view->brief, view->help,
		       general_help);
		return;
	}
	printf("%s\nViews:\n", usage_text);
	for (i = 0; i < NR_VIEWS; i++)
		printf("  %-13s %s%s\n", views[i]->name, views[i]->brief, i ? "" : " (default)");
	printf("\nCommands on several traces at once:\n");
	for (i = 0; i < NR_COMMANDS; i++)
		printf("  %-13s %s\n", commands[i].name, commands[i].brief);
	printf("\nOptions:\n%s\nExit status: 0 fine, 1 --fail found something, 2 the input or the call "
	       "is unusable.\n", general_help);
}

static int unusable_word(const char *what, const char *typed, const struct suggestion *best,
			 const char *dashes)
{
	fprintf(stderr, "vmtrace-report: unknown %s '", what);
	out_name(stderr, typed);
	fputc('\'', stderr);
	if (best->word)
		fprintf(stderr, "; did you mean '%s%s'?", dashes, best->word);
	fputs(" (see --help)\n", stderr);
	return EXIT_UNUSABLE;
}

static int unknown_view(const char *typed)
{
	struct suggestion best = SUGGESTION_NONE;
	size_t i;

	for (i = 0; i < NR_VIEWS; i++)
		suggest(&best, typed, views[i]->name);
	for (i = 0; i < NR_COMMANDS; i++)
		suggest(&best, typed, commands[i].name);
	return unusable_word("view, and no such file:", typed, &best, "");
}

static int unknown_option(const char *typed)
{
	struct suggestion best = SUGGESTION_NONE;
	const char *word = typed + strspn(typed, "-");
	const struct option *opt;

	for (opt = options_long; opt->name; opt++)
		suggest(&best, word, opt->name);
	return unusable_word("option", typed, &best, "--");
}

static void report_error(const char *text)
{
	fputs("vmtrace-report: ", stderr);
	out_name(stderr, text);
	fputc('\n', stderr);
}

static const struct view *find_view(const char *name)
{
	size_t i;

	for (i = 0; i < NR_VIEWS; i++)
		if (!strcmp(views[i]->name, name))
			return views[i];
	return NULL;
}

/* Show one trace. @list: where JSON goes if there are several, else NULL. */
static int run_trace(const struct view *view, const struct options *opt, const char *path,
		     struct json_t *list)
{
	struct json_t *json = NULL;
	struct trace trace;
	int status = EXIT_OK;
	int err;

	err = trace_open(&trace, view, opt, path, stdout);
	if (!err)
		err = trace_run(&trace, &json);
	if (json && list)
		js_append(list, js_ref(json));
	else if (json)
		js_print(json, stdout, false);
	js_free(json);
	if (err) {
		report_error(trace.reader.error);
		if (!opt->partial || !trace.has_header)
			status = EXIT_UNUSABLE;
	}
	if (status == EXIT_OK && trace.is_refused)
		status = EXIT_REGRESSION;
	trace_close(&trace);
	return status;
}

static void print_title(const char *path, bool follows)
{
	fputs(follows ? "\n==> " : "==> ", stdout);
	out_name(stdout, path);
	fputs(" <==\n", stdout);
}

static int run_traces(const struct view *view, const struct options *opt, char **paths, int nr)
{
	bool is_stream = view->flags & VIEW_STREAM;
	struct json_t *list = opt->json && nr > 1 && !is_stream ? js_array() : NULL, *all;
	int i, status = EXIT_OK;

	if (!opt->json && nr > 1)
		tree_print(paths, nr, stdout);
	if (opt->json && nr > 1 && is_stream)
		fputs("{\"traces\":[\n", stdout);
	for (i = 0; i < nr; i++) {
		int one;

		if (opt->json && is_stream && i)
			fputs(",\n", stdout);
		if (!opt->json && nr > 1)
			print_title(paths[i], i);
		one = run_trace(view, opt, paths[i], list);
		status = one > status ? one : status;
	}
	if (opt->json && nr > 1 && is_stream)
		fputs("]}\n", stdout);
	if (list) {
		all = js_object();
		js_set(all, "traces", list);
		js_print(all, stdout, false);
		js_free(all);
	}
	return status;
}

static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "vmtrace-report: standard output: %s\n", strerror(errno));
		return EXIT_UNUSABLE;
	}
	return status;
}

/* What the command line said. */
struct command {
	struct options opt;
	const struct view *view;	/* NULL: none was named */
	char given[32];			/* letters of the options that not every view has */
	bool wants_help, wants_version;
};

static int parse_options(struct command *cmd, int argc, char **argv)
{
	size_t nr_given = 0;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":hV", options_long, NULL)) != -1) {
		if (c == '?')
			return unknown_option(argv[optind - 1]);
		if (c == ':') {
			fprintf(stderr, "vmtrace-report: option '%s' wants a value (see --help)\n",
				argv[optind - 1]);
			return EXIT_UNUSABLE;
		}
		cmd->wants_help |= c == 'h';
		cmd->wants_version |= c == 'V';
		if (c != 'h' && c != 'V' && options_take(&cmd->opt, c, optarg))
			return EXIT_UNUSABLE;
		if (!strchr(general_options, c) && nr_given < sizeof(cmd->given) - 1)
			cmd->given[nr_given++] = c;
	}
	return EXIT_OK;
}

/* Every option given must be one of the view's. */
static int check_options(const struct command *cmd)
{
	const char *c;

	for (c = cmd->given; *c; c++) {
		const struct option *o = options_long;

		if (strchr(cmd->view->takes, *c))
			continue;
		while (o->val != *c)
			o++;
		fprintf(stderr, "vmtrace-report: the view '%s' has no option '--%s' (see --help)\n",
			cmd->view->name, o->name);
		return EXIT_UNUSABLE;
	}
	if (cmd->opt.has_by && cmd->view->takes_by &&
	    !(cmd->view->takes_by & 1u << cmd->opt.heap_by)) {
		fprintf(stderr, "vmtrace-report: the view '%s' has no '--by %s' (see --help)\n",
			cmd->view->name, heap_by_names[cmd->opt.heap_by]);
		return EXIT_UNUSABLE;
	}
	return EXIT_OK;
}

/* A first word that is neither a view nor a file was probably meant to be a view. */
static bool is_misspelt_view(const char *word)
{
	return strcmp(word, "-") && !strpbrk(word, "./") && access(word, F_OK);
}

static int run_view(struct command *cmd, int argc, char **argv)
{
	int status = parse_options(cmd, argc, argv);

	if (status != EXIT_OK)
		return status;
	if (optind < argc)
		cmd->view = find_view(argv[optind]);
	if (cmd->wants_version) {
		printf("vmtrace-report %s\n", VMTRACE_VERSION);
		return finish(EXIT_OK);
	}
	if (cmd->wants_help) {
		print_help(cmd->view);
		return finish(EXIT_OK);
	}
	if (cmd->view)
		optind++;
	else if (optind < argc && is_misspelt_view(argv[optind]))
		return unknown_view(argv[optind]);
	else
		cmd->view = &view_summary;
	if (optind == argc) {
		fprintf(stderr, "%svmtrace-report: no trace was given (see --help)\n",
			argc == 1 ? usage_text : "");
		return EXIT_UNUSABLE;
	}
	if (cmd->opt.has_by && cmd->view->with_by)
		cmd->view = cmd->view->with_by;
	status = check_options(cmd);
	if (status != EXIT_OK)
		return status;
	if (cmd->view->flags & VIEW_ADDRESSES) {
		if (options_take_addresses(&cmd->opt, argv + optind + 1, argc - optind - 1))
			return EXIT_UNUSABLE;
		argc = optind + 1;
	}
	cmd->opt.terminal = isatty(STDOUT_FILENO);
	cmd->opt.colour = out_wants_colour(stdout);
	return finish(run_traces(cmd->view, &cmd->opt, argv + optind, argc - optind));
}

int main(int argc, char **argv)
{
	struct command cmd = { .opt = { .at = { MOMENT_END, 0 }, .call = -1 } };
	int i, status;

	for (i = 0; i < NR_COMMANDS && argc > 1; i++)
		if (!strcmp(argv[1], commands[i].name))
			return finish(commands[i].run(argc - 1, argv + 1));
	status = run_view(&cmd, argc, argv);
	options_fini(&cmd.opt);
	return status;
}
