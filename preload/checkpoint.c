/* SPDX-License-Identifier: MIT */
/* A checkpoint: the whole map compared, the shadow's counters beside the kernel's, the frames. */
#include <stdbool.h>
#include <string.h>

#include "arena.h"
#include "capture.h"
#include "clock.h"
#include "config.h"
#include "frames.h"
#include "lock.h"
#include "proc_lines.h"
#include "recorder.h"
#include "sink.h"
#include "sys.h"
#include "thread.h"
#include "verify.h"

#include "no_heap.h"

/* Of /proc/self/smaps_rollup, in KiB. */
struct rollup {
	uint64_t pss, swap_pss, private_clean, private_dirty;
};

/* Lines of /proc/self/status, and what they are in the trace. */
static const struct {
	const char *field, *key;
} status_fields[] = {
	{ "VmSize:", "total_vm_bytes" }, { "VmData:", "data_vm_bytes" },
	{ "VmStk:", "stack_vm_bytes" }, { "VmLck:", "locked_vm_bytes" },
	{ "VmPeak:", "hiwater_vm_bytes" }, { "VmRSS:", "rss_bytes" },
	{ "RssAnon:", "rss_anon_bytes" }, { "RssFile:", "rss_file_bytes" },
	{ "RssShmem:", "rss_shmem_bytes" }, { "VmHWM:", "hiwater_rss_bytes" },
	{ "VmSwap:", "swap_bytes" }, { "VmPTE:", "pgtables_bytes" }, { "Threads:", "threads" },
};
#define NR_STATUS (sizeof(status_fields) / sizeof(status_fields[0]))
#define STATUS_PEAK 4	/* VmPeak */

static struct status {
	uint64_t value[NR_STATUS];	/* bytes, or the bare number */
	bool known[NR_STATUS];
} kernel;

static void take_status(char *line, void *ctx)
{
	struct status *st = ctx;
	uint64_t value;
	size_t i;

	for (i = 0; i < NR_STATUS; i++) {
		if (!proc_number(line, status_fields[i].field, &value))
			continue;
		st->value[i] = strstr(line, " kB") ? value * 1024 : value;
		st->known[i] = true;
	}
}

/* What was mapped at most before the shadow began. */
static void adopt_peak(struct mm *mm)
{
	uint64_t peak = kernel.value[STATUS_PEAK] >> MM_PAGE_SHIFT;

	if (peak > mm->hiwater_vm)
		mm->hiwater_vm = peak;
}

static void put_shadow(struct jsonw *w, const struct mm *mm)
{
	jsonw_object(w, "shadow");
	jsonw_num(w, "map_count", mm->map_count);
	jsonw_num(w, "map_count_peak", mm->map_count_peak);
	jsonw_num(w, "total_vm_bytes", (int64_t)(mm->total_vm << MM_PAGE_SHIFT));
	jsonw_num(w, "data_vm_bytes", (int64_t)(mm->data_vm << MM_PAGE_SHIFT));
	jsonw_num(w, "exec_vm_bytes", (int64_t)(mm->exec_vm << MM_PAGE_SHIFT));
	jsonw_num(w, "stack_vm_bytes", (int64_t)(mm->stack_vm << MM_PAGE_SHIFT));
	jsonw_num(w, "locked_vm_bytes", (int64_t)(mm->locked_vm << MM_PAGE_SHIFT));
	jsonw_num(w, "hiwater_vm_bytes", (int64_t)(mm->hiwater_vm << MM_PAGE_SHIFT));
	jsonw_hex(w, "start_brk", mm->start_brk);
	jsonw_hex(w, "brk", mm->brk);
	jsonw_num(w, "mm_users", mm->mm_users);
	jsonw_num(w, "find_vma_calls", (int64_t)mm->find_vma_calls);
	jsonw_num(w, "find_vma_cache_hits", (int64_t)mm->find_vma_cache_hits);
	jsonw_num(w, "predicted", (int64_t)mm->nr_predicted);
	jsonw_num(w, "predicted_right", (int64_t)mm->nr_predicted_right);
	jsonw_num(w, "uncertain", (int64_t)mm->nr_uncertain);
	jsonw_object_end(w);
}

static void take_rollup(char *line, void *ctx)
{
	struct rollup *r = ctx;

	(void)(proc_number(line, "Pss:", &r->pss) || proc_number(line, "SwapPss:", &r->swap_pss) ||
	       proc_number(line, "Private_Clean:", &r->private_clean) ||
	       proc_number(line, "Private_Dirty:", &r->private_dirty));
}

static void put_rollup(struct jsonw *w)
{
	struct rollup r = { 0 };

	if (proc_lines("/proc/self/smaps_rollup", take_rollup, &r))
		return;
	jsonw_num(w, "pss_bytes", (int64_t)r.pss * 1024);
	jsonw_num(w, "uss_bytes", (int64_t)(r.private_clean + r.private_dirty) * 1024);
	jsonw_num(w, "swap_pss_bytes", (int64_t)r.swap_pss * 1024);
}

/* Lines of maps, [vsyscall] not counted, as the verifier saw them a moment ago. */
static void put_kernel(struct jsonw *w, const struct mm *mm, unsigned int map_count, bool frames)
{
	size_t i;

	jsonw_object(w, "kernel");
	jsonw_num(w, "map_count", map_count);
	for (i = 0; i < NR_STATUS; i++) {
		if (kernel.known[i])
			jsonw_num(w, status_fields[i].key, (int64_t)kernel.value[i]);
	}
	if (frames)
		put_rollup(w);
	/* start_brk is published at start only, in stat; the break at any time, by brk(0). */
	jsonw_hex(w, "start_brk", mm->start_brk);
	jsonw_hex(w, "brk", sys_brk(0));
	jsonw_object_end(w);
}

void checkpoint_record(const char *why, bool frames, uint64_t seq)
{
	bool start = !strcmp(why, "start"), final = start || !strcmp(why, "end");
	struct jsonw *w;

	recorder_flush_lost();
	verify_catch_up(&capture_mm, seq);
	w = recorder_writer();
	jsonw_event(w, "checkpoint");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_str(w, "why", why);
	jsonw_num(w, "drift_ns", clock_drift());
	recorder_commit(w);
	if (config.verify >= VERIFY_CHECKPOINT || (config.verify == VERIFY_FINAL && final))
		verify_all(&capture_mm, why, seq);
	if (frames)
		frames = frames_prepare();
	kernel = (struct status){ .known = { false } };
	(void)proc_lines("/proc/self/status", take_status, &kernel);
	if (start)
		adopt_peak(&capture_mm);
	w = recorder_writer();
	jsonw_event(w, "mm");
	jsonw_num(w, "t", (int64_t)recorder_now());
	put_shadow(w, &capture_mm);
	put_kernel(w, &capture_mm, verify_nr_vmas(), frames);
	recorder_commit(w);
	if (frames)
		frames_record(&capture_mm);
}

static void put_cost(struct jsonw *w)
{
	jsonw_object(w, "cost");
	jsonw_num(w, "trace_bytes", (int64_t)sink_bytes());
	jsonw_num(w, "resident_bytes", (int64_t)arena_resident());
	jsonw_object_end(w);
}

void capture_finish(const char *how, int status)
{
	struct lock_state state;
	struct jsonw *w;

	tls.depth++;
	lock_take(&state);
	thread_flush_all();
	capture_checkpoint("end", config.frames != FRAMES_OFF);
	recorder_flush_lost();
	w = recorder_writer();
	jsonw_event(w, "end");
	jsonw_num(w, "t", (int64_t)recorder_now());
	jsonw_str(w, "how", how);
	jsonw_num(w, "status", status);
	jsonw_num(w, "events", (int64_t)capture_seq());
	jsonw_num(w, "checks", (int64_t)verify_nr_checks());
	jsonw_num(w, "lost", (int64_t)recorder_nr_lost());
	put_cost(w);
	recorder_commit(w);
	capture_tell_own_calls(recorder_now());
	recorder_trim();
	if (!strcmp(how, "_exit"))
		lock_drop_for_end(&state);
	else
		lock_drop(&state);
	tls.depth--;
}
