/* SPDX-License-Identifier: MIT */
/* SysV segments that are in pieces when a fork child, or its parent, detaches them. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 8

static void expect(long got, long wanted)
{
	if (got != wanted)
		abort();
}

/*      rw rw rw rw rw rw rw rw   ─▶   rw r- rw -- r- rw rw rw */
static void split(char *at, size_t page)
{
	expect(mprotect(at + page, page, PROT_READ), 0);
	expect(munmap(at + 3 * page, page), 0);
	expect(mprotect(at + 4 * page, page, PROT_READ), 0);
}

int main(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int id = shmget(IPC_PRIVATE, PAGES * page, IPC_CREAT | 0600), status;
	char *at[3];
	pid_t pid;

	if (id < 0)
		return 77;
	for (int i = 0; i < 3; i++) {
		at[i] = shmat(id, NULL, 0);
		if (at[i] == (void *)-1)
			abort();
	}
	shmctl(id, IPC_RMID, NULL);
	split(at[0], page);
	split(at[1], page);
	pid = fork();
	if (!pid) {
		split(at[2], page);
		/* Whole again, where nothing is missing. */
		expect(mprotect(at[1], 3 * page, PROT_READ), 0);
		for (int i = 0; i < 3; i++)
			expect(shmdt(at[i]), 0);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	for (int i = 0; i < 3; i++)
		expect(shmdt(at[i]), 0);
	puts("done");
	return 0;
}
