/* SPDX-License-Identifier: MIT */
/*
 * Runs many seeds: see shadow.h. As root there is a second round as nobody.
 *
 * A program on which shadow and kernel differ is cut down to few steps, printed as lines of C, and
 * can be run again by --seed and --only.
 */
#include "shadow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"
#include "kmaps.h"
#include "rules.h"

#define MINIMISED_MAX 3		/* programs cut down in one run */
#define MINIMISE_SECONDS 120

struct options opt = { .seed = 1, .nr_seeds = 1, .ops = 10000 };
struct results *results;
unsigned char *skip;
bool quiet;
uint32_t rules;
uint64_t task_size;

void say(const char *format, ...)
{
	char buf[8192];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf, sizeof(buf), format, ap);
	va_end(ap);
	if (n > (int)sizeof(buf) - 1)
		n = sizeof(buf) - 1;
	if (n > 0 && !quiet && write(STDERR_FILENO, buf, n) < 0)
		quiet = true;
}

/* "3,17,900-905": all other steps are left out. */
static bool parse_only(const char *list)
{
	memset(skip, 1, STEPS_MAX);
	while (*list) {
		char *end;
		uint64_t from = strtoull(list, &end, 10), to = from;

		if (*end == '-')
			to = strtoull(end + 1, &end, 10);
		if (end == list || (*end && *end != ',') || to >= STEPS_MAX || from > to)
			return false;
		memset(skip + from, 0, to - from + 1);
		list = *end ? end + 1 : end;
	}
	return true;
}

static void say_only(uint64_t nr)
{
	const char *separator = "";

	say("run it again: shadow --seed %lu --ops %lu%s%s --trace --only ", opt.seed, nr,
	    opt.no_query ? " --no-query" : "", opt.unprivileged ? " --unprivileged" : "");
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t last = i;

		if (skip[i])
			continue;
		while (last + 1 < nr && !skip[last + 1])
			last++;
		say(last > i ? "%s%lu-%lu" : "%s%lu", separator, i, last);
		separator = ",";
		i = last;
	}
	say("\n");
}

/* Leave out runs of @chunk steps as long as it still ends in the same way. Return: any left out. */
static bool leave_out(uint64_t nr, uint64_t chunk, int status, time_t deadline)
{
	static unsigned char saved[STEPS_MAX];
	bool any = false;

	for (uint64_t from = 0; from < nr && time(NULL) < deadline; from += chunk) {
		uint64_t n = from + chunk < nr ? chunk : nr - from;

		if (!memchr(skip + from, 0, n))
			continue;
		memcpy(saved, skip + from, n);
		memset(skip + from, 1, n);
		if (shadow_run() == status)
			any = true;
		else
			memcpy(skip + from, saved, n);
	}
	return any;
}

static void minimise(int status)
{
	uint64_t nr = results->failed_step, ops = opt.ops;
	time_t deadline = time(NULL) + MINIMISE_SECONDS;
	struct results before = *results;

	if (!nr)
		return;
	opt.ops = nr;
	quiet = true;
	for (uint64_t chunk = nr / 2; chunk > 1; chunk /= 2)
		leave_out(nr, chunk, status, deadline);
	/* What one step needed may go once that step is gone. */
	while (leave_out(nr, 1, status, deadline) && time(NULL) < deadline)
		;
	quiet = false;
	opt.trace = true;
	say("minimised program:\n");
	shadow_run();
	say_only(nr);
	opt.trace = false;
	opt.ops = ops;
	*results = before;
	memset(skip, 0, nr);
}

void print_results(const char *who)
{
	const struct results *r = results;
	uint64_t calls = 0;

	for (int i = 0; i < MM_OP_COUNT; i++)
		calls += r->calls[i];
	for (int i = 0; i < MM_OP_COUNT; i++)
		if (r->calls[i])
			printf("  %-24s %8lu, failed %8lu\n", op_name(i), r->calls[i], r->failed[i]);
	printf("  failed with:");
	for (int i = 0; i < ERRNO_MAX; i++)
		if (r->by_errno[i])
			printf(" %s %lu", strerrorname_np(i), r->by_errno[i]);
	printf("\n  %lu touches, %lu forks, %lu stack growths, %lu limits set or lifted\n",
	       r->touches, r->forks, r->grown, r->limits);
	printf("%s, rules %#x: operations %lu, seeds %lu, differences %lu\n", who, rules, r->steps, r->seeds,
	       r->differences);
	printf("  hinged on unseen state: %lu of %lu calls (%.2f %%), guessed wrong: %lu, "
	       "settled by the kernel's list: %lu\n",
	       r->uncertain, calls, calls ? 100.0 * r->uncertain / calls : 0, r->guess_wrong,
	       r->replaced);
	printf("  mmap addresses predicted: %lu, right: %lu (%.2f %%)\n", r->predicted,
	       r->predicted_right, r->predicted ? 100.0 * r->predicted_right / r->predicted : 0);
	fflush(stdout);
}

static int run_seeds(const char *who)
{
	uint64_t first = opt.seed, minimised = 0;
	int worst = RUN_SAME;

	memset(results, 0, sizeof(*results));
	for (uint64_t i = 0; i < opt.nr_seeds; i++) {
		int status;

		opt.seed = first + i;
		results->failed_step = 0;
		status = shadow_run();
		if (status == RUN_SKIPPED)
			return status;
		results->seeds++;
		if (status == RUN_SAME)
			continue;
		worst = status;
		results->differences++;
		if (!opt.no_minimise && minimised++ < MINIMISED_MAX)
			minimise(status);
	}
	opt.seed = first;
	print_results(who);
	return worst;
}

static uint64_t number(const char *arg)
{
	char *end;
	uint64_t value = strtoull(arg, &end, 0);

	if (!*arg || *end) {
		fprintf(stderr, "shadow: not a number: %s\n", arg);
		exit(2);
	}
	return value;
}

static const struct {
	const char *name;
	bool *flag;
} flags[] = {
	{ "--no-query", &opt.no_query }, { "--no-minimise", &opt.no_minimise },
	{ "--trace", &opt.trace }, { "--unprivileged", &opt.unprivileged },
};

static bool parse_flag(const char *arg)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(arg, flags[i].name)) {
			*flags[i].flag = true;
			return true;
		}
	}
	return false;
}

static bool parse_value(const char *arg, const char *value)
{
	if (!strcmp(arg, "--seed"))
		opt.seed = number(value);
	else if (!strcmp(arg, "--seeds"))
		opt.nr_seeds = number(value);
	else if (!strcmp(arg, "--ops"))
		opt.ops = number(value);
	else if (!strcmp(arg, "--only"))
		return opt.no_minimise = parse_only(value);
	else
		return false;
	return true;
}

static void parse_options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (parse_flag(argv[i]))
			continue;
		if (i + 1 < argc && parse_value(argv[i], argv[i + 1])) {
			i++;
			continue;
		}
		fprintf(stderr, "usage: shadow [--seed N] [--seeds N] [--ops N] [--only LIST]\n"
			"              [--no-query] [--unprivileged] [--no-minimise] [--trace]\n");
		exit(2);
	}
	if (opt.ops > STEPS_MAX)
		opt.ops = STEPS_MAX;
}

int main(int argc, char **argv)
{
	bool root = geteuid() == 0;
	int status, err;

	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	skip = mmap(NULL, STEPS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || skip == MAP_FAILED)
		return RUN_SKIPPED;
	parse_options(argc, argv);
	if (kernel_open()) {
		printf("skip: /proc/self/maps can't be opened\n");
		return RUN_SKIPPED;
	}
	if (!kernel_has_query())
		opt.no_query = true;
	if (kmaps_init(opt.no_query)) {
		printf("skip: /proc/self/maps can't be opened\n");
		return RUN_SKIPPED;
	}
	rules = rules_probe() | rules_settings();
	task_size = rules_task_size();
	err = objects_init();
	if (err) {
		printf("skip: no scratch files here: %s\n", strerror(-err));
		return RUN_SKIPPED;
	}
	status = run_seeds(root && !opt.unprivileged ? "root" : "unprivileged");
	if (!status && root && !opt.unprivileged) {
		opt.unprivileged = true;
		status = run_seeds("unprivileged");
	}
	objects_fini();
	return status;
}
