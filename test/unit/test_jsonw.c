/* SPDX-License-Identifier: MIT */
/* The recorder's JSON writer: what it writes, jansson reads; what does not fit is not written. */
#include "jsonw.h"

#include <jansson.h>
#include <stdlib.h>

#include "check.h"

static char buf[4096];

/* End the event and parse it; NULL if it is not one JSON object on one line. */
static json_t *parse(struct jsonw *w)
{
	size_t len = jsonw_event_end(w);
	json_t *doc = json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL);

	CHECK(len && buf[len - 1] == '\n');
	CHECK(len && !memchr(buf, '\n', len - 1));
	return doc;
}

static void test_members(void)
{
	struct jsonw w;
	json_t *doc;

	jsonw_init(&w, buf, sizeof(buf));
	jsonw_event(&w, "call");
	jsonw_num(&w, "min", INT64_MIN);
	jsonw_num(&w, "max", INT64_MAX);
	jsonw_hex(&w, "addr", 0x7ffff7fc0000);
	jsonw_hex(&w, "zero", 0);
	jsonw_hex(&w, "all", ~0ull);
	jsonw_bool(&w, "yes", true);
	jsonw_null(&w, "none");
	jsonw_array(&w, "list");
	jsonw_num(&w, NULL, 1);
	jsonw_object(&w, NULL);
	jsonw_object_end(&w);
	jsonw_array_end(&w);
	doc = parse(&w);
	CHECK_STR(json_string_value(json_object_get(doc, "ev")), "call");
	CHECK(json_integer_value(json_object_get(doc, "min")) == INT64_MIN);
	CHECK(json_integer_value(json_object_get(doc, "max")) == INT64_MAX);
	CHECK_STR(json_string_value(json_object_get(doc, "addr")), "0x7ffff7fc0000");
	CHECK_STR(json_string_value(json_object_get(doc, "zero")), "0x0");
	CHECK_STR(json_string_value(json_object_get(doc, "all")), "0xffffffffffffffff");
	CHECK(json_is_true(json_object_get(doc, "yes")));
	CHECK(json_is_null(json_object_get(doc, "none")));
	CHECK_EQ(json_array_size(json_object_get(doc, "list")), 2);
	json_decref(doc);
}

static void test_text(void)
{
	static const struct {
		const char *bytes, *hex;	/* hex: only for what is not UTF-8 */
	} cases[] = {
		{ "", NULL },
		{ "/usr/lib/a b\\c\"d", NULL },
		{ "tab\tnewline\nescape\033[31m\177", NULL },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7", NULL },
		{ "caf\xe9", "636166e9" },
		{ "\xc0\xaf", "c0af" },			/* overlong */
		{ "\xed\xa0\x80", "eda080" },		/* surrogate */
		{ "\xf4\x90\x80\x80", "f4908080" },	/* beyond U+10FFFF */
		{ "cut \xe2\x82", "63757420e282" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jsonw w;
		json_t *doc, *hex;

		jsonw_init(&w, buf, sizeof(buf));
		jsonw_event(&w, "vma");
		jsonw_str(&w, "name", cases[i].bytes);
		doc = parse(&w);
		hex = json_object_get(doc, "name_hex");
		CHECK(json_is_string(json_object_get(doc, "name")));
		if (cases[i].hex)
			CHECK_STR(json_string_value(hex), cases[i].hex);
		else
			CHECK_STR(json_string_value(json_object_get(doc, "name")), cases[i].bytes);
		CHECK_EQ(!hex, !cases[i].hex);
		json_decref(doc);
	}
}

/* With each size from nothing to enough: whole or not at all, and never beyond the end. */
static void test_overflow(void)
{
	size_t size, len = 0;

	for (size = 0; size < 128; size++) {
		struct jsonw w;

		memset(buf, '#', sizeof(buf));
		jsonw_init(&w, buf, size);
		jsonw_event(&w, "module");
		jsonw_str(&w, "path", "/usr/lib/libc.so.6");
		jsonw_hex(&w, "base", 0x7f0000000000);
		len = jsonw_event_end(&w);
		CHECK(len <= size);
		CHECK_EQ(buf[size], '#');
	}
	CHECK(len);
}

int main(void)
{
	test_members();
	test_text();
	test_overflow();
	return test_result();
}
