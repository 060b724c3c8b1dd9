/* SPDX-License-Identifier: MIT */
/*
 * vmtrace check: a program is recorded into a folder of its own, which vmtrace-report check judges.
 */
#ifndef VMTRACE_ANALYZER_LAUNCHER_CHECK_H
#define VMTRACE_ANALYZER_LAUNCHER_CHECK_H

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>

enum { CHECK_ARGS_MAX = 64, CHECK_NR_OPTIONS = 13 };

struct check {
	bool is_wanted;
	int regression;			/* exit status of a regression */
	char *args[CHECK_ARGS_MAX];	/* for vmtrace-report check, allocated */
	int nr_args;
	char folder[PATH_MAX];		/* "": none was made */
};

/* All options by which vmtrace-report check judges and tells, then --exit-status; val is the index. */
extern const struct option check_options[CHECK_NR_OPTIONS];
extern const char check_help[];

/* Take option @i with its value. Return: false after a message. */
bool check_take(struct check *check, int i, const char *value);

/* Make the folder and point VMTRACE_OUT at it. Return: 0, -errno after a message. */
int check_begin(struct check *check);

/*
 * Judge what is there. @report: vmtrace-report's path. @child: holds its pid while it runs, for
 * signals. Return: the exit status.
 */
int check_finish(struct check *check, const char *report, volatile sig_atomic_t *child);

/* Remove the folder, whatever happened, and free what was allocated. */
void check_end(struct check *check);

#endif
