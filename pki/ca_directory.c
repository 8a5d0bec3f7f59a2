// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

char *ca_directory_path(const char *directory, enum ca_file file)
{
	static const char *const names[] = {
		[CA_ROOT_KEY] = "root.key",
		[CA_ROOT_CERTIFICATE] = "root.crt",
		[CA_ISSUING_KEY] = "issuing.key",
		[CA_ISSUING_CERTIFICATE] = "issuing.crt",
		[CA_TRUST] = "trust.crt",
		[CA_JOURNAL] = "journal.db",
		[CA_ISSUING_URI] = "issuing.uri",
		[CA_NEXT_ROOT_KEY] = "root.next.key",
		[CA_NEXT_ROOT_CERTIFICATE] = "root.next.crt",
		[CA_NEXT_ISSUING_KEY] = "issuing.next.key",
		[CA_NEXT_ISSUING_URI] = "issuing.next.uri",
		[CA_NEXT_ISSUING_CERTIFICATE] = "issuing.next.crt",
		[CA_DENIALS] = "denials",
	};
	char *path;

	return asprintf(&path, "%s/%s", directory, names[file]) < 0 ? NULL : path;
}

int ca_directory_make(const char *directory, bool *ret_made, struct error *error)
{
	struct stat info;

	*ret_made = mkdir(directory, 0700) == 0;
	if (*ret_made)
		return 0;
	_cleanup_(closedirp) DIR *dir = errno == EEXIST ? opendir(directory) : NULL;
	if (!dir || fstat(dirfd(dir), &info) < 0) {
		int code = errno;
		error_set(error, code, "the directory cannot be made: %s", strerror(code));
		if (code == ENOENT)
			error_remedy(error, "make the directory above it first");
		return error_where(error, "%s", directory);
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		error_set(error, EEXIST, "the directory is not empty: it holds %.80s",
			  entry->d_name);
		error_where(error, "%s", directory);
		return error_remedy(error, "a new CA gets a directory of its own; name another");
	}
	if (info.st_mode & S_IWOTH) {
		error_set(error, EPERM, "everybody may write to the directory");
		error_where(error, "%s", directory);
		return error_remedy(error, "chmod 700 it");
	}
	return 0;
}

int ca_directory_check_secret(const char *path, struct error *error)
{
	struct stat info;

	if (stat(path, &info) < 0 || !(info.st_mode & (S_IRWXG | S_IRWXO)))
		return 0; // when it is missing, reading says so
	error_set(error, EPERM, "others may use the key: its mode is %04o", info.st_mode & 07777);
	error_where(error, "%s", path);
	error_expected(error, "mode 0600");
	return error_remedy(error, "chmod 600 it, and find out who had access");
}

// Whether new files can be made beside `path`.
static int check_parent(const char *path, struct error *error)
{
	_cleanup_(freep) char *parent = strdup(path);
	if (!parent)
		return error_set(error, ENOMEM, "out of memory");
	char *slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = '\0';
	if (access(slash ? parent : ".", W_OK | X_OK) == 0)
		return 0;
	int code = errno;
	error_set(error, code, "nothing can be written into the directory: %s", strerror(code));
	error_where(error, "%s", slash ? parent : ".");
	return code == ENOENT ? error_remedy(error, "make it first") : -code;
}

int ca_directory_check_output(const char *directory, const char *path, struct error *error)
{
	struct stat output, own;

	int r = check_parent(path, error);
	if (r < 0 || stat(path, &output) < 0)
		return r;
	if (S_ISDIR(output.st_mode)) {
		error_set(error, EISDIR, "this is a directory");
		return error_where(error, "%s", path);
	}
	for (unsigned i = 0; i < CA_FILES; i++) {
		_cleanup_(freep) char *name = ca_directory_path(directory, (enum ca_file)i);
		if (!name)
			return error_set(error, ENOMEM, "out of memory");
		if (stat(name, &own) < 0 || own.st_dev != output.st_dev ||
		    own.st_ino != output.st_ino)
			continue;
		error_set(error, EINVAL, "this is a file of the CA itself");
		error_where(error, "%s", path);
		return error_remedy(error, "name another place for the certificate");
	}
	return 0;
}

static int sync_directory(const char *directory, struct error *error)
{
	_cleanup_(closep) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && fsync(fd) == 0)
		return 0;
	error_set(error, errno, "the directory cannot be written to the disk: %m");
	return error_where(error, "%s", directory);
}

// `done`: what the call returned.
static int finish(const char *directory, const char *path, int done, int passed_over,
		  struct error *error)
{
	int code = errno;

	if (done == 0)
		return sync_directory(directory, error);
	if (code == ENOENT || code == passed_over)
		return 0;
	error_set(error, code, "the file cannot be put into its place: %s", strerror(code));
	return error_where(error, "%s", path);
}

int ca_directory_move(const char *directory, enum ca_file from, enum ca_file to,
		      struct error *error)
{
	_cleanup_(freep) char *source = ca_directory_path(directory, from);
	_cleanup_(freep) char *target = ca_directory_path(directory, to);

	if (!source || !target)
		return error_set(error, ENOMEM, "out of memory");
	return finish(directory, target, rename(source, target), ENOENT, error);
}

int ca_directory_keep(const char *directory, enum ca_file file, unsigned generation,
		      struct error *error)
{
	_cleanup_(freep) char *source = ca_directory_path(directory, file);
	_cleanup_(freep) char *target = NULL;
	const char *dot = source ? strrchr(source, '.') : NULL;

	if (!dot ||
	    asprintf(&target, "%.*s.%u%s", (int)(dot - source), source, generation, dot) < 0)
		return error_set(error, ENOMEM, "out of memory");
	return finish(directory, target, link(source, target), EEXIST, error);
}

int ca_directory_remove(const char *directory, enum ca_file file, struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(directory, file);

	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	return finish(directory, path, unlink(path), ENOENT, error);
}

bool ca_directory_has(const char *directory, enum ca_file file)
{
	_cleanup_(freep) char *path = ca_directory_path(directory, file);

	return path && access(path, F_OK) == 0;
}
