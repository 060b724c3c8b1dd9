/* SPDX-License-Identifier: MIT */
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"

static int finish_stream(FILE *out, bool sync)
{
	bool was_lost = ferror(out);	/* by an earlier write, whose errno is gone */
	int err = fflush(out) || (sync && fsync(fileno(out))) ? -errno : was_lost ? -EIO : 0;

	if (fclose(out) && !err)
		err = -errno;
	return err;
}

static int write_in_place(const char *path, void (*print)(FILE *, const void *), const void *arg)
{
	FILE *out = fopen(path, "we");

	if (!out)
		return -errno;
	print(out, arg);
	return finish_stream(out, false);
}

static mode_t mode_for(const struct stat *st, bool exists)
{
	mode_t mask;

	if (exists)
		return st->st_mode & 07777;
	mask = umask(0);
	umask(mask);
	return 0666 & ~mask;
}

/* The rename itself must survive, too. */
static void sync_folder(const char *path)
{
	char *copy = alloc_string(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	alloc_free(copy);
}

static int write_beside(const char *path, mode_t mode, void (*print)(FILE *, const void *),
			const void *arg)
{
	char *temp = alloc_zeroed(strlen(path) + sizeof(".XXXXXX"));
	int fd, err;
	FILE *out;

	strcat(strcpy(temp, path), ".XXXXXX");
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out_free;
	}
	out = fdopen(fd, "w");
	if (!out || fchmod(fd, mode)) {
		err = -errno;
		if (out)
			(void)fclose(out);
		else
			close(fd);
		goto out_unlink;
	}
	print(out, arg);
	err = finish_stream(out, true);
	if (!err && rename(temp, path))
		err = -errno;
	if (!err) {
		sync_folder(path);
		goto out_free;
	}
out_unlink:
	unlink(temp);
out_free:
	alloc_free(temp);
	return err;
}

int replace_file(const char *path, void (*print)(FILE *, const void *), const void *arg)
{
	bool exists;
	struct stat st;
	char *target;
	int err;

	exists = !stat(path, &st);
	if (exists && !S_ISREG(st.st_mode))
		return write_in_place(path, print, arg);
	target = exists ? realpath(path, NULL) : alloc_string(path);
	if (!target)
		return -errno;
	err = write_beside(target, mode_for(&st, exists), print, arg);
	alloc_free(target);
	return err;
}
