/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a layout, or as two with a line "---" between them, or as rules: they are refused with
 * a message, or compared, judged and printed in every format without a fault.
 *
 * What must hold besides: what is printed is read again and differs in nothing; a layout is no
 * regression of itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_run.h"
#include "diff.h"
#include "json.h"
#include "layout.h"
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *null;

static _Noreturn void broken(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

static bool read_layout(struct layout *layout, const char *text, size_t len)
{
	char err[1024];

	layout_init(layout);
	if (!layout_add_memory(layout, "memory", text, len, LAYOUT_NO_TRACE, err, sizeof(err)))
		return true;
	if (!*err || layout->nr_programs)
		broken("refused", *err ? "something was taken" : "without a message");
	return false;
}

static void judge(const struct layout *before, const struct layout *after, struct rules *rules)
{
	static void (*const formats[])(const struct check *, const struct check_context *, FILE *) = {
		check_text, check_json, check_junit, check_sarif, check_github,
	};
	struct check_context ctx = { .version = "1", .baseline = before ? "base.json" : NULL };
	struct check check;
	size_t i;

	check_run(&check, before, after, rules);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		formats[i](&check, &ctx, null);
	check_fini(&check);
}

static void compare(const struct layout *before, const struct layout *after)
{
	struct json_t *doc = diff_json(before, after);

	js_print(doc, null, true);
	js_free(doc);
	diff_print_text(before, after, true, null);
}

static void expect_equal(const struct layout *x, const struct layout *y, const char *what)
{
	struct diff diff;
	size_t i;

	for (i = 0; i < x->nr_programs; i++) {
		diff_init(&diff, &x->programs[i], layout_find(y, x->programs[i].name));
		if (diff.nr_items)
			broken(what, diff_kind_names[diff.items[0].kind]);
		diff_fini(&diff);
	}
}

static void print_again(const struct layout *layout)
{
	struct layout again;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		broken("memory", "none");
	layout_print(layout, out);
	fclose(out);
	if (!read_layout(&again, text, len))
		broken("printed", "it is refused");
	expect_equal(layout, &again, "printed");
	layout_fini(&again);
	free(text);
}

static void run_layouts(const char *text, size_t len, struct rules *rules)
{
	const char *line = memmem(text, len, "\n---\n", 5);
	size_t n = line ? (size_t)(line - text) : len;
	struct layout before, after;
	char err[1024];

	if (!read_layout(&before, text, n)) {
		layout_fini(&before);
		return;
	}
	expect_equal(&before, &before, "itself");
	print_again(&before);
	judge(NULL, &before, rules);
	judge(&before, &before, rules);
	if (line && read_layout(&after, line + 5, len - n - 5)) {
		compare(&before, &after);
		judge(&before, &after, rules);
		judge(&after, &before, rules);
		(void)layout_add_memory(&after, "more", text, n, LAYOUT_NO_TRACE, err, sizeof(err));
		print_again(&after);
	}
	if (line)
		layout_fini(&after);
	layout_fini(&before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[1024] = "", *text = malloc(size + 1);
	struct rules rules;

	if (!null)
		null = fopen("/dev/null", "w");
	if (!text || !null)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	rules_init(&rules);
	if (rules_add(&rules, "default", err, sizeof(err)) ||
	    rules_add(&rules, "hardening", err, sizeof(err)))
		broken("rules", err);
	if (memmem(text, size, "rules_version", 13))
		(void)rules_add_text(&rules, "memory", text, err, sizeof(err));
	else
		run_layouts(text, size, &rules);
	rules_fini(&rules);
	free(text);
	return 0;
}
