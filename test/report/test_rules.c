/* SPDX-License-Identifier: MIT */
/*
 * Rules files: what is refused and with which words, and what several entries say together.
 */
#include "rules.h"

#include <errno.h>

#include "check.h"


#define RULES(text) "{\"rules_version\": 1, \"extends\": [], \"rules\": [" text "]}"

static const struct {
	const char *text, *error;	/* what the message begins with */
} refused[] = {
	{ "", "FILE:1: " },
	{ "{\n\"rules_version\": 1,\n", "FILE:3: " },
	{ "[]", "FILE: not an object" },
	{ "{\"rules\": []}", "FILE: \"rules_version\" must be 1" },
	{ "{\"rules_version\": 2, \"rules\": []}", "FILE: rules of version 2; version 1 is known" },
	{ "{\"rules_version\": 1}", "FILE: \"rules\" must be a list" },
	{ "{\"rules_version\": 1, \"rulez\": []}",
	  "FILE: unknown member 'rulez'; did you mean 'rules'?" },
	{ "{\"rules_version\": 1, \"rules_version\": 1, \"rules\": []}", "FILE:1: " },
	{ "{\"rules_version\": 1, \"extends\": 1, \"rules\": []}", "FILE: \"extends\" must be a list" },
	{ "{\"rules_version\": 1, \"extends\": [1], \"rules\": []}", "FILE: extends[0]: not a string" },
	{ "{\"rules_version\": 1, \"extends\": [\"hardening\", \"defualt\"], \"rules\": []}",
	  "FILE: extends[1]: unknown set 'defualt'; did you mean 'default'?" },
	{ RULES("1"), "FILE: rules[0]: not an object" },
	{ RULES("{}"), "FILE: rules[0]: \"rule\" must name a rule" },
	{ RULES("{\"rule\": \"vmsa\", \"max\": 1}"),
	  "FILE: rules[0]: unknown rule 'vmsa'; did you mean 'vmas'?" },
	{ RULES("{\"rule\": \"entirely-different\"}"),
	  "FILE: rules[0]: unknown rule 'entirely-different'" },
	{ RULES("{\"rule\": \"vmas\", \"mx\": 1}"),
	  "FILE: rules[0]: unknown member 'mx'; did you mean 'max'?" },
	{ RULES("{\"rule\": \"vmas\", \"max\": -1}"), "FILE: rules[0]: \"max\" must be a number" },
	{ RULES("{\"rule\": \"vmas\", \"max\": \"1 MiB\"}"), "FILE: rules[0]: \"max\" must be a number" },
	{ RULES("{\"rule\": \"mapped-bytes\", \"max\": \"1 MB\"}"),
	  "FILE: rules[0]: \"max\" must be a number of bytes or a string like \"64 MiB\"" },
	{ RULES("{\"rule\": \"mapped-bytes\", \"max\": \"nan B\"}"), "FILE: rules[0]: \"max\" must" },
	{ RULES("{\"rule\": \"mapped-bytes\", \"max\": \"9999999 TiB\"}"),
	  "FILE: rules[0]: \"max\" must" },
	{ RULES("{\"rule\": \"huge-share\", \"min\": \"x%\"}"),
	  "FILE: rules[0]: \"min\" must be a percentage like \"80%\"" },
	{ RULES("{\"rule\": \"vmas\", \"max\": 1, \"min\": 2}"),
	  "FILE: rules[0]: \"max\" is less than \"min\"" },
	{ RULES("{\"rule\": \"vmas\", \"max\": 5}, {\"rule\": \"vmas\", \"program\": \"a\", \"min\": 6}"),
	  "FILE: rules[1]: \"max\" is less than \"min\"" },
	{ RULES("{\"rule\": \"vmas\", \"max\": 1}, {\"rule\": \"flags\"}, {\"rule\": \"vmas\", \"max\": 2}"),
	  "FILE: rules[2]: vmas is already in rules[0]" },
	{ RULES("{\"rule\": \"flags\", \"program\": \"x\"}, {\"rule\": \"flags\", \"program\": \"x\"}"),
	  "FILE: rules[1]: flags is already in rules[0], for the same programs" },
	{ RULES("{\"rule\": \"flags\", \"severity\": \"off\", \"allow\": [{\"role\": \"jit\"}]}"),
	  "FILE: rules[0]: flags is off: there is nothing to allow" },
	{ RULES("{\"rule\": \"vmas\"}"),
	  "FILE: rules[0]: vmas is a budget without \"max\", \"min\" or \"tolerance\"" },
	{ RULES("{\"rule\": \"huge-share\"}"),
	  "FILE: rules[0]: huge-share is a budget without \"max\", \"min\"" },
	{ RULES("{\"rule\": \"vmas\", \"allow\": [{\"role\": \"jit\"}]}"),
	  "FILE: rules[0]: vmas takes no \"allow\"" },
	{ RULES("{\"rule\": \"flags\", \"tolerance\": \"10%\"}"),
	  "FILE: rules[0]: flags takes no \"tolerance\"" },
	{ RULES("{\"rule\": \"flags\", \"always\": true}"), "FILE: rules[0]: flags takes no \"always\"" },
	{ RULES("{\"rule\": \"deleted-file\", \"max\": 1}"),
	  "FILE: rules[0]: deleted-file takes no \"max\"" },
	{ RULES("{\"rule\": \"heap-site\", \"min\": 1}"), "FILE: rules[0]: heap-site takes no \"min\"" },
	{ RULES("{\"rule\": \"deleted-file\", \"always\": 1}"),
	  "FILE: rules[0]: \"always\" must be true or false" },
	{ RULES("{\"rule\": \"flags\", \"severity\": \"eror\"}"),
	  "FILE: rules[0]: unknown severity 'eror'; did you mean 'error'?" },
	{ RULES("{\"rule\": \"flags\", \"severity\": 1}"),
	  "FILE: rules[0]: \"severity\" must be a string" },
	{ RULES("{\"rule\": \"flags\", \"program\": \"\"}"),
	  "FILE: rules[0]: \"program\" must be a pattern" },
	{ RULES("{\"rule\": \"vmas\", \"tolerance\": 10}"), "FILE: rules[0]: \"tolerance\" must be" },
	{ RULES("{\"rule\": \"vmas\", \"tolerance\": \"10\"}"),
	  "FILE: rules[0]: \"tolerance\" must be a percentage like \"80%\"" },
	{ RULES("{\"rule\": \"vmas\", \"tolerance\": {}}"), "FILE: rules[0]: \"tolerance\" says nothing" },
	{ RULES("{\"rule\": \"vmas\", \"tolerance\": {\"per\": 1}}"),
	  "FILE: rules[0]: unknown member 'per'" },
	{ RULES("{\"rule\": \"flags\", \"allow\": {}}"), "FILE: rules[0]: \"allow\" must be a list" },
	{ RULES("{\"rule\": \"flags\", \"allow\": [1]}"),
	  "FILE: rules[0]: \"allow\" must list objects" },
	{ RULES("{\"rule\": \"flags\", \"allow\": [{}]}"),
	  "FILE: rules[0]: an exemption from everything; set \"severity\" to \"off\"" },
	{ RULES("{\"rule\": \"flags\", \"allow\": [{\"role\": \"jti\"}]}"),
	  "FILE: rules[0]: unknown role 'jti'; did you mean 'jit'?" },
	{ RULES("{\"rule\": \"flags\", \"allow\": [{\"nme\": \"x\"}]}"),
	  "FILE: rules[0]: unknown member 'nme'; did you mean 'name'?" },
};

static void test_refused(void)
{
	struct rules rules;
	char err[600];
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		rules_init(&rules);
		CHECK_EQ(rules_add(&rules, "hardening", err, sizeof(err)), 0);
		*err = '\0';
		CHECK_EQ(rules_add_text(&rules, "FILE", refused[i].text, err, sizeof(err)), -EINVAL);
		if (strncmp(err, refused[i].error, strlen(refused[i].error)))
			CHECK_STR(err, refused[i].error);
		CHECK_EQ(strchr(err, '\n') == NULL, true);
		CHECK_EQ(rules.nr, LAYOUT_NR_FACTS);
		rules_fini(&rules);
	}
}

static void test_sets(void)
{
	struct rules rules;
	char err[600] = "";
	size_t i;

	for (i = 0; rules_set_names[i]; i++) {
		rules_init(&rules);
		CHECK_EQ(rules_add(&rules, rules_set_names[i], err, sizeof(err)), 0);
		CHECK_STR(err, "");
		rules_fini(&rules);
	}
	CHECK_EQ(rules_set_text("nothing") == NULL, true);
	rules_init(&rules);
	CHECK_EQ(rules_add(&rules, "/nonexistent/rules.json", err, sizeof(err)), -EINVAL);
	rules_fini(&rules);
}

/* A file refines the set it extends, and an entry for some programs refines that for all. */
static void test_refine(void)
{
	struct rule_terms terms;
	struct rules rules;
	char err[600] = "";

	rules_init(&rules);
	CHECK_EQ(rules_add_text(&rules, "FILE",
				"{\"rules_version\": 1, \"rules\": ["
				"{\"rule\": \"vmas\", \"severity\": \"warning\", \"max\": 100},"
				"{\"rule\": \"vmas\", \"program\": \"cc*\", \"tolerance\": \"50%\"},"
				"{\"rule\": \"mapped-bytes\", \"max\": \"1.5 MiB\"},"
				"{\"rule\": \"flags\", \"program\": \"as\", \"severity\": \"off\"}]}",
				err, sizeof(err)), 0);
	CHECK_STR(err, "");
	terms = rules_terms(&rules, RULE_vmas, "cc1");
	CHECK_EQ(terms.severity, SEVERITY_WARNING);
	CHECK_EQ(terms.max.value, 100);
	CHECK_EQ(terms.percent.value, 50);
	CHECK_EQ(terms.absolute.value, 8);
	CHECK_EQ(rules_terms(&rules, RULE_vmas, "ld").percent.value, 10);
	CHECK_EQ(rules_terms(&rules, RULE_mapped_bytes, "ld").max.value, 3 << 19);
	CHECK_EQ(rules_terms(&rules, RULE_FLAGS, "as").severity, SEVERITY_OFF);
	CHECK_EQ(rules_terms(&rules, RULE_FLAGS, "ld").severity, SEVERITY_ERROR);
	CHECK_EQ(rules_terms(&rules, RULE_lost, "ld").severity, SEVERITY_OFF);
	rules.percent = (struct rule_number){ true, 0 };
	CHECK_EQ(rules_terms(&rules, RULE_vmas, "cc1").percent.value, 0);
	CHECK_EQ(rules_terms(&rules, RULE_THREAD_ADDED, "cc1").percent.is_set, false);
	rules_fini(&rules);
}

static void test_allow(void)
{
	char *frames[] = { (char *)"mmap (libc.so.6)", (char *)"emit_code (app)" };
	const struct layout_site site = { .frames = frames, .nr_frames = 2 };
	struct rules rules;
	char err[600] = "";

	rules_init(&rules);
	CHECK_EQ(rules_add_text(&rules, "FILE",
				RULES("{\"rule\": \"writable-executable\", \"allow\": ["
				      "{\"role\": \"jit\", \"site\": \"emit_*\"},"
				      "{\"name\": \"lib*.so.1\"}, {\"site\": \"start (app)\"}]}"),
				err, sizeof(err)), 0);
	CHECK_EQ(rules_allow(&rules, RULE_WX, "app", LAYOUT_JIT, "", &site), true);
	CHECK_EQ(rules_allow(&rules, RULE_WX, "app", LAYOUT_ANONYMOUS, "", &site), false);
	CHECK_EQ(rules_allow(&rules, RULE_WX, "app", LAYOUT_JIT, "", NULL), false);
	CHECK_EQ(rules_allow(&rules, RULE_WX, "app", LAYOUT_LIBRARY, "libz.so.1", NULL), true);
	CHECK_EQ(rules_allow(&rules, RULE_WX, "app", LAYOUT_LIBRARY, "libz.so.2", NULL), false);
	CHECK_EQ(rules_allow(&rules, RULE_FLAGS, "app", LAYOUT_JIT, "", &site), false);
	frames[1] = (char *)"start (app)";
	CHECK_EQ(rules_allow(&rules, RULE_WX, "app", LAYOUT_ANONYMOUS, NULL, &site), true);
	rules_fini(&rules);
}

int main(void)
{
	test_refused();
	test_sets();
	test_refine();
	test_allow();
	return check_status();
}
