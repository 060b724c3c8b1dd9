/* SPDX-License-Identifier: MIT */
#include "frames_print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "out.h"

enum {
	COLUMNS = 100,
	INDENT = 4,
	NAME_MAX_SHOWN = 19,
	DEFAULT_MAPPINGS = 10,
};

void frames_print_name(struct trace *tr, const struct phys_vma *vma)
{
	bool is_short = strlen(vma->name) <= NAME_MAX_SHOWN && !vma->own;

	if (*vma->name)
		out_name(tr->out, is_short ? vma->name : out_base_name(vma->name));
	else if (!vma->own)
		fputs("(anonymous)", tr->out);
	if (vma->own)
		fprintf(tr->out, "%s(vmtrace)", *vma->name ? " " : "");
}

/* What there is to say of a mapping, in lines of at most COLUMNS. */
struct list {
	FILE *out;
	size_t column;			/* 0: nothing was said yet */
};

__attribute__((format(printf, 3, 4)))
static void add_item(struct list *list, char separator, const char *format, ...)
{
	char text[200];
	size_t len;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	len = strlen(text) + 2;
	if (list->column)
		fputc(separator, list->out);
	if (list->column && list->column + len < COLUMNS) {
		fputc(' ', list->out);
	} else {
		fprintf(list->out, "\n%*s", INDENT, "");
		list->column = INDENT;
	}
	list->column += len;
	out_name(list->out, text);
}

static void list_what(struct list *list, const struct frames_sum *s)
{
	const struct { const char *name; uint64_t pages; } parts[] = {
		{ "dirty", s->all.dirty }, { "mlocked", s->all.mlocked },
		{ "writeback", s->flags[PAGE_FLAG_WRITEBACK] },
		{ "hwpoison", s->flags[PAGE_FLAG_HWPOISON] },
	};
	char size[OUT_SIZE_MAX];
	size_t i;

	for (i = 0; i < NR_PAGE_KINDS; i++)
		if (s->kind[i].pages)
			add_item(list, ',', "%s %s", page_kind_names[i],
				 frames_size(size, s->kind[i].pages));
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].pages)
			add_item(list, ';', "%s %s", parts[i].name,
				 frames_size(size, parts[i].pages));
}

static void list_where(struct list *list, const struct physmap *map, const struct frames_sum *s)
{
	char size[OUT_SIZE_MAX];
	size_t i;

	for (i = 0; i < map->nr_zones; i++)
		if (s->zones[i])
			add_item(list, ';', "node %u %s %s", map->zones[i].rec.node, map->zones[i].name,
				 frames_size(size, s->zones[i]));
	if (s->zones[i] && map->nr_zones)
		add_item(list, ';', "no zone %s", frames_size(size, s->zones[i]));
}

static void list_contig(struct list *list, const struct frames_contig *c)
{
	char size[OUT_SIZE_MAX], orders[100];
	size_t len = 0;
	int i;

	if (!c->nr_runs)
		return;
	if (c->nr_runs == 1) {
		add_item(list, ';', "in 1 run of frames");
		return;
	}
	for (i = 0; i < CONTIG_ORDERS; i++)
		if (c->runs[i] && len < sizeof(orders))
			len += snprintf(orders + len, sizeof(orders) - len, " %d:%" PRIu64, i,
					c->runs[i]);
	add_item(list, ';', "in %" PRIu64 " runs of frames, largest %s, by order%s", c->nr_runs,
		 frames_size(size, c->largest[0].pages), orders);
}

static void list_not_huge(struct list *list, const struct frames_thp *thp)
{
	char size[OUT_SIZE_MAX];
	int i;

	/* That a small mapping is small shows in its first line. */
	for (i = THP_TOO_SMALL + 1; i < NR_THP_REASONS; i++)
		if (thp->pages[i])
			add_item(list, ';', "not huge (%s) %s", thp_reason_names[i],
				 frames_size(size, thp->pages[i]));
}

static void print_mapping(struct trace *tr, const struct frames_view *v, const struct phys_vma *vma,
			  const struct frames_sum *s)
{
	struct list list = { tr->out, 0 };
	char size[OUT_SIZE_MAX];

	fprintf(tr->out, "%012" PRIx64 "-%012" PRIx64 " %c%c%c%c", vma->start, vma->end,
		vma->vm_flags & VM_READ ? 'r' : '-', vma->vm_flags & VM_WRITE ? 'w' : '-',
		vma->vm_flags & VM_EXEC ? 'x' : '-', vma->vm_flags & VM_MAYSHARE ? 's' : 'p');
	fprintf(tr->out, " %10s", frames_size(size, s->all.pages));
	fprintf(tr->out, " %10s", s->nr_no_mapcount ? "-" : out_size(size, s->all.pss_bytes));
	fprintf(tr->out, " %10s", frames_size(size, s->all.uss));
	fprintf(tr->out, " %10s  ", s->nr_no_huge ? "-" : frames_size(size, s->all.huge));
	frames_print_name(tr, vma);
	list_what(&list, s);
	list_where(&list, &v->maps.now, s);
	list_contig(&list, &s->contig);
	list_not_huge(&list, &s->thp);
	fputc('\n', tr->out);
}

static void print_left_out(struct trace *tr, size_t nr_smaller, size_t nr_own)
{
	if (nr_smaller)
		fprintf(tr->out, "%zu smaller ones (--limit 0 shows all)", nr_smaller);
	if (nr_own)
		fprintf(tr->out, "%s%zu of vmtrace's (--own shows them)", nr_smaller ? ", " : "", nr_own);
	if (nr_smaller || nr_own)
		fputc('\n', tr->out);
}

void frames_print_mappings(struct trace *tr, const struct frames_view *v)
{
	uint64_t limit = tr->opt->has_limit ? tr->opt->limit : DEFAULT_MAPPINGS;
	const struct physmap *map = &v->maps.now;
	size_t i, nr = 0, nr_smaller = 0, nr_own = 0;
	struct frames_sum sum;

	fprintf(tr->out, "\n%-30s %10s %10s %10s %10s\n", "mappings, largest first", "resident", "PSS",
		"USS", "huge");
	frames_sum_init(&sum, &v->source);
	for (i = 0; i < map->nr_vmas; i++) {
		const struct phys_vma *vma = &map->vmas[v->ranks[i].vma];

		if (vma->own && !tr->opt->own) {
			nr_own++;
		} else if (limit && nr == limit) {
			nr_smaller++;
		} else {
			frames_sum_reset(&sum, &v->source);
			frames_sum_vma(&sum, &v->source, vma);
			print_mapping(tr, v, vma, &sum);
			nr++;
		}
	}
	frames_sum_fini(&sum);
	print_left_out(tr, nr_smaller, nr_own);
}
