/* SPDX-License-Identifier: MIT */
/*
 * Reads /proc/zoneinfo, /proc/buddyinfo, /sys/devices/system/node and /sys/kernel/slab or /proc/slabinfo.
 *
 * What is not there, or not for us, is named in the line with the error; the rest is told all the same.
 */
#include "topology.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "errnames.h"
#include "jsonw.h"
#include "proc_lines.h"
#include "recorder.h"

#include "no_heap.h"

#define NAME_BYTES 16u
#define ZONES_MAX 64u	/* those beyond are not told */
#define ORDERS_MAX 16u
#define NODE_FOLDER "/sys/devices/system/node/"
#define SLAB_FOLDER "/sys/kernel/slab/"
#define CPUS_BYTES 1024u

static struct zone {
	uint64_t node, start_pfn, spanned, present, managed, nr_free, min, low, high;
	uint64_t buddy[ORDERS_MAX];
	unsigned int nr_orders;
	char name[NAME_BYTES];
} zones[ZONES_MAX];
static unsigned int nr_zones;

/* What could not be read, and why. */
static struct {
	const char *name;
	int err;
} unreadable[4];
static unsigned int nr_unreadable;

static void note(const char *name, int err)
{
	if (!err)
		return;
	unreadable[nr_unreadable].name = name;
	unreadable[nr_unreadable++].err = -err;
}

/* "Node 0, zone   Normal …" -> both, and the rest of the line. Return: NULL if it is another line. */
static char *parse_zone_head(char *line, uint64_t *ret_node, char *ret_name)
{
	char *s = line, *name;
	size_t len;

	if (strncmp(line, "Node ", 5) || !(s = strchr(line, ',')) || strncmp(s, ", zone", 6))
		return NULL;
	s += 6;
	name = proc_word(&s);
	if (!name)
		return NULL;
	len = strlen(name);
	len = len < NAME_BYTES ? len : NAME_BYTES - 1;
	memcpy(ret_name, name, len);
	ret_name[len] = '\0';
	*ret_node = proc_digits(line + 5);
	return s;
}

/*
 * A zone is a few lines among many, the first frame the last of them; one that nothing belongs to
 * has no such line. Behind the zone's own figures stand those of each CPU, by the same names.
 */
static void take_zoneinfo(char *line, void *ctx)
{
	struct zone *zone = ctx;
	uint64_t node;
	char name[NAME_BYTES];

	if (parse_zone_head(line, &node, name)) {
		memset(zone, 0, sizeof(*zone));
		zone->node = node;
		memcpy(zone->name, name, sizeof(name));
	} else if (proc_number(line, "start_pfn:", &zone->start_pfn)) {
		if (zone->spanned && nr_zones < ZONES_MAX)
			zones[nr_zones++] = *zone;
	} else if (!zone->managed) {
		(void)(proc_number(line, "pages free ", &zone->nr_free) ||
		       proc_number(line, "min ", &zone->min) ||
		       proc_number(line, "low ", &zone->low) ||
		       proc_number(line, "high ", &zone->high) ||
		       proc_number(line, "spanned ", &zone->spanned) ||
		       proc_number(line, "present ", &zone->present) ||
		       proc_number(line, "managed ", &zone->managed));
	}
}

static void take_buddyinfo(char *line, void *ctx)
{
	char name[NAME_BYTES], *word, *rest;
	uint64_t node;
	unsigned int i;

	(void)ctx;
	rest = parse_zone_head(line, &node, name);
	if (!rest)
		return;
	for (i = 0; i < nr_zones; i++) {
		if (zones[i].node == node && !strcmp(zones[i].name, name))
			break;
	}
	if (i == nr_zones)
		return;
	while (zones[i].nr_orders < ORDERS_MAX && (word = proc_word(&rest)))
		zones[i].buddy[zones[i].nr_orders++] = proc_digits(word);
}

static void put_zones(struct jsonw *w)
{
	const struct zone *zone;
	unsigned int i;

	jsonw_array(w, "zones");
	for (zone = zones; zone < zones + nr_zones; zone++) {
		jsonw_object(w, NULL);
		jsonw_num(w, "node", (int64_t)zone->node);
		jsonw_str(w, "zone", zone->name);
		jsonw_num(w, "start_pfn", (int64_t)zone->start_pfn);
		jsonw_num(w, "spanned", (int64_t)zone->spanned);
		jsonw_num(w, "present", (int64_t)zone->present);
		jsonw_num(w, "managed", (int64_t)zone->managed);
		jsonw_num(w, "free", (int64_t)zone->nr_free);
		jsonw_num(w, "min", (int64_t)zone->min);
		jsonw_num(w, "low", (int64_t)zone->low);
		jsonw_num(w, "high", (int64_t)zone->high);
		if (zone->nr_orders) {
			jsonw_array(w, "buddy");
			for (i = 0; i < zone->nr_orders; i++)
				jsonw_num(w, NULL, (int64_t)zone->buddy[i]);
			jsonw_array_end(w);
		}
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}

struct node {
	uint64_t total_kib, free_kib;
	char cpus[CPUS_BYTES];
};

/* "Node 0 MemTotal:       24731384 kB" */
static void take_meminfo(char *line, void *ctx)
{
	struct node *node = ctx;
	char *s = line;

	if (!proc_word(&s) || !proc_word(&s))
		return;
	(void)(proc_number(s, "MemTotal:", &node->total_kib) ||
	       proc_number(s, "MemFree:", &node->free_kib));
}

static void take_first_line(char *line, void *ctx)
{
	char *dst = ctx;
	size_t len = strlen(line);

	if (*dst || len >= CPUS_BYTES)
		return;
	memcpy(dst, line, len + 1);
}

static int read_of_node(uint64_t nr, const char *file, void (*take)(char *line, void *ctx), void *ctx)
{
	char path[sizeof(NODE_FOLDER) + 48] = NODE_FOLDER "node";
	size_t len = strlen(path);

	len += jsonw_put_num(path + len, (int64_t)nr);
	memcpy(path + len, file, strlen(file) + 1);
	return proc_lines(path, take, ctx);
}

static int put_node(struct jsonw *w, uint64_t nr)
{
	static struct node node;
	int err;

	memset(&node, 0, sizeof(node));
	err = read_of_node(nr, "/meminfo", take_meminfo, &node);
	if (!err)
		err = read_of_node(nr, "/cpulist", take_first_line, node.cpus);
	jsonw_object(w, NULL);
	jsonw_num(w, "node", (int64_t)nr);
	jsonw_str(w, "cpus", node.cpus);
	if (node.total_kib) {
		jsonw_num(w, "total_bytes", (int64_t)node.total_kib * 1024);
		jsonw_num(w, "free_bytes", (int64_t)node.free_kib * 1024);
	}
	jsonw_object_end(w);
	return err;
}

/* Those of "0-1,3", the file that lists them. */
static void put_nodes(struct jsonw *w)
{
	static char online[CPUS_BYTES];
	int err;
	const char *s = online;
	uint64_t first, last;

	*online = '\0';
	err = proc_lines(NODE_FOLDER "online", take_first_line, online);
	jsonw_array(w, "nodes");
	while (*s >= '0' && *s <= '9') {
		first = last = proc_digits(s);
		while (*s >= '0' && *s <= '9')
			s++;
		if (*s == '-') {
			last = proc_digits(++s);
			while (*s >= '0' && *s <= '9')
				s++;
		}
		for (; first <= last && !w->overflow; first++)
			err = put_node(w, first) ?: err;
		s += *s == ',';
	}
	jsonw_array_end(w);
	note("nodes", err);
}

static const char *const slab_names[] = { "vm_area_struct", "mm_struct", "anon_vma",
					  "anon_vma_chain", "maple_node" };
enum { NR_SLABS = sizeof(slab_names) / sizeof(*slab_names) };

/* Columns of /proc/slabinfo behind the name, and files in a cache's folder. */
enum slab_figure { SLAB_ACTIVE, SLAB_TOTAL, SLAB_OBJECT_BYTES, NR_SLAB_FIGURES };
static const char *const slab_files[NR_SLAB_FIGURES] = { "/objects", "/total_objects", "/slab_size" };

struct slab {
	bool is_known;
	uint64_t figure[NR_SLAB_FIGURES];
};

/* "NAME  <active_objs> <num_objs> <objsize> …" */
static void take_slabinfo(char *line, void *ctx)
{
	struct slab *slabs = ctx;
	char *word[1 + NR_SLAB_FIGURES], *s = line;
	size_t i, f;

	for (i = 0; i < sizeof(word) / sizeof(*word); i++) {
		word[i] = proc_word(&s);
		if (!word[i])
			return;
	}
	for (i = 0; i < NR_SLABS; i++) {
		if (strcmp(word[0], slab_names[i]))
			continue;
		slabs[i].is_known = true;
		for (f = 0; f < NR_SLAB_FIGURES; f++)
			slabs[i].figure[f] = proc_digits(word[1 + f]);
	}
}

/* "1118 N0=1118" */
static void take_figure(char *line, void *ctx)
{
	*(uint64_t *)ctx = proc_digits(line);
}

static int read_slab(const char *name, struct slab *ret)
{
	char path[sizeof(SLAB_FOLDER) + 48] = SLAB_FOLDER;
	size_t len = strlen(path), f;
	int err;

	memcpy(path + len, name, strlen(name));
	len += strlen(name);
	for (f = 0; f < NR_SLAB_FIGURES; f++) {
		memcpy(path + len, slab_files[f], strlen(slab_files[f]) + 1);
		err = proc_lines(path, take_figure, &ret->figure[f]);
		if (err)
			return err;
	}
	ret->is_known = true;
	return 0;
}

/*
 * To write /proc/slabinfo the kernel goes through the lists of all caches there are, for more than a
 * millisecond: the folders of the few have the same figures. A kernel may not have all of them.
 */
static int read_slabs(struct slab slabs[NR_SLABS])
{
	bool is_any = false;
	size_t i;
	int err = 0;

	for (i = 0; i < NR_SLABS && (!err || err == -ENOENT); i++) {
		err = read_slab(slab_names[i], &slabs[i]);
		is_any |= !err;
	}
	return is_any ? 0 : proc_lines("/proc/slabinfo", take_slabinfo, slabs);
}

static void put_slabs(struct jsonw *w)
{
	struct slab slabs[NR_SLABS] = { { .is_known = false } };
	size_t i;

	note("slabinfo", read_slabs(slabs));
	jsonw_object(w, "slab");
	for (i = 0; i < NR_SLABS; i++) {
		if (!slabs[i].is_known)
			continue;
		jsonw_object(w, slab_names[i]);
		jsonw_num(w, "object_bytes", (int64_t)slabs[i].figure[SLAB_OBJECT_BYTES]);
		jsonw_num(w, "active", (int64_t)slabs[i].figure[SLAB_ACTIVE]);
		jsonw_num(w, "total", (int64_t)slabs[i].figure[SLAB_TOTAL]);
		jsonw_object_end(w);
	}
	jsonw_object_end(w);
}

static void put_unreadable(struct jsonw *w)
{
	unsigned int i;

	jsonw_object(w, "unreadable");
	for (i = 0; i < nr_unreadable; i++)
		jsonw_str(w, unreadable[i].name, errname(unreadable[i].err));
	jsonw_object_end(w);
}

void topology_record(void)
{
	struct jsonw *w = recorder_writer();
	static struct zone zone;

	nr_zones = nr_unreadable = 0;
	note("zoneinfo", proc_lines("/proc/zoneinfo", take_zoneinfo, &zone));
	note("buddyinfo", proc_lines("/proc/buddyinfo", take_buddyinfo, NULL));
	jsonw_event(w, "topology");
	jsonw_num(w, "t", (int64_t)recorder_now());
	put_zones(w);
	put_nodes(w);
	put_slabs(w);
	put_unreadable(w);
	recorder_commit(w);
}
