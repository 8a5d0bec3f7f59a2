// SPDX-License-Identifier: Apache-2.0

#include "daemon/join_files.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "pki/obtain.h"
#include "pki/pem.h"

#define TRUST_MAX (4u << 20)
#define SWEEP_S	  60

static int no_directory(const char *path, const char *what, struct error *error)
{
	error_set(error, errno, "%s: %m", what);
	return error_where(error, "%s", path);
}

static int check_path(const char *path, struct error *error)
{
	for (const char *at = path; *at; at++)
		if (strchr("\"\\*?[", *at) || (unsigned char)*at < ' ')
			return error_set(error, EINVAL, "a path with one of \" \\ * ? [");
	return 0;
}

static int prepare_state(const char *state, char **ret, struct error *error)
{
	if (mkdir(state, 0700) < 0 && errno != EEXIST)
		return no_directory(state, "the directory cannot be made", error);
	// A configuration elsewhere names it.
	*ret = realpath(state, NULL);
	if (!*ret || access(*ret, W_OK | X_OK) < 0) {
		no_directory(state, "nothing can be written here", error);
		return error_remedy(error, "run this as root");
	}
	return 0;
}

// Before the token is used up.
static int prepare_config(const char *config, struct error *error)
{
	_cleanup_(freep) char *directory = strdup(config);
	char *slash = directory ? strrchr(directory, '/') : NULL;
	const char *parent = slash == directory ? "/" : ".";

	if (!directory)
		return error_set(error, ENOMEM, "out of memory");
	if (access(config, F_OK) == 0)
		return 0;
	if (slash && slash != directory) {
		*slash = '\0';
		parent = directory;
		mkdir(parent, 0755); // what fails now fails below, with a reason
	}
	if (access(parent, W_OK | X_OK) == 0)
		return 0;
	no_directory(parent, "nothing can be written here", error);
	return error_remedy(error, "run this as root");
}

// Temporary files of a run that was killed while it wrote one, or of another tool, where they are old.
static void sweep(const char *pattern, time_t older_s)
{
	glob_t found = {0};
	struct stat info;

	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (stat(found.gl_pathv[i], &info) == 0 &&
			    info.st_mtime <= clock_wall() - older_s)
				unlink(found.gl_pathv[i]);
	globfree(&found);
}

static void sweep_all(const struct join_files *files)
{
	const char *const paths[] = {files->new_trust, files->pending, files->certificate,
				     files->trust};
	char pattern[PATH_MAX];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		snprintf(pattern, sizeof(pattern), "%s" FILE_WRITE_GLOB, paths[i]);
		sweep(pattern, i < 2 ? 0 : SWEEP_S); // mutund writes the last two as well
	}
}

int join_files_begin(const char *state, const char *config, struct join_files *ret,
		     struct error *error)
{
	int r = check_path(state, error);

	if (r == 0)
		r = check_path(config, error);
	if (r == 0)
		r = prepare_state(state, &ret->state, error);
	if (r == 0)
		r = prepare_config(config, error);
	if (r < 0)
		return r;
	ret->config = strdup(config);
	if (!ret->config || asprintf(&ret->certificate, "%s/node.pem", ret->state) < 0 ||
	    asprintf(&ret->trust, "%s/trust.crt", ret->state) < 0 ||
	    asprintf(&ret->new_trust, "%s/.trust.crt.new", ret->state) < 0 ||
	    asprintf(&ret->pending, "%s/.join.pem", ret->state) < 0)
		return error_set(error, ENOMEM, "out of memory");
	sweep_all(ret);
	pem_read_certificate(ret->certificate, &ret->before, NULL);
	return 0;
}

void join_files_done(struct join_files *files)
{
	if (files->new_trust)
		unlink(files->new_trust);
	X509_free(files->before);
	free(files->certificate);
	free(files->trust);
	free(files->new_trust);
	free(files->pending);
	free(files->state);
	free(files->config);
}

static int write_trust(const char *path, const char *text, size_t size, struct error *error)
{
	int r = file_write(path, text, size, 0644);

	if (r == 0)
		return 0;
	error_set(error, -r, "the trust file cannot be put into place: %s", strerror(-r));
	return error_where(error, "%s", path);
}

// With the certificate of one CA still there and that of another to come, both are trusted.
static int install_both(const struct join_files *files, const char *old, size_t old_size,
			const char *new, size_t new_size, struct error *error)
{
	_cleanup_(freep) char *both = malloc(old_size + new_size + 1);

	if (!both)
		return error_set(error, ENOMEM, "out of memory");
	memcpy(both, old, old_size);
	both[old_size] = '\n';
	memcpy(both + old_size + 1, new, new_size);
	return write_trust(files->trust, both, old_size + new_size + 1, error);
}

int join_files_install(const struct join_files *files, const struct obtained *obtained,
		       struct error *error)
{
	_cleanup_(freep) char *old = NULL;
	_cleanup_(freep) char *new = NULL;
	size_t old_size = 0, new_size = 0;

	int r = file_read(files->new_trust, TRUST_MAX, &new, &new_size);
	if (r < 0)
		return error_set(error, -r, "the new trust file is gone: %s", strerror(-r));
	bool same = file_read(files->trust, TRUST_MAX, &old, &old_size) == 0 &&
		    old_size == new_size && memcmp(old, new, new_size) == 0;
	if (!same)
		r = old && files->before ? install_both(files, old, old_size, new, new_size, error)
					 : write_trust(files->trust, new, new_size, error);
	if (r == 0)
		r = obtained_write(obtained, files->certificate, error);
	if (r == 0 && !same && old && files->before)
		r = write_trust(files->trust, new, new_size, error);
	return r;
}

static bool same_file(const char *a, const char *b)
{
	_cleanup_(freep) char *real = realpath(a, NULL);

	return strcmp(a, b) == 0 || (real && strcmp(real, b) == 0);
}

static enum join_config judge_config(const struct join_files *files)
{
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	struct config *config = NULL;

	if (config_load(files->config, &config, &errors) < 0)
		return JOIN_CONFIG_BROKEN;
	bool fits = same_file(config->node.certificate, files->certificate) &&
		    same_file(config->node.key, files->certificate) &&
		    same_file(config->node.trust, files->trust);
	config_put(config);
	return fits ? JOIN_CONFIG_FITS : JOIN_CONFIG_OTHERS;
}

// Every part of it is checked: nothing in it can end a string of libconfig.
int join_files_configure(const struct join_files *files, const struct join_link *link,
			 enum join_config *ret, struct error *error)
{
	_cleanup_(freep) char *text = NULL;

	if (access(files->config, F_OK) == 0) {
		*ret = judge_config(files);
		return 0;
	}
	int size = asprintf(
		&text,
		"# Written by \"mutun join\". See mutun.conf(5).\n"
		"node: { certificate = \"%s\"; key = \"%s\"; trust = \"%s\"; state = \"%s\"; };\n"
		"renewal: { url = \"https://%s\"; identity = \"%s\"; };\n"
		"links = ( { name = \"vpn\"; to = [ \"%s\" ]; identity = \"%s\"; } );\n",
		files->certificate, files->certificate, files->trust, files->state, link->server,
		link->identity, link->server, link->identity);
	if (size < 0)
		return error_set(error, ENOMEM, "out of memory");
	int r = file_write(files->config, text, (size_t)size, 0644);
	if (r < 0) {
		error_set(error, -r, "the configuration cannot be written: %s", strerror(-r));
		return error_where(error, "%s", files->config);
	}
	*ret = JOIN_CONFIG_WRITTEN;
	return 0;
}
