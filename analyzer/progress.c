/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "out.h"

#define PATIENCE_NS 1000000000ull	/* before anything is shown */
#define PAUSE_NS 100000000ull		/* between two times */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
	*p = (struct progress){
		.what = what, .total = total, .is_enabled = isatty(STDERR_FILENO),
	};
	if (p->is_enabled)
		p->next_ns = now_ns() + PATIENCE_NS;
}

void progress_at(struct progress *p, uint64_t done)
{
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];
	uint64_t now;

	if (!p->is_enabled)
		return;
	now = now_ns();
	if (now < p->next_ns)
		return;
	p->next_ns = now + PAUSE_NS;
	p->is_shown = true;
	if (p->total)
		fprintf(stderr, "\r\033[Kvmtrace-report: %s %s of %s (%.0f %%)", p->what,
			out_size(a, done), out_size(b, p->total), 100.0 * done / p->total);
	else
		fprintf(stderr, "\r\033[Kvmtrace-report: %s %s", p->what, out_size(a, done));
}

void progress_end(struct progress *p)
{
	if (p->is_shown)
		fputs("\r\033[K", stderr);
	*p = (struct progress){ 0 };
}
