/* SPDX-License-Identifier: MIT */
/* The text of /proc/PID/maps: every line goes out as the kernel prints it, and comes back. */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "vmtrace/mm.h"

static char buf[MAPS_LINE_MAX], name[MAPS_LINE_MAX];

static void round_trip(const char *line)
{
	struct vma_desc desc;
	size_t len = strlen(line), n;

	if (!CHECK_EQ(maps_parse_line(line, len, &desc, name, sizeof(name)), 0))
		return;
	n = maps_format_line(&desc, buf, sizeof(buf) - 1);
	buf[n] = '\0';
	CHECK_STR(buf, line);
}

static void test_lines_of_the_kernel_round_trip(void)
{
	static const char *const lines[] = {
		"00400000-00452000 r-xp 00000000 08:02 173521                             /usr/bin/dbus-daemon\n",
		"7ffd8a1f2000-7ffd8a213000 rw-p 00000000 00:00 0                          [stack]\n",
		"35b1800000-35b1820000 r-xp 00000000 08:02 135522                         /usr/lib64/ld-2.15.so\n",
		"7f5c4c000000-7f5c50000000 ---p 00000000 00:00 0 \n",
		"7f2c6ff8c000-7f2c7078c000 rw-p 00000000 00:00 0                          [anon:a b]\n",
		"7fb5be352000-7fb5be35b000 r--s 00000000 00:01 59                         /SYSV00000000 (deleted)\n",
		"7fb5be352000-7fb5be35b000 rw-s 00000000 00:01 1                          /memfd:one two (deleted)\n",
		"7f0000000000-7f0000001000 r--p 00000000 fe:00 1                          /tmp/back\\slash\n",
		"7f0000000000-7f0000001000 r--p 00000000 fe:00 1                          /tmp/new\\012line\n",
		"7f0000000000-7f0000001000 r--p 00000000 fe:00 1                           /leading space\n",
		"7f0000000000-7f0000001000 r--p 00000000 fe:00 1                          trailing space \n",
		"100000027000-100000029000 r--p 100000027000 00:06 4                      /dev/zero\n",
		"7f0000000000-7f0000001000 r--p 7ffffffffffff000 103:1fffff 18446744073709551615  /x\n",
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		round_trip(lines[i]);
}

static void test_fields_are_parsed(void)
{
	static const char line[] =
		"00400000-00452000 r-xs 00001000 08:1f 173521                             /a b";
	struct vma_desc desc;

	CHECK_EQ(maps_parse_line(line, sizeof(line) - 1, &desc, name, sizeof(name)), 0);
	CHECK_EQ(desc.vm_start, 0x400000);
	CHECK_EQ(desc.vm_end, 0x452000);
	CHECK_EQ(desc.vm_flags, VM_READ | VM_EXEC | VM_SHARED | VM_MAYSHARE);
	CHECK_EQ(desc.offset, 0x1000);
	CHECK_EQ(desc.dev_major, 8);
	CHECK_EQ(desc.dev_minor, 0x1f);
	CHECK_EQ(desc.inode, 173521);
	CHECK_STR(desc.name, "/a b");
}

static void test_newline_in_a_name_is_escaped(void)
{
	struct vma_desc desc = { .vm_start = 0x1000, .vm_end = 0x2000, .name = "/a\nb" };
	size_t n = maps_format_line(&desc, buf, sizeof(buf) - 1);

	buf[n] = '\0';
	CHECK_STR(buf + n - 8, "/a\\012b\n");
	CHECK_EQ(n, 73 + 8);
}

static void test_long_names_are_cut(void)
{
	struct vma_desc desc = { .vm_start = 0x1000, .vm_end = 0x2000 };
	static char long_name[8192];
	size_t n;

	memset(long_name, 'x', sizeof(long_name) - 1);
	desc.name = long_name;
	n = maps_format_line(&desc, buf, sizeof(buf));
	CHECK_EQ(n, sizeof(buf));
	CHECK_EQ(maps_format_line(&desc, buf, 10), 10);
	CHECK_EQ(maps_format_line(&desc, buf, 0), 0);
	n = maps_format_line(&desc, buf, sizeof(buf));
	CHECK_EQ(maps_parse_line(buf, n, &desc, name, 16), 0);
	CHECK_EQ(strlen(name), 15);
}

static void test_nonsense_is_refused(void)
{
	static const char *const lines[] = {
		"", "\n", "x", "1000-", "1000-2000", "1000-2000 r-xp", "2000-1000 r-xp 0 0:0 0 ",
		"1000-1000 r-xp 00000000 00:00 0 ", "1000-2000 rwxq 00000000 00:00 0 ",
		"1000-2000 r-xp 00000000 00-00 0 ", "1000-2000 r-xp 00000000 00:00 ",
		"11111111111111111111-2 r-xp 00000000 00:00 0 ",
		"1000-2000 r-xp 00000000 00:00 99999999999999999999999 ",
		"-1000-2000 r-xp 00000000 00:00 0 ",
	};
	struct vma_desc desc;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK_EQ(maps_parse_line(lines[i], strlen(lines[i]), &desc, name, sizeof(name)),
			 -EINVAL);
	CHECK_EQ(maps_parse_line("1000-2000 r-xp 0 0:0 0 ", 23, &desc, name, 0), -EINVAL);
}

int main(void)
{
	test_lines_of_the_kernel_round_trip();
	test_fields_are_parsed();
	test_newline_in_a_name_is_escaped();
	test_long_names_are_cut();
	test_nonsense_is_refused();
	return test_result();
}
