/* SPDX-License-Identifier: MIT */
/*
 * Random userfaultfds. Nobody answers their page faults: they ask for SIGBUS instead, so that a
 * touch of what is registered fails.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static void step_open(struct generator *g, struct step *s, unsigned int i)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	/* Others may have one that looks after the CPU's own accesses. */
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return;
	}
	g->uffd[i] = fd;
	g->uffd_used[i] = false;
	s->what = "userfaultfd()";
}

static void step_register(struct generator *g, struct step *s, unsigned int i)
{
	/* What the kernel reads and writes must outlive the call: it is read again when traced. */
	static struct uffdio_register arg[NR_GENERATORS];
	struct uffdio_register *r = &arg[g->id % NR_GENERATORS];
	bool add = !one_in(g, 3);

	*r = (struct uffdio_register){
		.range = { some_addr(g), some_span(g) },
		.mode = add ? 1 + below(g, 3) : 0,
	};
	CALL(g, s, SYS_ioctl, MM_IOCTL, g->uffd[i], add ? UFFDIO_REGISTER : UFFDIO_UNREGISTER,
	     (uintptr_t)r);
	s->call.arg[3] = r->range.start;
	s->call.arg[4] = r->range.len;
	s->call.arg[5] = r->mode;
	g->uffd_used[i] |= add && !s->call.ret;
}

bool step_close_uffd(struct generator *g, struct step *s)
{
	for (unsigned int i = 0; i < NR_UFFDS; i++) {
		if (g->uffd[i] < 0)
			continue;
		/* Nothing was registered: nothing of interest to the map. */
		if (g->uffd_used[i]) {
			CALL(g, s, SYS_close, MM_CLOSE, g->uffd[i]);
		} else {
			close(g->uffd[i]);
			s->what = "close(some userfaultfd)";
		}
		g->uffd[i] = -1;
		return true;
	}
	return false;
}

void step_uffd(struct generator *g, struct step *s)
{
	unsigned int i = below(g, NR_UFFDS);

	if (g->uffd[i] < 0)
		step_open(g, s, i);
	else if (!one_in(g, 12))
		step_register(g, s, i);
	else
		step_close_uffd(g, s);
}
