/* SPDX-License-Identifier: MIT */
/*
 * A trace hangs below the one whose process forked it (header.parent), or that ran before an exec
 * under the same pid, or that is the parent by ppid. Among candidates the latest that began before
 * counts; what began earlier never hangs below what began later, so there is no cycle.
 */
#include "tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "out.h"
#include "reader.h"

struct process {
	char *path, *name;
	int64_t pid, ppid;
	uint64_t start;			/* CLOCK_REALTIME, ns */
	bool is_fork, is_exec;
	int parent;			/* index, -1: a root */
};

static bool read_header(const char *path, struct process *p)
{
	struct reader reader;
	struct record rec;
	bool ok;

	if (!strcmp(path, "-"))
		return false;
	ok = !reader_open(&reader, path, false) && reader_next(&reader, &rec) == 1;
	if (ok) {
		const struct rec_header *h = &rec.header;
		const char *exe = h->exe ? h->exe : "?", *slash = strrchr(exe, '/');

		p->path = alloc_string(path);
		p->name = alloc_string(slash && slash[1] ? slash + 1 : exe);
		p->pid = h->pid;
		p->ppid = h->has_parent ? h->parent_pid : h->ppid;
		p->start = h->realtime_ns;
		p->is_fork = h->has_parent;
	}
	reader_close(&reader);
	return ok;
}

static int compare_start(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Processes stand in order of their start: look backwards from @i. */
static void find_parent(struct process *procs, int i)
{
	struct process *p = &procs[i];
	int j;

	p->parent = -1;
	for (j = i - 1; j >= 0 && !p->is_fork; j--) {
		if (procs[j].pid == p->pid) {
			p->parent = j;
			p->is_exec = true;
			return;
		}
	}
	for (j = i - 1; j >= 0; j--) {
		if (procs[j].pid == p->ppid) {
			p->parent = j;
			return;
		}
	}
}

static int depth(const struct process *procs, int i)
{
	int n = 0;

	for (; procs[i].parent >= 0; i = procs[i].parent)
		n++;
	return n;
}

/* Children right behind their parent, without recursion: walk to the next in depth-first order. */
static int next_below(const struct process *procs, int nr, int parent, int after)
{
	int i;

	for (i = after + 1; i < nr; i++)
		if (procs[i].parent == parent)
			return i;
	return -1;
}

static void print_process(const struct process *procs, int i, FILE *out)
{
	const struct process *p = &procs[i];

	fprintf(out, "%*s%s%" PRId64 " ", 2 * depth(procs, i), "", p->is_exec ? "exec " : "",
		p->pid);
	out_name(out, p->name);
	fputs("  ", out);
	out_name(out, p->path);
	fputc('\n', out);
}

static void print_all(const struct process *procs, int nr, FILE *out)
{
	int at = -1, from = -1;

	for (;;) {
		int next = next_below(procs, nr, at, from);

		if (next >= 0) {
			print_process(procs, next, out);
			at = next;
			from = next;
			continue;
		}
		if (at < 0)
			return;
		from = at;
		at = procs[at].parent;
	}
}

void tree_print(char **paths, int nr, FILE *out)
{
	struct process *procs = alloc_array(nr, sizeof(*procs));
	int i, n = 0;

	for (i = 0; i < nr; i++)
		n += read_header(paths[i], &procs[n]);
	qsort(procs, n, sizeof(*procs), compare_start);
	for (i = 0; i < n; i++)
		find_parent(procs, i);
	if (n)
		fputs("processes\n", out);
	print_all(procs, n, out);
	if (n)
		fputc('\n', out);
	for (i = 0; i < n; i++) {
		alloc_free(procs[i].path);
		alloc_free(procs[i].name);
	}
	alloc_free(procs);
}
