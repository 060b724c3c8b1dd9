/* SPDX-License-Identifier: MIT */
/*
 * The heap: what several threads did, in the order of time, against a model that keeps every block in
 * an array and copies the figures of all sites at each new peak.
 */
#include "heap.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"

enum { THREADS = 3, SITES = 5, BLOCKS = 64, STEPS = 4000, OPS_A_LINE = 7, STEP_NS = 1000 };

/* No bucket of the series begins between it and the old block's release, 5 ns before. */
#define STEP_TIME(i) ((uint64_t)(i) * STEP_NS + 7)

#define HEADER_WITH(more) "{\"ev\":\"header\",\"version\":1,\"pid\":1,\"ppid\":0,\"exe\":\"/x\"," \
	"\"argv\":[],\"page_size\":4096,\"clock\":{\"start_ns\":0,\"realtime_ns\":0}," more \
	"\"capture\":{\"tier\":\"symbols\"},\"verify\":{\"mode\":\"off\"}}\n"
#define HEADER HEADER_WITH("\"heap\":\"all\",")
#define LINE(tid, t0, ops) \
	"{\"ev\":\"heap\",\"tid\":" #tid ",\"t0\":" #t0 ",\"base\":\"0x0\",\"ops\":[" ops "]}\n"

/* Blocks reach over the addresses of others here: the last one that was given out counts. */
enum { WATCHES = 7 };
#define WATCHED(k) ((uint64_t)(k) * 163 + 5)

struct watched {
	uint64_t addr, size, nr;
	unsigned int site;		/* 0: there was no block */
	bool is_live;
};

struct model {
	struct watched watched[WATCHES];
	uint64_t size[BLOCKS];		/* of the block at address 16 * i */
	unsigned int site[BLOCKS];	/* 0: not allocated */
	uint64_t live[SITES + 1], peak[SITES + 1];
	bool was_live[BLOCKS];
	uint64_t total_after[STEPS + 1];
	uint64_t total, total_peak, allocations, frees, unknown, twice;
};

static void model_free(struct model *m, unsigned int i)
{
	unsigned int k;

	if (!m->site[i]) {
		m->unknown += !m->was_live[i];
		m->twice += m->was_live[i];
		return;
	}
	for (k = 0; k < WATCHES; k++)
		if (m->watched[k].site && m->watched[k].addr == 16 * i)
			m->watched[k].is_live = false;
	m->live[m->site[i]] -= m->size[i];
	m->total -= m->size[i];
	m->site[i] = 0;
	m->frees++;
}

static void model_alloc(struct model *m, unsigned int i, unsigned int site, uint64_t size)
{
	unsigned int k;

	for (k = 0; k < WATCHES; k++) {
		struct watched *w = &m->watched[k];

		if (WATCHED(k) >= 16 * i && WATCHED(k) < 16 * i + size)
			*w = (struct watched){ 16 * i, size, w->nr + 1, site, true };
	}
	m->was_live[i] = true;
	m->site[i] = site;
	m->size[i] = size;
	m->live[site] += size;
	m->total += size;
	m->allocations++;
	if (m->total > m->total_peak) {
		m->total_peak = m->total;
		memcpy(m->peak, m->live, sizeof(m->peak));
	}
}

/* Lines of one thread while they are filled. */
struct writer {
	FILE *out;
	char ops[1024];
	size_t len, nr;
	uint64_t t0, t;
};

static void flush_line(struct writer *w, int tid)
{
	if (w->nr)
		fprintf(w->out, "{\"ev\":\"heap\",\"tid\":%d,\"t0\":%" PRIu64
			",\"base\":\"0x0\",\"ops\":[%s]}\n", tid, w->t0, w->ops);
	w->nr = w->len = 0;
}

/* Begin an operation at @t: its delta is written. */
static void begin_op(struct writer *w, int tid, uint64_t t)
{
	if (w->nr == OPS_A_LINE)
		flush_line(w, tid);
	if (!w->nr)
		w->t0 = w->t = t;
	w->len += snprintf(w->ops + w->len, sizeof(w->ops) - w->len, "%s[%" PRIu64,
			   w->nr++ ? "," : "", t - w->t);
	w->t = t;
}

/* One random step of a random thread, to the model and to the trace. */
static void step(struct model *m, struct writer *writers, unsigned int *seed, uint64_t t)
{
	unsigned int i = rand_r(seed) % BLOCKS, k = rand_r(seed) % BLOCKS;
	unsigned int site = 1 + rand_r(seed) % SITES, size = rand_r(seed) % 1000;
	int tid = rand_r(seed) % THREADS;
	struct writer *w = &writers[tid];
	int n;

	begin_op(w, tid, t);
	if (m->site[i] && !m->site[k] && rand_r(seed) % 2) {
		model_free(m, i);
		model_alloc(m, k, site, size);
		n = snprintf(w->ops + w->len, sizeof(w->ops) - w->len, ",%u,%u,%u,%u,5]", 16 * k,
			     size, site, 16 * i);
	} else if (m->site[i] || !(rand_r(seed) % 16)) {
		model_free(m, i);
		n = snprintf(w->ops + w->len, sizeof(w->ops) - w->len, ",%u]", 16 * i);
	} else {
		model_alloc(m, i, site, size);
		n = snprintf(w->ops + w->len, sizeof(w->ops) - w->len, ",%u,%u,%u]", 16 * i, size,
			     site);
	}
	w->len += n;
}

static void compare(const struct heap *h, const struct model *m)
{
	size_t i;

	CHECK_EQ(h->allocations, m->allocations);
	CHECK_EQ(h->frees, m->frees);
	CHECK_EQ(h->unknown_frees + h->invalid_frees, m->unknown);
	CHECK_EQ(h->double_frees, m->twice);
	CHECK_EQ(h->overwritten, 0);
	CHECK_EQ(h->live_bytes, m->total);
	CHECK_EQ(h->peak_bytes, m->total_peak);
	CHECK_EQ(h->nr_sites, SITES);
	for (i = 0; i < h->nr_sites; i++) {
		CHECK_EQ(h->sites[i].live_bytes, m->live[h->sites[i].stack]);
		CHECK_EQ(h->sites[i].peak_bytes, m->peak[h->sites[i].stack]);
	}
}

/* The series against the totals after each step. */
static void compare_series(const struct heap_series *s, const struct model *m)
{
	uint64_t last = 0;
	size_t i, t;

	CHECK_EQ(s->nr, STEP_TIME(STEPS) / s->width + 1);
	CHECK_EQ(s->nr > HEAP_BUCKETS / 2, true);
	for (i = 0; i < s->nr; i++) {
		uint64_t max = last;

		for (t = 1; t <= STEPS; t++) {
			if (STEP_TIME(t) / s->width != i)
				continue;
			last = m->total_after[t];
			max = last > max ? last : max;
		}
		CHECK_EQ(s->buckets[i].live_bytes, last);
		CHECK_EQ(s->buckets[i].max_live_bytes, max);
	}
	CHECK_EQ(s->buckets[s->nr - 1].allocations, m->allocations);
}

/* What is live after a run, block for block. */
static void compare_blocks(const struct heap *h, const struct model *m)
{
	struct heap_live block;
	size_t pos = 0, nr = 0;
	unsigned int i, live = 0;

	while (heap_next_block(h, &pos, &block)) {
		i = block.addr / 16;
		nr++;
		CHECK_EQ(i < BLOCKS && m->site[i] == block.stack && m->size[i] == block.size, true);
	}
	for (i = 0; i < BLOCKS; i++)
		live += m->site[i] != 0;
	CHECK_EQ(nr, live);
	CHECK_EQ(h->live_blocks, live);
}

static void compare_peak(const struct heap *h, const struct model *m)
{
	uint64_t live[SITES + 1] = { 0 };
	struct heap_live block;
	size_t pos = 0;

	CHECK_EQ(h->live_bytes, m->total_peak);
	while (heap_next_block(h, &pos, &block))
		live[block.stack] += block.size;
	CHECK_EQ(memcmp(live, m->peak, sizeof(live)), 0);
}

static void compare_watches(const struct heap_watch *watches, const struct model *m)
{
	unsigned int k;

	for (k = 0; k < WATCHES; k++) {
		const struct watched *want = &m->watched[k];
		const struct heap_watch *got = &watches[k];

		CHECK_EQ(got->state, !want->site ? HEAP_WATCH_NONE : want->is_live ? HEAP_WATCH_LIVE :
			 HEAP_WATCH_FREED);
		CHECK_EQ(got->addr, want->addr);
		CHECK_EQ(got->size, want->size);
		CHECK_EQ(got->stack, want->site);
		CHECK_EQ(got->nr, want->nr);
		CHECK_EQ(got->state != HEAP_WATCH_FREED || got->freed_t >= got->t, true);
	}
}

static int by_bytes(const void *a, const void *b)
{
	const struct heap_sum *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* A trace through pass 1. */
static void open_trace(struct reader *reader, struct heap *heap, const char *trace, size_t len)
{
	struct record rec;

	heap_init(heap);
	CHECK_EQ(reader_open_memory(reader, "t", trace, len), 0);
	while (reader_next(reader, &rec) > 0)
		heap_locate(heap, &rec);
	CHECK_STR(reader->error, "");
}

static void close_trace(struct reader *reader, struct heap *heap)
{
	heap_fini(heap);
	reader_close(reader);
}

static void test_against_model(unsigned int seed)
{
	struct writer writers[THREADS] = { 0 };
	static struct model model, half;
	struct heap_watch watches[WATCHES] = { 0 };
	struct reader reader;
	struct heap heap;
	char *trace;
	size_t len;
	FILE *out = open_memstream(&trace, &len);
	int i;

	memset(&model, 0, sizeof(model));
	fputs(HEADER, out);
	for (i = 0; i < THREADS; i++)
		writers[i].out = out;
	for (i = 1; i <= STEPS; i++) {
		step(&model, writers, &seed, STEP_TIME(i));
		model.total_after[i] = model.total;
		if (i == STEPS / 2)
			half = model;
	}
	for (i = 0; i < THREADS; i++)
		flush_line(&writers[i], i);
	fclose(out);

	open_trace(&reader, &heap, trace, len);
	for (i = 0; i < WATCHES; i++)
		watches[i].at = WATCHED(i);
	heap.watches = watches;
	heap.nr_watches = WATCHES;
	CHECK_EQ(heap_run_until(&heap, &reader, STEP_TIME(STEPS / 2)), 0);
	compare_watches(watches, &half);
	CHECK_EQ(heap_run(&heap, &reader), 0);
	compare_watches(watches, &model);
	compare(&heap, &model);
	compare_series(&heap.series, &model);
	qsort(heap.sites, heap.nr_sites, sizeof(*heap.sites), by_bytes);
	compare_blocks(&heap, &model);
	CHECK_EQ(heap_run_until(&heap, &reader, STEP_TIME(STEPS / 2)), 0);
	compare(&heap, &half);
	compare_blocks(&heap, &half);
	CHECK_EQ(heap_run_until_peak(&heap, &reader), 0);
	compare_peak(&heap, &model);
	close_trace(&reader, &heap);
	free(trace);
}

static void test_threads(void)
{
	static const char trace[] = HEADER
		LINE(7, 10, "[0,16,100,1],[1,16],[1,16,50,1],[1,32,10,2],[1,16],[1,48,5,2]")
		LINE(8, 20, "[0,32],[1,64,1000,1],[1,80,1,1,64,1],[0,null,9,3]");
	struct reader reader;
	struct heap h;

	open_trace(&reader, &h, trace, strlen(trace));
	CHECK_EQ(heap_run(&h, &reader), 0);
	CHECK_EQ(h.nr_threads, 2);
	CHECK_EQ(h.threads[0].tid, 7);
	CHECK_EQ(h.threads[0].allocations, 4);
	CHECK_EQ(h.threads[0].bytes, 165);
	CHECK_EQ(h.threads[0].frees, 2);
	CHECK_EQ(h.threads[0].live_blocks, 1);
	CHECK_EQ(h.threads[0].live_bytes, 5);
	CHECK_EQ(h.threads[0].peak_bytes, 100);
	CHECK_EQ(h.threads[0].temporary, 1);
	CHECK_EQ(h.threads[1].frees, 2);
	CHECK_EQ(h.threads[1].temporary, 1);
	CHECK_EQ(h.threads[1].failed, 1);
	CHECK_EQ(h.threads[1].live_bytes, 1);
	CHECK_EQ(h.thread_peaks_bytes, 1100);
	CHECK_EQ(h.temporary, 2);
	CHECK_EQ(h.failed, 1);
	CHECK_EQ(h.peak_bytes, 1005);
	CHECK_EQ(h.peak_t, 21);
	CHECK_EQ(h.nr_sites, 3);
	CHECK_EQ(h.sites[0].stack, 1);
	CHECK_EQ(h.sites[0].temporary, 2);
	CHECK_EQ(h.sites[0].frees, 3);
	CHECK_EQ(h.sites[0].freed_bytes, 1150);
	CHECK_EQ(h.sites[0].peak_bytes, 1000);
	CHECK_EQ(h.sites[1].peak_bytes, 5);
	CHECK_EQ(h.sites[2].failed, 1);
	CHECK_EQ(h.classes[10].peak_blocks, 1);
	CHECK_EQ(h.classes[10].live_blocks, 0);
	CHECK_EQ(h.classes[1].live_bytes, 1);
	close_trace(&reader, &h);
}

static void test_findings(void)
{
	static const char trace[] = HEADER
		LINE(7, 10, "[0,16,100,1],[1,16],[1,512,64,3]")
		LINE(8, 20, "[0,16],[1,520],[1,576],[1,511]");
	static const char lost[] = "{\"ev\":\"lost\",\"t\":1,\"what\":\"heap\",\"count\":1}\n";
	char with_lost[sizeof(trace) + sizeof(lost)];
	struct reader reader;
	struct heap h;

	open_trace(&reader, &h, trace, strlen(trace));
	CHECK_EQ(heap_run(&h, &reader), 0);
	CHECK_EQ(h.double_frees, 1);
	CHECK_EQ(h.invalid_frees, 1);
	CHECK_EQ(h.unknown_frees, 2);
	CHECK_EQ(h.frees, 1);
	CHECK_EQ(h.nr_findings, 2);
	CHECK_EQ(h.findings[0].kind, HEAP_DOUBLE_FREE);
	CHECK_EQ(h.findings[0].t, 20);
	CHECK_EQ(h.findings[0].tid, 8);
	CHECK_EQ(h.findings[0].addr, 16);
	CHECK_EQ(h.findings[0].size, 100);
	CHECK_EQ(h.findings[0].stack, 1);
	CHECK_EQ(h.findings[0].block_t, 11);
	CHECK_EQ(h.findings[0].block_tid, 7);
	CHECK_EQ(h.findings[1].kind, HEAP_INVALID_FREE);
	CHECK_EQ(h.findings[1].addr, 520);
	CHECK_EQ(h.findings[1].block, 512);
	CHECK_EQ(h.findings[1].block_t, 12);
	CHECK_EQ(h.findings[1].stack, 3);
	close_trace(&reader, &h);

	snprintf(with_lost, sizeof(with_lost), "%s%s", trace, lost);
	open_trace(&reader, &h, with_lost, strlen(with_lost));
	CHECK_EQ(heap_run(&h, &reader), 0);
	CHECK_EQ(h.double_frees + h.invalid_frees + h.nr_findings, 0);
	CHECK_EQ(h.unknown_frees, 4);
	close_trace(&reader, &h);
}

/* More than can be listed, and more than there is a budget to search for. */
static void test_many_bad_frees(void)
{
	enum { NR = 300000 };
	struct reader reader;
	struct heap h;
	char *trace;
	size_t len;
	FILE *out = open_memstream(&trace, &len);
	int i;

	fputs(HEADER LINE(7, 10, "[0,16,100,1],[0,16]"), out);
	for (i = 0; i < 100; i++)
		fputs(LINE(7, 20, "[0,16]"), out);
	fputs("{\"ev\":\"heap\",\"tid\":7,\"t0\":30,\"base\":\"0x0\",\"ops\":[[0,32]", out);
	for (i = 1; i < NR; i++)
		fputs(i % 100000 ? ",[0,32]" : "]}\n" "{\"ev\":\"heap\",\"tid\":7,\"t0\":30,"
		      "\"base\":\"0x0\",\"ops\":[[0,32]", out);
	fputs("]}\n", out);
	fclose(out);
	open_trace(&reader, &h, trace, len);
	CHECK_EQ(heap_run(&h, &reader), 0);
	CHECK_EQ(h.double_frees, 100);
	CHECK_EQ(h.nr_findings, HEAP_FINDINGS_MAX);
	CHECK_EQ(h.unknown_frees, NR);
	CHECK_EQ(h.unchecked_frees > 0 && h.unchecked_frees < NR, true);
	close_trace(&reader, &h);
	free(trace);
}

static void check_near(double got, double want)
{
	CHECK_EQ(fabs(got - want) < 1e-6 * (1 + fabs(want)), true);
}

static void test_sample(void)
{
	static const char trace[] = HEADER_WITH("\"heap\":\"sample\",\"heap_sample\":100,")
		LINE(7, 10, "[0,16,100,1],[1,32,100,1],[1,48,0,2],[1,16],[1,32],[0,32]");
	double p = 1 - exp(-1), p0 = 1 - exp(-0.01);
	const struct heap_estimate *e;
	struct reader reader;
	struct heap h;

	open_trace(&reader, &h, trace, strlen(trace));
	CHECK_EQ(heap_run(&h, &reader), 0);
	CHECK_EQ(h.double_frees, 0);
	CHECK_EQ(h.unknown_frees, 1);
	e = h.sites[0].estimate;
	check_near(e->value[HEAP_ALLOCATIONS], 2 / p);
	check_near(e->value[HEAP_BYTES], 200 / p);
	check_near(e->variance[HEAP_ALLOCATIONS], 2 * (1 - p) / (p * p));
	check_near(e->variance[HEAP_BYTES], 2 * 100 * 100 * (1 - p) / (p * p));
	check_near(e->value[HEAP_PEAK_BYTES], 200 / p);
	check_near(e->value[HEAP_LIVE_BYTES], 0);
	check_near(e->variance[HEAP_LIVE_BYTES], 0);
	check_near(h.sites[1].estimate->value[HEAP_LIVE_BLOCKS], 1 / p0);
	check_near(h.estimate.value[HEAP_ALLOCATIONS], 2 / p + 1 / p0);
	check_near(h.estimate.value[HEAP_PEAK_BYTES], 200 / p);
	check_near(h.threads[0].estimate->value[HEAP_PEAK_BYTES], 200 / p);
	check_near(h.classes[7].estimate->value[HEAP_BYTES], 200 / p);
	CHECK_EQ(h.peak_bytes, 200);
	CHECK_EQ(h.peak_t, 11);
	close_trace(&reader, &h);
}

/* The table of blocks, as it grows and forgets, against an array. */
static void test_blocks(void)
{
	enum { ADDRESSES = 20000 };
	static bool is_live[ADDRESSES];
	unsigned int seed = 1, i, k;
	struct heap_blocks b;

	heap_blocks_init(&b);
	for (i = 0; i < 40 * ADDRESSES && !check_status(); i++) {
		/* From few live blocks to many and back. */
		unsigned int k_max = ADDRESSES * (1 + i / ADDRESSES % 20) / 20;
		uint64_t addr = (k = rand_r(&seed) % k_max) * 48;
		struct heap_block *block = heap_blocks_find(&b, addr);

		CHECK_EQ(block->state == BLOCK_LIVE && block->addr == addr, is_live[k]);
		if (is_live[k]) {
			block->state = BLOCK_FREED;
		} else {
			block = heap_blocks_put(&b, addr);
			CHECK_EQ(block->addr, addr);
			block->state = BLOCK_LIVE;
		}
		is_live[k] = !is_live[k];
	}
	for (k = 0; k < ADDRESSES; k++)
		CHECK_EQ(heap_blocks_find(&b, k * 48)->state == BLOCK_LIVE, is_live[k]);
	heap_blocks_fini(&b);
}

int main(void)
{
	unsigned int seed;

	for (seed = 1; seed <= 20 && !check_status(); seed++)
		test_against_model(seed);
	test_threads();
	test_findings();
	test_many_bad_frees();
	test_sample();
	test_blocks();
	return check_status();
}
