/* SPDX-License-Identifier: MIT */
/*
 * /proc/self/smaps has what maps leaves out, the VmFlags and whether private pages exist; it is
 * read once, at start. A fork child takes the flags from the shadow it inherited.
 */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "kmaps.h"
#include "recorder.h"
#include "sys.h"
#include "verify.h"

#include "no_heap.h"

#define TEXT_BYTES 16384

/* dup_mmap(); a userfaultfd that asked for forks (UFFD_FEATURE_EVENT_FORK) keeps its own. */
#define FORK_DROPS (VM_LOCKED | VM_LOCKONFAULT | VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR)

static char vsyscall[5];

const char *snapshot_vsyscall(void)
{
	return vsyscall;
}

/* smaps' two letters (show_smap_vma_flags()) that the model knows. */
static const struct {
	char letters[3];
	uint64_t bit;
} vm_flag_names[] = {
	{ "rd", VM_READ }, { "wr", VM_WRITE }, { "ex", VM_EXEC }, { "sh", VM_SHARED },
	{ "mr", VM_MAYREAD }, { "mw", VM_MAYWRITE }, { "me", VM_MAYEXEC }, { "ms", VM_MAYSHARE },
	{ "gd", VM_GROWSDOWN }, { "pf", VM_PFNMAP }, { "lo", VM_LOCKED }, { "io", VM_IO },
	{ "sr", VM_SEQ_READ }, { "rr", VM_RAND_READ }, { "dc", VM_DONTCOPY },
	{ "de", VM_DONTEXPAND }, { "ac", VM_ACCOUNT }, { "nr", VM_NORESERVE },
	{ "ht", VM_HUGETLB }, { "sf", VM_SYNC }, { "wf", VM_WIPEONFORK }, { "dd", VM_DONTDUMP },
	{ "sd", VM_SOFTDIRTY }, { "mm", VM_MIXEDMAP }, { "hg", VM_HUGEPAGE },
	{ "nh", VM_NOHUGEPAGE }, { "mg", VM_MERGEABLE }, { "um", VM_UFFD_MISSING },
	{ "uw", VM_UFFD_WP }, { "ui", VM_UFFD_MINOR }, { "sl", VM_SEALED }, { "dp", VM_DROPPABLE },
};

static uint64_t parse_flags(const char *s, const char *end)
{
	uint64_t flags = 0;
	size_t i;

	for (; s + 1 < end; s += 3) {
		for (i = 0; i < sizeof(vm_flag_names) / sizeof(vm_flag_names[0]); i++) {
			if (!memcmp(s, vm_flag_names[i].letters, 2))
				flags |= vm_flag_names[i].bit;
		}
	}
	return flags;
}

static struct pending {
	struct mm *mm;
	struct vma_desc desc;
	char name[MAPS_LINE_MAX];
	bool valid;
	int err;
} pending;

static void insert(struct mm *mm, struct vma_desc *desc)
{
	int err;

	desc->own = verify_is_own(desc->vm_start, desc->vm_end);
	err = mm_insert(mm, desc);
	if (err && !pending.err)
		pending.err = err;
}

static void flush_pending(void)
{
	if (pending.valid)
		insert(pending.mm, &pending.desc);
	pending.valid = false;
}

/* One line of smaps: a vma's own, or one of its fields. */
static void take_line(const char *line, size_t len)
{
	struct vma_desc desc;

	if (*line >= 'A' && *line <= 'Z') {
		if (len > 9 && !memcmp(line, "VmFlags: ", 9)) {
			pending.desc.vm_flags = parse_flags(line + 9, line + len);
			pending.desc.flags_known = true;
		} else if (len > 10 && !memcmp(line, "Anonymous:", 10)) {
			for (line += 10, len -= 10; len && *line == ' '; line++, len--)
				;
			/* Shared memory has no anon_vma, whatever its pages are called. */
			pending.desc.anon_vma = *line != '0' &&
						!(pending.desc.vm_flags & VM_MAYSHARE);
		}
		return;
	}
	flush_pending();
	if (maps_parse_line(line, len, &desc, pending.name, sizeof(pending.name)))
		return;
	if (!strcmp(pending.name, "[vsyscall]")) {
		memcpy(vsyscall, desc.vm_flags & VM_READ ? "r-xp" : "--xp", sizeof(vsyscall));
		return;
	}
	pending.desc = desc;
	pending.valid = true;
}

static int take_smaps(struct mm *mm)
{
	static char text[TEXT_BYTES];
	int fd = sys_open("/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0);
	size_t len = 0, used;
	ssize_t n;
	char *eol;

	if (fd < 0)
		return fd;
	pending = (struct pending){ .mm = mm };
	while ((n = sys_read(fd, text + len, sizeof(text) - len)) > 0) {
		len += (size_t)n;
		for (used = 0; (eol = memchr(text + used, '\n', len - used));
		     used = (size_t)(eol - text) + 1)
			take_line(text + used, (size_t)(eol - (text + used)));
		memmove(text, text + used, len - used);
		len -= used;
	}
	flush_pending();
	sys_close(fd);
	return n < 0 ? (int)n : pending.err;
}

struct source {
	struct mm *mm, *old;
};

static int take_vma(const struct vma_desc *kernel, void *ctx)
{
	const uint64_t visible = VM_READ | VM_WRITE | VM_EXEC | VM_MAYSHARE;
	struct source *source = ctx;
	struct vma_desc desc = *kernel, known;
	struct vma *vma = source->old ? vma_lookup(source->old, desc.vm_start) : NULL;

	if (vma) {
		vma_describe(source->old, vma, &known);
		if (!((known.vm_flags ^ desc.vm_flags) & visible) && known.flags_known) {
			desc.vm_flags = known.vm_flags & ~FORK_DROPS;
			desc.vm_flags_unknown = known.vm_flags_unknown & ~FORK_DROPS;
			desc.flags_known = true;
		}
	}
	insert(source->mm, &desc);
	return 0;
}

int snapshot_take(struct mm *mm, struct mm *old)
{
	struct source source = { mm, old };

	if (!old && !take_smaps(mm))
		return 0;
	/* Without smaps, or with half of it: begin again from maps. */
	if (mm->map_count)
		mm_replace(mm, 0, mm->task_size, NULL, 0, 0);
	pending.err = 0;
	return kmaps_walk(0, ~0ull, take_vma, &source) ?: pending.err;
}

void snapshot_record(struct mm *mm)
{
	struct vma_desc desc;
	struct vma *vma;
	struct jsonw *w;

	for (vma = mm->first; vma; vma = vma->vm_next) {
		vma_describe(mm, vma, &desc);
		w = recorder_writer();
		jsonw_event(w, "vma");
		jsonw_hex(w, "start", desc.vm_start);
		jsonw_hex(w, "end", desc.vm_end);
		verify_put_perms(w, "perms", desc.vm_flags);
		jsonw_num(w, "offset", (int64_t)desc.offset);
		verify_put_dev(w, "dev", desc.dev_major, desc.dev_minor);
		jsonw_num(w, "inode", (int64_t)desc.inode);
		if (desc.name && *desc.name)
			jsonw_str(w, "name", desc.name);
		if (desc.flags_known)
			jsonw_hex(w, "flags", desc.vm_flags);
		if (desc.flags_known && desc.vm_flags_unknown)
			jsonw_hex(w, "flags_unknown", desc.vm_flags_unknown);
		if (desc.anon_vma)
			jsonw_bool(w, "anon_vma", true);
		if (desc.own)
			jsonw_bool(w, "own", true);
		recorder_commit(w);
	}
}
