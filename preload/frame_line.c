/* SPDX-License-Identifier: MIT */
/* One line at a time in the recorder's buffer: where it ends, and its sums, are known at the end. */
#include "frame_line.h"

#include <string.h>

#include <vmtrace/mm.h>

#include "pagemap.h"
#include "recorder.h"
#include "sink.h"

#include "no_heap.h"

#define SUMS_BYTES 256u				/* of a line, behind the runs */
#define RUN_BYTES (1 + JSONW_NUMS * 21)		/* at most */
/* Four lines fill a chunk of the output, almost. */
#define RUNS_BYTES (SINK_CHUNK / 4 - SUMS_BYTES - RUN_BYTES)

static struct line {
	struct jsonw *w;
	const struct vma *vma;
	uint64_t end, number;		/* behind the last run */
	uint32_t class_id;
	bool has_runs;
	struct frame_sums sums;
} line;

static struct frame_sums sums;

void frame_line_reset(void)
{
	sums = (struct frame_sums){ 0 };
	memset(&line, 0, sizeof(line));
}

struct frame_sums frame_line_sums(void)
{
	return sums;
}

static void begin_at(const struct vma *vma, uint64_t start)
{
	struct jsonw *w = recorder_writer();

	memset(&line, 0, sizeof(line));
	line.w = w;
	line.vma = vma;
	line.end = start;
	jsonw_event(w, "frames");
	jsonw_str(w, "pfn", pagemap_has_pfns() ? "visible" : "hidden");
	jsonw_hex(w, "start", start);
	if (vma->own)
		jsonw_bool(w, "own", true);
	jsonw_array(w, "runs");
}

void frame_line_begin(const struct vma *vma)
{
	begin_at(vma, vma->vm_start);
}

static void count_run(const struct frame_run *run)
{
	uint64_t entry = run->class.pagemap;

	if (entry & PM_PRESENT)
		line.sums.resident += run->pages;
	else if (entry & PM_SWAP && !(entry & PM_GUARD))
		line.sums.swapped += run->pages;
}

/* Elements at the end that the reader knows are left out. */
static void put_run(const struct frame_run *run)
{
	int64_t element[] = {
		(int64_t)((run->start - line.end) >> MM_PAGE_SHIFT),
		run->has_number ? (int64_t)(run->number - line.number) : 0,
		(int64_t)run->pages,
		run->class_id,
	};
	unsigned int nr = 4;

	if (run->class_id == line.class_id)
		nr = run->pages != 1 ? 3 : element[1] ? 2 : 1;
	jsonw_nums(line.w, element, nr);
	line.number += (uint64_t)element[1] + run->pages;
	line.class_id = run->class_id;
	line.end = run->start + (run->pages << MM_PAGE_SHIFT);
}

static void close_at(uint64_t end)
{
	struct jsonw *w = line.w;

	if (!line.has_runs)
		return;		/* the writer forgets what was not committed */
	jsonw_array_end(w);
	/* Classes may have been told since the line was begun. */
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_hex(w, "end", end);
	jsonw_num(w, "resident", (int64_t)line.sums.resident);
	jsonw_num(w, "swapped", (int64_t)line.sums.swapped);
	recorder_commit(w);
	sums.resident += line.sums.resident;
	sums.swapped += line.sums.swapped;
}

void frame_line_run(const struct frame_run *run)
{
	if (line.w->len > RUNS_BYTES) {
		close_at(line.end);
		begin_at(line.vma, line.end);
	}
	line.has_runs = true;
	count_run(run);
	put_run(run);
}

void frame_line_end(void)
{
	close_at(line.vma->vm_end);
}
