/* SPDX-License-Identifier: MIT */
/*
 * The heap: what several threads did, in the order of time, against a model that keeps every block in
 * an array and copies the figures of all sites at each new peak.
 */
#include "heap.h"

#include <stdlib.h>

#include "check.h"

enum { THREADS = 3, SITES = 5, BLOCKS = 64, STEPS = 4000, OPS_A_LINE = 7 };

#define HEADER "{\"ev\":\"header\",\"version\":1,\"pid\":1,\"ppid\":0,\"exe\":\"/x\",\"argv\":[]," \
	"\"page_size\":4096,\"clock\":{\"start_ns\":0,\"realtime_ns\":0}," \
	"\"capture\":{\"tier\":\"symbols\"},\"verify\":{\"mode\":\"off\"}}\n"

struct model {
	uint64_t size[BLOCKS];		/* of the block at address 16 * i */
	unsigned int site[BLOCKS];	/* 0: not allocated */
	uint64_t live[SITES + 1], peak[SITES + 1];
	bool was_live[BLOCKS];
	uint64_t total, total_peak, allocations, frees, unknown, twice;
};

static void model_free(struct model *m, unsigned int i)
{
	if (!m->site[i]) {
		m->unknown += !m->was_live[i];
		m->twice += m->was_live[i];
		return;
	}
	m->live[m->site[i]] -= m->size[i];
	m->total -= m->size[i];
	m->site[i] = 0;
	m->frees++;
}

static void model_alloc(struct model *m, unsigned int i, unsigned int site, uint64_t size)
{
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

static void test_against_model(unsigned int seed)
{
	struct writer writers[THREADS] = { 0 };
	struct model model = { 0 };
	struct reader reader;
	struct record rec;
	struct heap heap;
	char *trace;
	size_t len;
	FILE *out = open_memstream(&trace, &len);
	int i;

	fputs(HEADER, out);
	for (i = 0; i < THREADS; i++)
		writers[i].out = out;
	for (i = 1; i <= STEPS; i++)
		step(&model, writers, &seed, 10 * i);
	for (i = 0; i < THREADS; i++)
		flush_line(&writers[i], i);
	fclose(out);

	heap_init(&heap);
	CHECK_EQ(reader_open_memory(&reader, "t", trace, len), 0);
	while (reader_next(&reader, &rec) > 0)
		if (rec.ev == TRACE_HEAP)
			heap_locate(&heap, &rec);
	CHECK_STR(reader.error, "");
	CHECK_EQ(heap_run(&heap, &reader), 0);
	compare(&heap, &model);
	heap_fini(&heap);
	reader_close(&reader);
	free(trace);
}

int main(void)
{
	unsigned int seed;

	for (seed = 1; seed <= 20 && !check_status(); seed++)
		test_against_model(seed);
	return check_status();
}
