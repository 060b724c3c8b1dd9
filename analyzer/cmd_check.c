/* SPDX-License-Identifier: MIT */
/*
 * check: a gate. Everything is read and judged before anything is written, so that unusable input
 * leaves no trace of it behind.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "check_run.h"
#include "commands.h"
#include "layout.h"
#include "out.h"
#include "replace.h"
#include "rules.h"
#include "suggest.h"

static const char help[] =
	"Usage: vmtrace-report check [OPTION]... TRACE...\n"
	"Judge traces, or layouts of them, by rules and beside a baseline: a layout from before.\n\n"
	"  --baseline FILE     the layout to compare with\n"
	"  --update            write the layout of the traces to the baseline; then judge it alone\n"
	"  --rules FILE|SET    rules to judge by, or a built-in set; may be repeated (default: default)\n"
	"  --tolerance PERCENT take the place of every percentage that a tolerance has\n"
	"  --require-complete  fail if changes of the map were missed\n"
	"  --strict            warnings fail, too\n"
	"  --json              print JSON\n"
	"  --github            print annotations for a GitHub workflow\n"
	"  --junit FILE        write JUnit's XML, too; to -: print it instead of text\n"
	"  --sarif FILE        write SARIF, too; to -: print it instead of text\n"
	"  --partial           of damaged traces take what could be read; leave out the others\n"
	"  --no-symbols        open no other files: call stacks stay modules\n"
	"  --print-rules SET   print a built-in set, default or hardening\n"
	"  --list-rules        print the rules there are\n"
	"  --help              print this text\n"
	"\nExit status: 0 clean, 1 a regression, 2 the input or the call is unusable.\n";

static const struct option long_options[] = {
	{ "baseline", required_argument, NULL, 'b' },
	{ "github", no_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "junit", required_argument, NULL, 'u' },
	{ "list-rules", no_argument, NULL, 'l' },
	{ "no-symbols", no_argument, NULL, 'y' },
	{ "partial", no_argument, NULL, 'p' },
	{ "print-rules", required_argument, NULL, 'P' },
	{ "require-complete", no_argument, NULL, 'c' },
	{ "rules", required_argument, NULL, 'r' },
	{ "sarif", required_argument, NULL, 's' },
	{ "strict", no_argument, NULL, 'S' },
	{ "tolerance", required_argument, NULL, 't' },
	{ "update", no_argument, NULL, 'U' },
	{ NULL, 0, NULL, 0 },
};

struct gate {
	struct check_context ctx;
	const char *junit, *sarif, *print_set;
	bool help, list, update, json, github, partial, no_symbols, has_rules, is_complete;
	struct rules rules;
	struct layout baseline, current;
	bool has_baseline;
};

static int unusable(const char *text)
{
	fputs("vmtrace-report: ", stderr);
	out_name(stderr, text);
	fputc('\n', stderr);
	return EXIT_UNUSABLE;
}

static int add_rules(struct gate *g, const char *what)
{
	char err[1024];

	g->has_rules = true;
	return rules_add(&g->rules, what, err, sizeof(err)) ? unusable(err) : EXIT_OK;
}

static int take_tolerance(struct gate *g, const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 6 || (text[digits] && strcmp(text + digits, "%")))
		return unusable("check: --tolerance wants a percentage (see --help)");
	g->rules.percent = (struct rule_number){ true, strtoul(text, NULL, 10) };
	return EXIT_OK;
}

static int take_value(struct gate *g, int c, const char *arg)
{
	switch (c) {
	case 'r':
		return add_rules(g, arg);
	case 't':
		return take_tolerance(g, arg);
	case 'b':
		g->ctx.baseline = arg;
		break;
	case 'u':
		g->junit = arg;
		break;
	case 's':
		g->sarif = arg;
		break;
	case 'P':
		g->print_set = arg;
		break;
	}
	return EXIT_OK;
}

static void take_switch(struct gate *g, int c)
{
	g->help |= c == 'h';
	g->list |= c == 'l';
	g->update |= c == 'U';
	g->json |= c == 'j';
	g->github |= c == 'g';
	g->partial |= c == 'p';
	g->no_symbols |= c == 'y';
	g->is_complete |= c == 'c';
	g->ctx.is_strict |= c == 'S';
}

static bool is_stdio(const char *path)
{
	return path && !strcmp(path, "-");
}

/* What was asked for must have one place each to go to. */
static int refuse_outputs(const struct gate *g)
{
	if (g->update && !g->ctx.baseline)
		return unusable("check: --update wants a --baseline to write to");
	if (g->update && is_stdio(g->ctx.baseline))
		return unusable("check: --update can't write to standard input (see layout --help)");
	if (g->json + g->github + is_stdio(g->junit) + is_stdio(g->sarif) > 1)
		return unusable("check: --json, --github, --junit - and --sarif - all want the output: "
				"one of them can have it");
	return EXIT_OK;
}

static int parse(struct gate *g, int argc, char **argv)
{
	int c, status = EXIT_OK;

	opterr = 0;
	while (status == EXIT_OK && (c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (c == ':' || c == '?')
			return command_misused(c, argv);
		take_switch(g, c);
		status = take_value(g, c, optarg);
	}
	if (status != EXIT_OK || g->help || g->list || g->print_set)
		return status;
	if (optind == argc)
		return command_misused(0, argv);
	status = refuse_outputs(g);
	if (status == EXIT_OK && !g->has_rules)
		status = add_rules(g, "default");
	if (g->is_complete)
		rules_set_severity(&g->rules, RULE_INCOMPLETE, SEVERITY_ERROR);
	return status;
}

static int print_set(const char *name)
{
	const char *text = rules_set_text(name);
	struct suggestion best = SUGGESTION_NONE;
	char err[300];
	size_t i;

	if (text)
		return fputs(text, stdout) < 0 ? EXIT_UNUSABLE : EXIT_OK;
	for (i = 0; rules_set_names[i]; i++)
		suggest(&best, name, rules_set_names[i]);
	snprintf(err, sizeof(err), "check: unknown set '%.100s'%s%s%s", name,
		 best.word ? "; did you mean '" : "", best.word ? best.word : "",
		 best.word ? "'?" : "");
	return unusable(err);
}

static int list_rules(void)
{
	size_t i;

	for (i = 0; i < NR_RULES; i++)
		printf("%-20s %s\n", rule_infos[i].name, rule_infos[i].text);
	return EXIT_OK;
}

static unsigned int flags_of(const struct gate *g)
{
	return g->no_symbols ? LAYOUT_NO_SYMBOLS : 0;
}

static int read_current(struct gate *g, char **paths, int nr)
{
	unsigned int flags = flags_of(g) | (g->partial ? LAYOUT_PARTIAL : 0);
	int i;

	for (i = 0; i < nr; i++)
		if (command_add_file(&g->current, paths[i], flags) && !g->partial)
			return EXIT_UNUSABLE;
	if (g->current.nr_programs)
		return EXIT_OK;
	return nr && g->partial ? EXIT_UNUSABLE : unusable("check: no program is in the traces");
}

/* Comparing what cannot be compared would find everything, or nothing. */
static int refuse_mismatch(const struct gate *g, const struct layout_program *then,
			   const struct layout_program *now)
{
	char err[1024];

	if (strcmp(then->machine, now->machine))
		snprintf(err, sizeof(err), "%s: %s was traced on %s, now on %s", g->ctx.baseline,
			 now->name, then->machine, now->machine);
	else if (then->page_size != now->page_size)
		snprintf(err, sizeof(err), "%s: %s had pages of %ju bytes, now of %ju",
			 g->ctx.baseline, now->name, (uintmax_t)then->page_size,
			 (uintmax_t)now->page_size);
	else if (strcmp(then->tier, now->tier))
		snprintf(err, sizeof(err), "%s: %s was traced at tier %s, now at %s",
			 g->ctx.baseline, now->name, then->tier, now->tier);
	else
		return EXIT_OK;
	return unusable(err);
}

static int match_baseline(const struct gate *g)
{
	size_t i, nr_known = 0;
	char err[1024];

	for (i = 0; i < g->current.nr_programs; i++) {
		const struct layout_program *now = &g->current.programs[i];
		const struct layout_program *then = layout_find(&g->baseline, now->name);

		nr_known += then != NULL;
		if (then && refuse_mismatch(g, then, now))
			return EXIT_UNUSABLE;
	}
	if (nr_known)
		return EXIT_OK;
	snprintf(err, sizeof(err), "%s: a baseline of %s, not of %s", g->ctx.baseline,
		 g->baseline.nr_programs ? g->baseline.programs[0].name : "nothing",
		 g->current.programs[0].name);
	return unusable(err);
}

/* What is overwritten by --update must have been a baseline, too, unless there is nothing. */
static int read_baseline(struct gate *g)
{
	if (!g->ctx.baseline || (g->update && access(g->ctx.baseline, F_OK) && errno == ENOENT))
		return EXIT_OK;
	if (command_add_file(&g->baseline, g->ctx.baseline,
			     flags_of(g) | (g->update ? LAYOUT_NO_TRACE : 0)))
		return EXIT_UNUSABLE;
	g->has_baseline = true;
	return g->update ? EXIT_OK : match_baseline(g);
}

struct output {
	const struct check *check;
	const struct check_context *ctx;
	void (*print)(const struct check *check, const struct check_context *ctx, FILE *out);
};

static void print_output(FILE *out, const void *arg)
{
	const struct output *o = arg;

	o->print(o->check, o->ctx, out);
}

static void print_layout(FILE *out, const void *arg)
{
	layout_print(arg, out);
}

static int write_file(const char *path, void (*print)(FILE *, const void *), const void *arg)
{
	char err[1024];
	int ret = path && !is_stdio(path) ? replace_file(path, print, arg) : 0;

	if (!ret)
		return EXIT_OK;
	snprintf(err, sizeof(err), "%s: %s", path, strerror(-ret));
	return unusable(err);
}

static int write_all(const struct gate *g, const struct check *check)
{
	const struct output junit = { check, &g->ctx, check_junit };
	const struct output sarif = { check, &g->ctx, check_sarif };

	if (write_file(g->update ? g->ctx.baseline : NULL, print_layout, &g->current) ||
	    write_file(g->junit, print_output, &junit) ||
	    write_file(g->sarif, print_output, &sarif))
		return EXIT_UNUSABLE;
	if (g->json)
		check_json(check, &g->ctx, stdout);
	else if (is_stdio(g->junit))
		check_junit(check, &g->ctx, stdout);
	else if (is_stdio(g->sarif))
		check_sarif(check, &g->ctx, stdout);
	else
		check_text(check, &g->ctx, stdout);
	if (g->github)
		check_github(check, &g->ctx, stdout);
	return check_is_failed(check, &g->ctx) ? EXIT_REGRESSION : EXIT_OK;
}

static int run(struct gate *g, char **paths, int nr)
{
	const struct layout *baseline;
	struct check check;
	int status;

	if (read_current(g, paths, nr) || read_baseline(g))
		return EXIT_UNUSABLE;
	baseline = g->update ? &g->current : g->has_baseline ? &g->baseline : NULL;
	check_run(&check, baseline, &g->current, &g->rules);
	status = write_all(g, &check);
	check_fini(&check);
	return status;
}

int cmd_check(int argc, char **argv)
{
	struct gate g = { .ctx = { .version = VMTRACE_VERSION } };
	int status;

	rules_init(&g.rules);
	layout_init(&g.baseline);
	layout_init(&g.current);
	g.ctx.colour = out_wants_colour(stdout);
	status = parse(&g, argc, argv);
	if (status != EXIT_OK)
		;
	else if (g.help)
		fputs(help, stdout);
	else if (g.list)
		status = list_rules();
	else if (g.print_set)
		status = print_set(g.print_set);
	else
		status = run(&g, argv + optind, argc - optind);
	layout_fini(&g.current);
	layout_fini(&g.baseline);
	rules_fini(&g.rules);
	return status;
}
