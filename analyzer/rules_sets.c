/* SPDX-License-Identifier: MIT */
/*
 * The built-in sets, as the JSON that `check --print-rules` prints: a user's own set starts from one.
 *
 * `default` compares with the baseline. Its tolerances are what runs of one binary differ by: where
 * heap blocks happen to lie, which arena a thread takes, pages of files that are in the cache. The
 * vdso is the kernel's: another version of that has other pieces, whatever the program does.
 * `hardening` forbids, whatever the baseline has.
 */
#include "rules.h"

#include <string.h>

static const char default_set[] =
"{\n"
"  \"rules_version\": 1,\n"
"  \"extends\": [],\n"
"  \"rules\": [\n"
"    {\"rule\": \"writable-executable\", \"severity\": \"error\"},\n"
"    {\"rule\": \"executable-stack\", \"severity\": \"error\"},\n"
"    {\"rule\": \"executable-heap\", \"severity\": \"error\"},\n"
"    {\"rule\": \"writable-text\", \"severity\": \"error\"},\n"
"    {\"rule\": \"missing-relro\", \"severity\": \"error\"},\n"
"    {\"rule\": \"missing-guard\", \"severity\": \"error\"},\n"
"    {\"rule\": \"deleted-file\", \"severity\": \"error\"},\n"
"    {\"rule\": \"mapping-raw\", \"severity\": \"error\"},\n"
"    {\"rule\": \"library-added\", \"severity\": \"error\"},\n"
"    {\"rule\": \"thread-added\", \"severity\": \"error\", \"tolerance\": {\"absolute\": 0}},\n"
"    {\"rule\": \"permissions\", \"severity\": \"error\"},\n"
"    {\"rule\": \"flags\", \"severity\": \"error\", \"allow\": [{\"role\": \"vdso\"}]},\n"
"    {\"rule\": \"region-added\", \"severity\": \"error\", \"allow\": [{\"role\": \"vdso\"}]},\n"
"    {\"rule\": \"region-split\", \"severity\": \"error\",\n"
"     \"tolerance\": {\"percent\": 10, \"absolute\": 8}},\n"
"    {\"rule\": \"region-more\", \"severity\": \"error\",\n"
"     \"tolerance\": {\"percent\": 10, \"absolute\": 8}},\n"
"    {\"rule\": \"heap-site\", \"severity\": \"error\",\n"
"     \"tolerance\": {\"percent\": 25, \"absolute\": \"64 KiB\"}},\n"
"    {\"rule\": \"region-grown\", \"severity\": \"error\",\n"
"     \"tolerance\": {\"percent\": 10, \"absolute\": \"256 KiB\"}},\n"
"    {\"rule\": \"resident\", \"severity\": \"error\",\n"
"     \"tolerance\": {\"percent\": 10, \"absolute\": \"256 KiB\"}},\n"
"    {\"rule\": \"region-removed\", \"severity\": \"off\"},\n"
"    {\"rule\": \"program-added\", \"severity\": \"warning\"},\n"
"    {\"rule\": \"program-removed\", \"severity\": \"note\"},\n"
"    {\"rule\": \"incomplete\", \"severity\": \"off\"},\n"
"    {\"rule\": \"vmas\", \"tolerance\": {\"percent\": 10, \"absolute\": 8}},\n"
"    {\"rule\": \"vmas-peak\", \"tolerance\": {\"percent\": 10, \"absolute\": 8}},\n"
"    {\"rule\": \"mapped-bytes\", \"tolerance\": {\"percent\": 10, \"absolute\": \"256 KiB\"}},\n"
"    {\"rule\": \"mapped-peak-bytes\", \"tolerance\": {\"percent\": 10, \"absolute\": \"256 KiB\"}},\n"
"    {\"rule\": \"resident-anon-bytes\", \"tolerance\": {\"percent\": 10, \"absolute\": \"256 KiB\"}},\n"
"    {\"rule\": \"resident-file-bytes\", \"tolerance\": {\"percent\": 50, \"absolute\": \"4 MiB\"}},\n"
"    {\"rule\": \"huge-bytes\", \"severity\": \"warning\",\n"
"     \"tolerance\": {\"percent\": 50, \"absolute\": \"4 MiB\"}},\n"
"    {\"rule\": \"page-table-bytes\", \"tolerance\": {\"percent\": 25, \"absolute\": \"128 KiB\"}},\n"
"    {\"rule\": \"heap-thread-peaks-bytes\", \"tolerance\": {\"percent\": 25, \"absolute\": \"1 MiB\"}},\n"
"    {\"rule\": \"heap-live-bytes\", \"tolerance\": {\"percent\": 10, \"absolute\": \"256 KiB\"}},\n"
"    {\"rule\": \"heap-live-blocks\", \"tolerance\": {\"percent\": 25, \"absolute\": 1000}},\n"
"    {\"rule\": \"map-count-share\", \"max\": \"80%\"}\n"
"  ]\n"
"}\n";

static const char hardening_set[] =
"{\n"
"  \"rules_version\": 1,\n"
"  \"extends\": [],\n"
"  \"rules\": [\n"
"    {\"rule\": \"writable-executable\", \"severity\": \"error\", \"always\": true},\n"
"    {\"rule\": \"executable-stack\", \"severity\": \"error\", \"always\": true},\n"
"    {\"rule\": \"executable-heap\", \"severity\": \"error\", \"always\": true},\n"
"    {\"rule\": \"writable-text\", \"severity\": \"error\", \"always\": true},\n"
"    {\"rule\": \"missing-relro\", \"severity\": \"error\", \"always\": true},\n"
"    {\"rule\": \"missing-guard\", \"severity\": \"error\", \"always\": true},\n"
"    {\"rule\": \"deleted-file\", \"severity\": \"error\", \"always\": true}\n"
"  ]\n"
"}\n";

static const struct {
	const char *name, *text;
} sets[] = { { "default", default_set }, { "hardening", hardening_set } };

const char *const rules_set_names[] = { "default", "hardening", NULL };

const char *rules_set_text(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		if (!strcmp(sets[i].name, name))
			return sets[i].text;
	return NULL;
}
