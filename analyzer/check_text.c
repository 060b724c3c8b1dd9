/* SPDX-License-Identifier: MIT */
/* Findings for people. */
#include <string.h>

#include "check_run.h"
#include "out.h"

static const enum out_colour colours[NR_SEVERITIES] = { OUT_PLAIN, OUT_DIM, OUT_YELLOW, OUT_RED };

static void print_finding(const struct check_finding *f, bool colour, FILE *out)
{
	size_t i;

	fputs("  ", out);
	out_colour(out, colour, colours[f->severity]);
	fputs(severity_names[f->severity], out);
	out_colour(out, colour, OUT_PLAIN);
	fputc(' ', out);
	out_colour(out, colour, OUT_BOLD);
	fputs(rule_infos[f->rule].name, out);
	out_colour(out, colour, OUT_PLAIN);
	if (f->region) {
		fputs("  ", out);
		out_name(out, f->region);
	}
	fprintf(out, "\n      %s\n      ", rule_infos[f->rule].text);
	out_name(out, f->before);
	fputs(" -> ", out);
	out_name(out, f->after);
	fputc('\n', out);
	for (i = 0; f->site && i < f->site->nr_frames; i++) {
		fprintf(out, "        #%-2zu ", i);
		out_name(out, f->site->frames[i]);
		fputc('\n', out);
	}
	out_colour(out, colour, OUT_DIM);
	fputs("      to accept: ", out);
	out_name(out, f->accept);
	out_colour(out, colour, OUT_PLAIN);
	fputc('\n', out);
}

static void print_count(size_t nr, const char *what, const char *end, FILE *out)
{
	fprintf(out, "%zu %s%s%s", nr, what, nr == 1 ? "" : "s", end);
}

void check_text(const struct check *c, const struct check_context *ctx, FILE *out)
{
	const char *program = NULL;
	size_t i;

	for (i = 0; i < c->nr; i++) {
		const struct check_finding *f = &c->findings[i];

		if (!program || strcmp(program, f->program)) {
			program = f->program;
			out_name(out, program);
			fputs(":\n", out);
		}
		print_finding(f, ctx->colour, out);
	}
	fputs("check: ", out);
	out_colour(out, ctx->colour, check_is_failed(c, ctx) ? OUT_RED : OUT_GREEN);
	fputs(check_is_failed(c, ctx) ? "regression" : "clean", out);
	out_colour(out, ctx->colour, OUT_PLAIN);
	fputs(": ", out);
	print_count(c->count[SEVERITY_ERROR], "error", ", ", out);
	print_count(c->count[SEVERITY_WARNING], "warning", ", ", out);
	print_count(c->count[SEVERITY_NOTE], "note", " in ", out);
	print_count(c->nr_programs, "program", "", out);
	fputs(ctx->baseline ? "\n" : ", no baseline\n", out);
}
