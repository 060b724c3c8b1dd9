/* SPDX-License-Identifier: MIT */
/*
 * The probe of the kernel's rules: what it finds depends on the kernel, but it finds the same each
 * time and from either source, and leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "kmaps.h"
#include "rules.h"

#define PAGE MM_PAGE_SIZE
#define TEXT_BYTES (1 << 20)
#define SCRATCH ((char *)0x280000000000)	/* where the probe works */

static char before[TEXT_BYTES], after[TEXT_BYTES];

static void read_maps(char *text)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	size_t used = 0;

	while ((n = read(fd, text + used, TEXT_BYTES - 1 - used)) > 0)
		used += n;
	text[used] = '\0';
	close(fd);
}

static void test_twice_the_same_and_no_trace(void)
{
	uint32_t first;

	errno = 12345;
	read_maps(before);
	first = rules_probe();
	read_maps(after);
	CHECK_STR(after, before);
	CHECK_EQ(rules_probe(), first);
	CHECK_EQ(rules_settings(), rules_settings());
	CHECK_EQ(rules_task_size(), rules_task_size());
	CHECK(rules_task_size() > (uint64_t)(uintptr_t)&first);
	read_maps(after);
	CHECK_STR(after, before);
	CHECK_EQ(errno, 12345);
}

static void test_text_says_the_same(void)
{
	uint32_t query = rules_probe();

	CHECK_EQ(kmaps_init(true), 0);
	CHECK_EQ(rules_probe(), query);
	CHECK_EQ(kmaps_init(false), 0);
}

static void test_memory_in_the_way_is_left_alone(void)
{
	char *p = mmap(SCRATCH + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (!CHECK(p == SCRATCH + 3 * PAGE))
		return;
	*p = 42;
	read_maps(before);
	rules_probe();
	read_maps(after);
	CHECK_STR(after, before);
	CHECK_EQ(*p, 42);
	munmap(p, PAGE);
}

/* In a child: the limit can't be raised again by everybody. */
static void test_no_address_space(void)
{
	struct rlimit limit = { PAGE, PAGE };
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		setrlimit(RLIMIT_AS, &limit);
		_exit((rules_probe() & ~(uint32_t)MM_RULE_RINGS_STAY) == MM_RULES_DEFAULT ? 0 : 1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

int main(void)
{
	if (kmaps_init(false)) {
		puts("skip: /proc/self/maps can't be opened");
		return 77;
	}
	test_twice_the_same_and_no_trace();
	test_text_says_the_same();
	test_memory_in_the_way_is_left_alone();
	test_no_address_space();
	return test_result();
}
