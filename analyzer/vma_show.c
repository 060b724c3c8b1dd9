/* SPDX-License-Identifier: MIT */
#include "vma_show.h"

#include <string.h>

#include "json.h"
#include "out.h"

void vma_print_line(const struct vma_desc *desc, bool is_terminal, FILE *out)
{
	char line[MAPS_LINE_MAX];
	size_t n = maps_format_line(desc, line, sizeof(line) - 1);

	if (!is_terminal) {
		fwrite(line, 1, n, out);
		return;
	}
	line[n - 1] = '\0';
	out_name(out, line);
	fputc('\n', out);
}

struct json_t *vma_json_line(const struct vma_desc *desc)
{
	char perms[] = {desc->vm_flags & VM_READ ? 'r' : '-', desc->vm_flags & VM_WRITE ? 'w' : '-',
			desc->vm_flags & VM_EXEC ? 'x' : '-',
			desc->vm_flags & VM_MAYSHARE ? 's' : 'p', '\0'};
	struct json_t *obj = js_object();
	char dev[24];

	snprintf(dev, sizeof(dev), "%02x:%02x", desc->dev_major, desc->dev_minor);
	js_set_hex(obj, "start", desc->vm_start);
	js_set_hex(obj, "end", desc->vm_end);
	js_set_str(obj, "perms", perms);
	js_set_u64(obj, "offset", desc->offset);
	js_set_str(obj, "dev", dev);
	js_set_u64(obj, "inode", desc->inode);
	if (desc->name && *desc->name)
		js_set_str(obj, "name", desc->name);
	return obj;
}

/* In the order of the bits, as show_smap_vma_flags() goes through them. */
static const struct { uint64_t bit; char word[3]; } flag_words[] = {
	{ VM_READ, "rd" }, { VM_WRITE, "wr" }, { VM_EXEC, "ex" }, { VM_SHARED, "sh" },
	{ VM_MAYREAD, "mr" }, { VM_MAYWRITE, "mw" }, { VM_MAYEXEC, "me" }, { VM_MAYSHARE, "ms" },
	{ VM_GROWSDOWN, "gd" }, { VM_UFFD_MISSING, "um" }, { VM_PFNMAP, "pf" }, { VM_UFFD_WP, "uw" },
	{ VM_LOCKED, "lo" }, { VM_IO, "io" }, { VM_SEQ_READ, "sr" }, { VM_RAND_READ, "rr" },
	{ VM_DONTCOPY, "dc" }, { VM_DONTEXPAND, "de" }, { VM_LOCKONFAULT, "lf" },
	{ VM_ACCOUNT, "ac" }, { VM_NORESERVE, "nr" }, { VM_HUGETLB, "ht" }, { VM_SYNC, "sf" },
	{ VM_WIPEONFORK, "wf" }, { VM_DONTDUMP, "dd" }, { VM_SOFTDIRTY, "sd" },
	{ VM_MIXEDMAP, "mm" }, { VM_HUGEPAGE, "hg" }, { VM_NOHUGEPAGE, "nh" },
	{ VM_MERGEABLE, "mg" }, { VM_DROPPABLE, "dp" }, { VM_UFFD_MINOR, "ui" }, { VM_SEALED, "sl" },
};

_Static_assert(sizeof(flag_words) / sizeof(flag_words[0]) * 3 < VMA_FLAGS_MAX, "flags fit");

const char *vma_flags_text(uint64_t vm_flags, char *buf)
{
	char *at = buf;
	size_t i;

	*buf = '\0';
	for (i = 0; i < sizeof(flag_words) / sizeof(flag_words[0]); i++) {
		if (!(vm_flags & flag_words[i].bit))
			continue;
		if (at > buf)
			*at++ = ' ';
		memcpy(at, flag_words[i].word, sizeof(flag_words[i].word));
		at += 2;
	}
	return buf;
}

struct vma_desc vma_vsyscall(uint64_t vm_flags)
{
	return (struct vma_desc){
		.vm_start = 0xffffffffff600000, .vm_end = 0xffffffffff601000,
		.vm_flags = vm_flags, .name = "[vsyscall]",
	};
}
