/* SPDX-License-Identifier: MIT */
/* The sample of blocks is a Poisson process over bytes, and each sampled block is known once. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "sample.h"

#define NR_THREADS 4
#define NR_BLOCKS 20000

/* In place of the library's own. */
void *arena_alloc(size_t bytes);
int sys_gettid(void);

static void *table;

void *arena_alloc(size_t bytes)
{
	free(table);
	table = calloc(1, bytes);
	return table;
}

int sys_gettid(void)
{
	return 1;
}

/* The share of sampled blocks is 1 - exp(-size / mean), within five standard errors. */
static void test_probability(uint32_t mean)
{
	static const size_t sizes[] = { 0, 1, 8, 100, 512, 4096, 65536, 1 << 20 };
	struct sample s = { .left = 0 };
	size_t i;
	int n, hits, tries = 200000;

	sample_init(mean);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		double p = 1 - exp(-(double)(sizes[i] ? sizes[i] : 1) / mean), error;

		for (n = hits = 0; n < tries; n++)
			hits += sample_hits(&s, sizes[i]);
		error = sqrt(p * (1 - p) * tries) + 1;
		if (!CHECK(fabs(hits - p * tries) < 5 * error))
			fprintf(stderr, "\tmean %u, size %zu: %d hits, not %.0f +- %.0f\n", mean, sizes[i],
				hits, p * tries, error);
	}
}

/* Sizes mixed: the estimate of each is as right as alone. */
static void test_mixed(void)
{
	struct sample s = { .left = 0 };
	double estimate[2] = { 0, 0 };
	const size_t sizes[2] = { 24, 10000 };
	int n, tries = 400000;

	sample_init(4096);
	for (n = 0; n < tries; n++) {
		if (sample_hits(&s, sizes[n & 1]))
			estimate[n & 1] += 1 / (1 - exp(-(double)sizes[n & 1] / 4096));
	}
	CHECK(fabs(estimate[0] / (tries / 2) - 1) < 0.15);
	CHECK(fabs(estimate[1] / (tries / 2) - 1) < 0.01);
}

/* Addresses of one thread, which others don't have; many fall into the same bucket. */
static void *insert_and_remove(void *arg)
{
	uint64_t base = 0x7f0000000000ull + (uint64_t)(uintptr_t)arg * 0x100000000ull, i;
	uint64_t bad = 0;
	int round;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < NR_BLOCKS; i++)
			bad += !sample_insert(base + i * 48);
		for (i = 0; i < NR_BLOCKS; i++)
			bad += sample_remove(base + i * 48 + 16);
		for (i = 0; i < NR_BLOCKS; i++)
			bad += !sample_remove(base + i * 48);
		for (i = 0; i < NR_BLOCKS; i += 7)
			bad += sample_remove(base + i * 48);
	}
	return (void *)(uintptr_t)bad;
}

static void test_table(void)
{
	pthread_t threads[NR_THREADS];
	void *bad;
	uintptr_t i;

	sample_init(1);
	for (i = 0; i < NR_THREADS; i++)
		pthread_create(&threads[i], NULL, insert_and_remove, (void *)i);
	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], &bad);
		CHECK_EQ((uintptr_t)bad, 0);
	}
}

/* A full table says so, and loses nothing of what it has. */
static void test_full(void)
{
	uint64_t addr, nr = 0;

	sample_init(1u << 30);
	for (addr = 0x1000; nr < 1 << 20 && sample_insert(addr); addr += 16)
		nr++;
	CHECK(nr > 20000 && nr < 1 << 20);
	for (addr = 0x1000; nr; addr += 16, nr--)
		CHECK(sample_remove(addr));
}

int main(void)
{
	test_probability(1);
	test_probability(512);
	test_probability(524288);
	test_mixed();
	test_table();
	test_full();
	free(table);
	return test_result();
}
