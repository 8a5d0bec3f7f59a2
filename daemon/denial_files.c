// SPDX-License-Identifier: Apache-2.0

#include "daemon/denial_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/job.h"
#include "base/log.h"
#include "pki/denial_store.h"
#include "pki/denials.h"
#include "pki/denials_file.h"
#include "pki/identity.h"
#include "pki/watch.h"

#define PREFIX	 "denials-" // and the trust domain
#define AGAIN_US 60000000u  // from a copy that could not be written to the next try

// One copy that is being written.
struct copy {
	struct denials *denials;
	char *path;
	int result;
};

struct denial_files {
	struct denial_files_tools tools;
	char *state;
	char *paths[DENIAL_FILES_MAX];
	size_t count;
	struct watch *watch;
	struct error problem;
	struct denials *written[DENIAL_STORE_MAX]; // by place in the store; what its copy holds
	struct job *job;			   // NULL: nothing is being written
	struct copy copy;
	struct denials **copied; // of `written`: what is being written
	sd_event_source *again;
};

static void closedirp(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

// --- in

static void say(struct denial_files *files, const char *path, const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	if (memcmp(error, &files->problem, sizeof(*error)) == 0)
		return;
	files->problem = *error;
	log_error("the denials in %s are not taken, those known stay: %s", path,
		  error_text(error, text, sizeof(text)));
}

// Returns as denials_file_read().
static int read_file(struct denial_files *files, const char *path, const struct trust *trust,
		     struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(denials_putp) struct denials *denials = NULL;
	char domain[IDENTITY_DOMAIN_MAX + 1];
	size_t size;
	int r = file_read(path, DENIALS_FILE_MAX, &text, &size);
	if (r < 0)
		return error_set(error, -r, "they cannot be read: %s", strerror(-r));
	r = denials_file_domain(text, size, domain, error);
	if (r < 0)
		return r;
	struct denials *old = denial_store_find(files->tools.store, domain);
	r = denials_file_parse(text, size, domain, old, trust, &denials, error);
	if (r < 0)
		return r;
	log_info("denials of %s: %llu are known, from %s", domain,
		 (unsigned long long)denials_number(denials), path);
	r = denial_store_put(files->tools.store, denials, path);
	return r < 0 ? error_set(error, -r, "they cannot be kept: %s", strerror(-r)) : 0;
}

static void read_files(struct denial_files *files)
{
	bool good = true;
	for (size_t i = 0; i < files->count; i++) {
		struct error error = {0};
		int r = read_file(files, files->paths[i], files->tools.trust(files->tools.data),
				  &error);
		// Before the first revocation there is no file. A copy may come later than what peers tell.
		if (r == -ERANGE)
			log_info("%s is not the newest: %s", files->paths[i], error.what);
		if (r == 0 || r == -ESTALE || r == -ERANGE || r == -ENOENT)
			continue;
		say(files, files->paths[i], &error);
		good = false;
	}
	if (good)
		files->problem.code = 0;
}

static void on_changed(void *data)
{
	read_files(data);
}

static void read_copy(struct denial_files *files, const char *name)
{
	_cleanup_(freep) char *path = NULL;
	char text[ERROR_TEXT_MAX];
	struct error error = {0};
	if (asprintf(&path, "%s/%s", files->state, name) < 0) {
		path = NULL;
		return;
	}
	// The CA certificate that signed it may have been replaced meanwhile: it was believed when it came.
	if (read_file(files, path, NULL, &error) < 0)
		log_error("the denials kept in %s cannot be used: %s", path,
			  error_text(&error, text, sizeof(text)));
}

static void read_copies(struct denial_files *files)
{
	_cleanup_(closedirp) DIR *directory = opendir(files->state);
	for (const struct dirent *entry; directory && (entry = readdir(directory));)
		if (strncmp(entry->d_name, PREFIX, sizeof(PREFIX) - 1) == 0 &&
		    identity_domain_check(entry->d_name + sizeof(PREFIX) - 1, NULL) == 0)
			read_copy(files, entry->d_name);
	const struct denial_entry *entry;
	for (size_t i = 0; (entry = denial_store_at(files->tools.store, i)); i++)
		files->written[i] = denials_get(entry->denials);
}

// --- out

static void write_copy(struct job *job, void *data)
{
	struct denial_files *files = data;
	(void)job;
	files->copy.result = denials_file_write(files->copy.denials, files->copy.path);
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	denial_files_keep(data);
	return 0;
}

static void not_written(struct denial_files *files)
{
	log_error("the denials cannot be kept in %s: %s", files->copy.path,
		  strerror(-files->copy.result));
	*files->copied = denials_put(*files->copied);
	files->again = sd_event_source_disable_unref(files->again);
	sd_event_add_time_relative(files->tools.event, &files->again, CLOCK_BOOTTIME, AGAIN_US, 0,
				   on_again, files);
}

static void on_written(void *data)
{
	struct denial_files *files = data;
	bool good = files->copy.result >= 0;
	if (!good)
		not_written(files);
	files->job = job_free(files->job);
	free(take(files->copy.path));
	files->copy.denials = denials_put(files->copy.denials);
	if (good)
		denial_files_keep(files);
}

static void begin(struct denial_files *files, struct denials *denials, struct denials **written)
{
	struct job_work work = {.run = write_copy, .done = on_written, .data = files};
	if (asprintf(&files->copy.path, "%s/" PREFIX "%s", files->state, denials_domain(denials)) <
	    0) {
		files->copy.path = NULL;
		return;
	}
	files->copy.denials = denials_get(denials);
	if (job_new(files->tools.event, &work, &files->job) < 0) {
		free(take(files->copy.path));
		files->copy.denials = denials_put(files->copy.denials);
		return;
	}
	denials_put(*written);
	*written = denials_get(denials);
	files->copied = written;
}

void denial_files_keep(struct denial_files *files)
{
	const struct denial_entry *entry;
	for (size_t i = 0; !files->job && (entry = denial_store_at(files->tools.store, i)); i++)
		if (files->written[i] != entry->denials)
			begin(files, entry->denials, &files->written[i]);
}

// --- life

int denial_files_new(const struct denial_files_tools *tools, struct denial_files **ret)
{
	_cleanup_(denial_files_freep) struct denial_files *files = calloc(1, sizeof(*files));
	if (!files)
		return -ENOMEM;
	files->tools = *tools;
	files->state = strdup(tools->state);
	if (!files->state)
		return -ENOMEM;
	read_copies(files);
	*ret = take(files);
	return 0;
}

static void forget_paths(struct denial_files *files)
{
	while (files->count)
		free(files->paths[--files->count]);
}

struct denial_files *denial_files_free(struct denial_files *files)
{
	if (!files)
		return NULL;
	watch_free(files->watch);
	job_free(files->job);
	sd_event_source_disable_unref(files->again);
	free(files->copy.path);
	denials_put(files->copy.denials);
	for (size_t i = 0; i < DENIAL_STORE_MAX; i++)
		denials_put(files->written[i]);
	forget_paths(files);
	free(files->state);
	free(files);
	return NULL;
}

static bool same_paths(const struct denial_files *files, const char *const *paths, size_t count)
{
	bool same = files->count == count;
	for (size_t i = 0; same && i < count; i++)
		same = strcmp(files->paths[i], paths[i]) == 0;
	return same;
}

int denial_files_watch(struct denial_files *files, const char *const *paths, size_t count,
		       struct error *error)
{
	struct watch *watch = NULL;
	if (same_paths(files, paths, count))
		return 0;
	int r = count ? watch_new(files->tools.event, paths, count, on_changed, files, &watch) : 0;
	if (r < 0)
		return error_set(error, -r, "cannot watch the denials: %s", strerror(-r));
	watch_free(files->watch);
	files->watch = watch;
	forget_paths(files);
	for (size_t i = 0; i < count; i++) {
		files->paths[i] = strdup(paths[i]);
		if (!files->paths[i])
			return error_set(error, ENOMEM, "out of memory");
		files->count = i + 1;
	}
	read_files(files);
	return 0;
}

const struct error *denial_files_problem(const struct denial_files *files)
{
	return &files->problem;
}
