/* SPDX-License-Identifier: MIT */
/*
 * Findings as JUnit's XML: a suite for each program, a case for each rule that was judged. What does
 * not fail the check is told in the suite's output.
 *
 * There is no one schema. This has what the strict ones demand (Ant's: timestamp, hostname, package,
 * id, properties, system-out, system-err, in that order) and nothing that the lenient ones refuse.
 */
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "check_run.h"
#include "out.h"

/* Names may hold bytes that XML has no way to say: out_name() spells them, this adds XML's own. */
static void put_text(FILE *out, const char *s)
{
	char *text = out_spelt(s), *p;

	for (p = text; *p; p++) {
		const char *entity = *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '>' ? "&gt;" :
				     *p == '"' ? "&quot;" : *p == '\'' ? "&apos;" : NULL;

		/* U+FFFE and U+FFFF are characters to UTF-8, and none to XML. */
		if (!entity && !memcmp(p, "\xef\xbf", strnlen(p, 2)) && p[1] &&
		    ((unsigned char)p[2] == 0xbe || (unsigned char)p[2] == 0xbf)) {
			fprintf(out, "\\xef\\xbf\\x%02x", (unsigned char)p[2]);
			p += 2;
		} else if (entity) {
			fputs(entity, out);
		} else {
			fputc(*p, out);
		}
	}
	alloc_free(text);
}

static bool fails(const struct check_finding *f, const struct check_context *ctx)
{
	return f->severity == SEVERITY_ERROR ||
	       (f->severity == SEVERITY_WARNING && ctx->is_strict);
}

static bool is_of(const struct check_finding *f, const struct check_program *p, int rule)
{
	return !strcmp(f->program, p->name) && (rule < 0 || (int)f->rule == rule);
}

static size_t count_failures(const struct check *c, const struct check_context *ctx,
			     const struct check_program *p, int rule)
{
	size_t i, n = 0;

	for (i = 0; i < c->nr; i++)
		n += fails(&c->findings[i], ctx) && is_of(&c->findings[i], p, rule);
	return n;
}

static void put_finding(const struct check_finding *f, FILE *out)
{
	size_t i;

	put_text(out, f->message);
	fputc('\n', out);
	for (i = 0; f->site && i < f->site->nr_frames; i++) {
		fprintf(out, "  #%zu ", i);
		put_text(out, f->site->frames[i]);
		fputc('\n', out);
	}
	fputs("to accept: ", out);
	put_text(out, f->accept);
	fputc('\n', out);
}

/* One element, however many findings: more than one are not allowed everywhere. */
static void put_failure(const struct check *c, const struct check_context *ctx,
			const struct check_program *p, int rule, FILE *out)
{
	const struct check_finding *first = NULL;
	size_t i;

	for (i = 0; i < c->nr; i++) {
		const struct check_finding *f = &c->findings[i];

		if (!fails(f, ctx) || !is_of(f, p, rule))
			continue;
		if (!first) {
			fputs("\n      <failure message=\"", out);
			put_text(out, f->message);
			fprintf(out, "\" type=\"%s\">", rule_infos[rule].name);
		}
		first = f;
		put_finding(f, out);
	}
	fputs(first ? "</failure>\n    " : "", out);
}

static void put_case(const struct check *c, const struct check_context *ctx,
		     const struct check_program *p, int rule, FILE *out)
{
	fprintf(out, "    <testcase name=\"%s\" classname=\"vmtrace.", rule_infos[rule].name);
	put_text(out, p->name);
	fputs("\" time=\"0\">", out);
	put_failure(c, ctx, p, rule, out);
	fputs("</testcase>\n", out);
}

static size_t count_cases(const struct check_program *p)
{
	size_t n = 0;
	int rule;

	for (rule = 0; rule < NR_RULES; rule++)
		n += p->checked[rule];
	return n;
}

static size_t count_failed_cases(const struct check *c, const struct check_context *ctx,
				 const struct check_program *p)
{
	size_t n = 0;
	int rule;

	for (rule = 0; rule < NR_RULES; rule++)
		n += p->checked[rule] && count_failures(c, ctx, p, rule);
	return n;
}

static void put_suite(const struct check *c, const struct check_context *ctx, size_t id,
		      const char *when, FILE *out)
{
	const struct check_program *p = &c->programs[id];
	size_t i;
	int rule;

	fputs("  <testsuite name=\"", out);
	put_text(out, p->name);
	fprintf(out, "\" id=\"%zu\" package=\"vmtrace\" hostname=\"localhost\" timestamp=\"%s\" "
		     "tests=\"%zu\" failures=\"%zu\" errors=\"0\" time=\"0\">\n    <properties/>\n",
		id, when, count_cases(p), count_failed_cases(c, ctx, p));
	for (rule = 0; rule < NR_RULES; rule++)
		if (p->checked[rule])
			put_case(c, ctx, p, rule, out);
	fputs("    <system-out>", out);
	for (i = 0; i < c->nr; i++) {
		const struct check_finding *f = &c->findings[i];

		if (fails(f, ctx) || !is_of(f, p, -1))
			continue;
		fprintf(out, "%s: ", severity_names[f->severity]);
		put_finding(f, out);
	}
	fputs("</system-out>\n    <system-err/>\n  </testsuite>\n", out);
}

void check_junit(const struct check *c, const struct check_context *ctx, FILE *out)
{
	time_t now = time(NULL);
	char when[32] = "1970-01-01T00:00:00";
	struct tm tm;
	size_t i;

	if (gmtime_r(&now, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
	for (i = 0; i < c->nr_programs; i++)
		put_suite(c, ctx, i, when, out);
	fputs("</testsuites>\n", out);
}
