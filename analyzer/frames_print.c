/* SPDX-License-Identifier: MIT */
/*
 * The view of frames for people: the whole first, then the mappings, then why it is so.
 */
#include "frames_print.h"

#include <inttypes.h>

#include "json.h"
#include "out.h"

enum { DIFFERENCES_MAX = 20 };

const char *frames_size(char *buf, uint64_t pages)
{
	return out_size(buf, frames_bytes(pages));
}

static void print_figure(struct trace *tr, const struct frames_view *v, const char *label,
			 bool is_known, uint64_t bytes, enum rec_figure figure)
{
	const struct rec_figures *f = &v->maps.now.kernel;
	char own[OUT_SIZE_MAX] = "-", kernel[OUT_SIZE_MAX] = "-";

	if (is_known)
		out_size(own, bytes);
	if (figure < NR_FIGURES && f->known[figure])
		out_size(kernel, f->value[figure]);
	fprintf(tr->out, "%-10s %11s %11s", label, own, kernel);
}

static void print_resident(struct trace *tr, const struct frames_view *v)
{
	const struct frames_sum *s = &v->all;
	char size[OUT_SIZE_MAX];

	print_figure(tr, v, "resident", true, frames_bytes(s->all.pages), FIGURE_rss_bytes);
	fprintf(tr->out, "  %" PRIu64 " pages", s->all.pages);
	if (s->all.pages != s->rss)
		fprintf(tr->out, "; %s is no RSS: zero page, hugetlb, special",
			frames_size(size, s->all.pages - s->rss));
	else if (s->nr_no_flags)
		fputs("; the zero page, which is no RSS, is among them", tr->out);
	fputc('\n', tr->out);
	print_figure(tr, v, "swapped", true, frames_bytes(s->swapped), FIGURE_swap_bytes);
	fputc('\n', tr->out);
}

static void print_figures(struct trace *tr, const struct frames_view *v)
{
	const struct frames_sum *s = &v->all;
	char size[OUT_SIZE_MAX];

	fprintf(tr->out, "%-10s %11s %11s\n", "", "by pages", "by kernel");
	print_resident(tr, v);
	print_figure(tr, v, "PSS", !s->nr_no_mapcount, s->all.pss_bytes, FIGURE_pss_bytes);
	if (s->nr_no_mapcount)
		fputs("  mapcounts are not known", tr->out);
	fputc('\n', tr->out);
	print_figure(tr, v, "USS", true, frames_bytes(s->all.uss), FIGURE_uss_bytes);
	fputs("  mapped here only\n", tr->out);
	print_figure(tr, v, "huge", !s->nr_no_huge, frames_bytes(s->all.huge), NR_FIGURES);
	fputs(s->nr_no_huge ? "  not told by kernels before 6.7\n" : "  mapped by PMDs, or above\n",
	      tr->out);
	if (v->own_pages)
		fprintf(tr->out, "%-10s %11s %11s  of these resident\n", "vmtrace's",
			frames_size(size, v->own_pages), "");
}

static void print_scan(struct trace *tr, const struct frames_view *v)
{
	const struct rec_frames_end *end = &v->maps.now.end;
	char a[OUT_SIZE_MAX], b[OUT_SIZE_MAX];

	if (!v->maps.now.has_end) {
		fputs("scan       has no end: more of it may be missing\n", tr->out);
		return;
	}
	fprintf(tr->out, "scan       %.3f ms, %" PRIu64 " page faults", end->ns / 1e6, end->faults);
	if (end->rss_before || end->rss_after)
		fprintf(tr->out, "; RSS %s before, %s after it", frames_size(a, end->rss_before),
			frames_size(b, end->rss_after));
	if (end->rss_after > end->rss_before)
		fprintf(tr->out, " (+%" PRIu64 " pages)", end->rss_after - end->rss_before);
	else if (end->rss_after < end->rss_before)
		fprintf(tr->out, " (-%" PRIu64 " pages)", end->rss_before - end->rss_after);
	fputc('\n', tr->out);
	if (frames_is_incomplete(v))
		fprintf(tr->out, "           it saw %" PRIu64 " resident and %" PRIu64
			" swapped pages: others than are here\n", end->resident, end->swapped);
}

static void print_unreadable(struct trace *tr, const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	const char *why, *separator = "unreadable ";
	void *it = map->unreadable ? js_iter(map->unreadable) : NULL;

	if (it) {
		for (; it; it = js_next(map->unreadable, it)) {
			why = js_str(js_value(it));
			fputs(separator, tr->out);
			out_name(tr->out, js_key(it));
			fputs(" (", tr->out);
			out_name(tr->out, why ? why : "?");
			fputc(')', tr->out);
			separator = ", ";
		}
		fputc('\n', tr->out);
	}
	if (map->nr_left_out)
		fprintf(tr->out, "damaged    %" PRIu64 " lines out of order were left out\n",
			map->nr_left_out);
	if (v->all.nr_untold)
		fprintf(tr->out, "untold     %" PRIu64 " pages are of a class that the trace does not "
			"tell: taken as anonymous\n", v->all.nr_untold);
}

static void print_head(struct trace *tr, const struct frames_view *v)
{
	const struct physmap *map = &v->maps.now;
	char time[OUT_SIZE_MAX];

	out_colour(tr->out, tr->opt->colour, OUT_BOLD);
	fprintf(tr->out, "frames at %s s, checkpoint \"", out_time(time, map->t));
	out_name(tr->out, map->why);
	fprintf(tr->out, "\" after event %" PRIu64, map->seq);
	out_colour(tr->out, tr->opt->colour, OUT_PLAIN);
	fprintf(tr->out, "\npage frame numbers %s\n\n",
		map->pfn_visible ? "visible" : "hidden: CAP_SYS_ADMIN shows them, and with them nodes, "
		"zones, PSS and kinds");
	print_figures(tr, v);
	print_scan(tr, v);
	print_unreadable(tr, v);
}

static void print_kind(struct trace *tr, const struct frames_sum *s, const char *name,
		       const struct frames_kind *kind, bool is_present)
{
	bool known[] = { true, is_present && !s->nr_no_mapcount, is_present,
			 is_present && !s->nr_no_huge, is_present && !s->nr_no_flags,
			 is_present && !s->nr_no_flags };
	uint64_t bytes[] = { frames_bytes(kind->pages), kind->pss_bytes, frames_bytes(kind->uss),
			     frames_bytes(kind->huge), frames_bytes(kind->dirty),
			     frames_bytes(kind->mlocked) };
	char text[OUT_SIZE_MAX];
	size_t i;

	fprintf(tr->out, "%-9s", name);
	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		fprintf(tr->out, " %11s", known[i] ? out_size(text, bytes[i]) : "-");
	fputc('\n', tr->out);
}

static void print_kinds(struct trace *tr, const struct frames_view *v)
{
	const struct frames_sum *s = &v->all;
	int i;

	fprintf(tr->out, "\n%-9s %11s %11s %11s %11s %11s %11s\n", "kind", "size", "PSS", "USS", "huge",
		"dirty", "mlocked");
	for (i = 0; i < NR_PAGE_KINDS; i++)
		if (s->kind[i].pages)
			print_kind(tr, s, page_kind_names[i], &s->kind[i],
				   i != PAGE_KIND_SWAP && i != PAGE_KIND_GUARD);
}

static void print_thp(struct trace *tr, const struct frames_view *v)
{
	const struct frames_thp *thp = &v->all.thp;
	char size[OUT_SIZE_MAX];
	int i;

	if (!thp_total(thp))
		return;
	fprintf(tr->out, "\n%s of anonymous and shared memory is in 4-KiB pages\n",
		frames_size(size, thp_total(thp)));
	for (i = 0; i < NR_THP_REASONS; i++)
		if (thp->pages[i])
			fprintf(tr->out, "%11s  %s: %s\n", frames_size(size, thp->pages[i]),
				thp_reason_names[i], thp_reason_texts[i]);
}

static void print_differences(struct trace *tr, const struct physmap *map)
{
	size_t i;

	if (!map->nr_diffs)
		return;
	fputs("\ndifferences between pages and model\n", tr->out);
	for (i = 0; i < map->nr_diffs && i < DIFFERENCES_MAX; i++) {
		const struct rec_frame_diff *d = &map->diffs[i];

		fprintf(tr->out, "%012" PRIx64 "-%012" PRIx64 "  %s: %" PRIu64 " page%s %s\n", d->start,
			d->end, record_frame_cause_names[d->cause], d->pages, d->pages == 1 ? "" : "s",
			record_frame_cause_texts[d->cause]);
	}
	if (i < map->nr_diffs)
		fprintf(tr->out, "%zu more (--json shows all)\n", map->nr_diffs - i);
}

void frames_print(struct trace *tr, const struct frames_view *v)
{
	print_head(tr, v);
	print_kinds(tr, v);
	frames_print_mappings(tr, v);
	frames_print_topology(tr, v);
	frames_print_contig(tr, v);
	print_thp(tr, v);
	frames_print_churn(tr, v);
	print_differences(tr, &v->maps.now);
}
