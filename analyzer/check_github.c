/* SPDX-License-Identifier: MIT */
/*
 * Findings as commands to a GitHub workflow: a line each. What would end the line, or the title, is
 * written as %XX, so that no name can give another command.
 */
#include <string.h>

#include "alloc.h"
#include "check_run.h"
#include "out.h"

static void put_escaped(FILE *out, const char *s, const char *special)
{
	/* What could steer a terminal, or the direction of text, is spelt first. */
	char *text = out_spelt(s), *p;

	for (p = text; *p; p++) {
		if (strchr(special, *p))
			fprintf(out, "%%%02X", (unsigned char)*p);
		else
			fputc(*p, out);
	}
	alloc_free(text);
}

void check_github(const struct check *c, const struct check_context *ctx, FILE *out)
{
	static const char *const commands[NR_SEVERITIES] = { "", "notice", "warning", "error" };
	size_t i;

	(void)ctx;
	for (i = 0; i < c->nr; i++) {
		const struct check_finding *f = &c->findings[i];

		fprintf(out, "::%s title=", commands[f->severity]);
		put_escaped(out, f->program, "%\r\n,:");
		fprintf(out, "%%3A %s::", rule_infos[f->rule].name);
		put_escaped(out, f->message, "%\r\n");
		fputs("%0Ato accept: ", out);
		put_escaped(out, f->accept, "%\r\n");
		fputc('\n', out);
	}
}
