/* SPDX-License-Identifier: MIT */
#include "launcher_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_CLEAN = 0, EXIT_REGRESSION = 1, EXIT_UNUSABLE = 2 };
enum { OPTION_EXIT_STATUS = CHECK_NR_OPTIONS - 1 };

const struct option check_options[CHECK_NR_OPTIONS] = {
	{"baseline", required_argument, NULL, 0}, {"rules", required_argument, NULL, 1},
	{"tolerance", required_argument, NULL, 2}, {"junit", required_argument, NULL, 3},
	{"sarif", required_argument, NULL, 4}, {"json", no_argument, NULL, 5},
	{"github", no_argument, NULL, 6}, {"update", no_argument, NULL, 7},
	{"require-complete", no_argument, NULL, 8}, {"strict", no_argument, NULL, 9},
	{"no-symbols", no_argument, NULL, 10}, {"partial", no_argument, NULL, 11},
	{"exit-status", required_argument, NULL, OPTION_EXIT_STATUS},
};

const char check_help[] =
	"Usage: vmtrace check [OPTION…] -- PROGRAM [ARGUMENT…]\n"
	"Runs PROGRAM, records it into a temporary trace and compares its memory layout with a\n"
	"baseline and with rules. Takes vmtrace's options but --output and --report, and\n\n"
	"  --baseline=FILE --rules=FILE|default|hardening --tolerance=PERCENT --update\n"
	"  --require-complete --strict --json --junit=FILE --sarif=FILE --github --partial\n"
	"  --no-symbols\n"
	"\t\tas vmtrace-report check\n"
	"  --exit-status=N\n\t\texit status of a regression, to tell it from the program's own (1)\n\n"
	"Exit status: the program's if that is not 0, or 128 and the signal it died of, and nothing\n"
	"is checked; else 0 clean, 1 a regression, 2 unusable input, 125 it was not traced.\n";

bool check_take(struct check *check, int i, const char *value)
{
	const struct option *option = &check_options[i];
	char *end, *text;
	long status;

	if (i == OPTION_EXIT_STATUS) {
		status = strtol(value, &end, 10);
		if (*end || end == value || status < 1 || status > 255) {
			fprintf(stderr, "vmtrace: --exit-status: '%s' is no number from 1 to 255\n",
				value);
			return false;
		}
		check->regression = (int)status;
		return true;
	}
	if (check->nr_args == CHECK_ARGS_MAX) {
		fprintf(stderr, "vmtrace: too many options for the check\n");
		return false;
	}
	if (asprintf(&text, "--%s%s%s", option->name, value ? "=" : "", value ? value : "") < 0)
		return false;
	check->args[check->nr_args++] = text;
	return true;
}

int check_begin(struct check *check)
{
	const char *base = getenv("TMPDIR");
	char pattern[2 * PATH_MAX], *to = pattern;

	(void)snprintf(check->folder, sizeof(check->folder), "%s/vmtrace-check.XXXXXX",
		       base && *base == '/' ? base : "/tmp");
	if (!mkdtemp(check->folder)) {
		fprintf(stderr, "vmtrace: %s: %s\n", check->folder, strerror(errno));
		*check->folder = '\0';
		return -EINVAL;
	}
	for (const char *from = check->folder; *from; from++) {
		if (*from == '%')
			*to++ = '%';
		*to++ = *from;
	}
	strcpy(to, "/%e.%p.json");
	setenv("VMTRACE_OUT", pattern, 1);
	return 0;
}

static int is_trace(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void free_words(char **words, int nr)
{
	for (int i = 0; i < nr; i++)
		free(words[i]);
}

/* vmtrace-report check with our options, then the traces: allocated, ended by NULL; NULL: no memory. */
static char **build_argv(const struct check *check, struct dirent **traces, int nr)
{
	char **argv = calloc((size_t)(nr + check->nr_args) + 4, sizeof(*argv));
	int n = 0;
	bool good = argv != NULL;

	if (good)
		good = (argv[n++] = strdup("vmtrace-report")) && (argv[n++] = strdup("check"));
	for (int i = 0; good && i < check->nr_args; i++)
		good = (argv[n++] = strdup(check->args[i]));
	if (good)
		good = (argv[n++] = strdup("--"));
	for (int i = 0; good && i < nr; i++)
		good = asprintf(&argv[n++], "%s/%s", check->folder, traces[i]->d_name) >= 0;
	if (good)
		return argv;
	/* The last one is NULL or, after asprintf(), undefined. */
	free_words(argv, n - 1);
	free(argv);
	return NULL;
}

/* Return: exit status of vmtrace-report. */
static int run_report(const char *report, char **argv, volatile sig_atomic_t *child)
{
	pid_t pid, ended = -1;
	int status = 0;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		unsetenv("LD_PRELOAD");
		execv(report, argv);
		fprintf(stderr, "vmtrace: %s: %s\n", report, strerror(errno));
		_exit(EXIT_UNUSABLE);
	}
	*child = pid > 0 ? pid : 0;
	while (pid > 0 && (ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	*child = 0;
	return ended < 0 || !WIFEXITED(status) ? EXIT_UNUSABLE : WEXITSTATUS(status);
}

int check_finish(struct check *check, const char *report, volatile sig_atomic_t *child)
{
	struct dirent **traces;
	int nr = scandir(check->folder, &traces, is_trace, versionsort), status = EXIT_UNUSABLE;
	char **argv;

	if (nr <= 0) {
		if (!nr)
			free(traces);
		fprintf(stderr, "vmtrace: there is no trace to check\n");
		return EXIT_UNUSABLE;
	}
	argv = build_argv(check, traces, nr);
	if (argv) {
		status = run_report(report, argv, child);
		free_words(argv, nr + check->nr_args + 3);
		free(argv);
	} else {
		fprintf(stderr, "vmtrace: %s\n", strerror(ENOMEM));
	}
	while (nr)
		free(traces[--nr]);
	free(traces);
	return status == EXIT_REGRESSION ? check->regression : status;
}

void check_end(struct check *check)
{
	struct dirent **entries;
	char path[PATH_MAX + NAME_MAX + 2];
	int nr;

	free_words(check->args, check->nr_args);
	check->nr_args = 0;
	if (!*check->folder)
		return;
	nr = scandir(check->folder, &entries, NULL, NULL);
	for (int i = 0; i < nr; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", check->folder, entries[i]->d_name);
		unlink(path);
		free(entries[i]);
	}
	if (nr >= 0)
		free(entries);
	rmdir(check->folder);
	*check->folder = '\0';
}
