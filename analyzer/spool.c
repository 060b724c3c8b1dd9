/* SPDX-License-Identifier: MIT */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "progress.h"
#include "unpack.h"

enum { CHUNK_BYTES = 1 << 18 };

static const char *folder(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

/* Return: a descriptor or -errno. */
static int open_unnamed(const char *dir)
{
	char *name;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	/* Not every file system has files without a name. */
	if (asprintf(&name, "%s/vmtrace-report.XXXXXX", dir) < 0)
		alloc_failed();
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	else
		fd = -errno;
	free(name);
	return fd;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= n;
		}
	}
	return 0;
}

static int fail_temporary(struct spool *s, int err)
{
	snprintf(s->error, sizeof(s->error), "temporary file in %.200s: %s", folder(),
		 strerror(-err));
	return err;
}

/* Return: 0 or -errno with the error set. */
static int copy(struct spool *s, struct unpack *u, struct progress *progress)
{
	char *chunk = alloc_array(CHUNK_BYTES, 1);
	ssize_t n;
	int err = 0;

	while (!err && (n = unpack_read(u, chunk, CHUNK_BYTES)) > 0) {
		err = write_all(s->fd, chunk, n);
		progress_at(progress, unpack_nr_read(u));
	}
	alloc_free(chunk);
	if (err)
		return fail_temporary(s, err);
	if (n == -EBADMSG)
		snprintf(s->damage, sizeof(s->damage), "%s", unpack_damage(u));
	else if (n < 0)
		snprintf(s->error, sizeof(s->error), "%s", strerror(-n));
	return n == -EBADMSG ? 0 : n;
}

int spool_copy(struct spool *s, int fd, uint64_t bytes)
{
	struct progress progress;
	struct unpack *u;
	int err;

	*s = (struct spool){ .fd = open_unnamed(folder()) };
	if (s->fd < 0)
		return fail_temporary(s, s->fd);
	u = unpack_new(fd);
	progress_begin(&progress, "unpacking", bytes);
	err = copy(s, u, &progress);
	progress_end(&progress);
	unpack_free(u);
	if (!err && lseek(s->fd, 0, SEEK_SET) < 0)
		err = fail_temporary(s, -errno);
	if (err)
		close(s->fd);
	return err;
}
