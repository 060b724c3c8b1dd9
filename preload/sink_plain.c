/* SPDX-License-Identifier: MIT */
/* Built without libzstd: files are what is recorded, and nothing else. */
#include "sink_zstd.h"

#include "no_heap.h"

bool zsink_is_built_in(void)
{
	return false;
}

size_t zsink_fill_page(char *buf, size_t len)
{
	(void)buf;
	return len;
}

bool zsink_is_on(void)
{
	return false;
}

void zsink_begin(const struct zsink_file *file, int pid)
{
	(void)file, (void)pid;
}

uint64_t zsink_bytes(void)
{
	return 0;
}

char *zsink_chunk(size_t want, size_t *ret_size)
{
	(void)want, (void)ret_size;
	return NULL;
}

char *zsink_last_chunk(size_t *ret_size)
{
	(void)ret_size;
	return NULL;
}

size_t zsink_record_max(void)
{
	return SIZE_MAX;
}

bool zsink_append(const char *buf, size_t len)
{
	(void)buf, (void)len;
	return false;
}

bool zsink_complete(char *chunk, size_t size, size_t len, struct zsink_packer *packer)
{
	(void)chunk, (void)size, (void)len, (void)packer;
	return false;
}

void zsink_leave(char *chunk, size_t size)
{
	(void)chunk, (void)size;
}

void zsink_trim(void)
{
}

struct zsink_packer *zsink_packer_take(void)
{
	return NULL;
}

void zsink_pack(struct zsink_packer *packer, const char *buf, size_t len)
{
	(void)packer, (void)buf, (void)len;
}

void zsink_packer_give(struct zsink_packer *packer)
{
	(void)packer;
}

const char *zsink_pack_record(const char *buf, size_t len, size_t *ret_len)
{
	(void)buf, (void)len, (void)ret_len;
	return NULL;
}

int64_t zsink_pid_of(const char *head, size_t len)
{
	(void)head, (void)len;
	return 0;
}
