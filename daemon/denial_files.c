// SPDX-License-Identifier: Apache-2.0

#include "daemon/denial_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/job.h"
#include "base/log.h"
#include "pki/denial_store.h"
#include "pki/denials.h"
#include "pki/denials_file.h"
#include "pki/identity.h"
#include "pki/trust.h"
#include "pki/watch.h"

#define PREFIX	 "denials-" // and the trust domain
#define LARGE	 262144	    // bytes of a file that the loop does not wait for
#define AGAIN_US 60000000u  // from a copy that could not be written to the next try

// One copy that is being written.
struct copy {
	struct denials *denials;
	char *path;
	int result;
};

// One file that is read, perhaps on a thread of its own.
struct reading {
	char *path;
	struct trust *trust; // NULL: whoever signed it may
	struct denials *known[DENIAL_STORE_MAX];
	size_t known_count;
	struct denials *old; // of those known: the ones of its trust domain; NULL: none
	char domain[IDENTITY_DOMAIN_MAX + 1];
	struct denials *denials;
	int result;
	struct error error;
};

struct denial_files {
	struct denial_files_tools tools;
	char *state;
	char *paths[DENIAL_FILES_MAX];
	size_t count;
	struct watch *watch;
	struct error problem;
	struct reading reading;
	size_t next;				   // file to be read
	bool good;				   // so far
	struct job *reader;			   // NULL: nothing is being read
	bool again_read;			   // there was reason to, meanwhile
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

static void reading_done(struct reading *reading)
{
	for (size_t i = 0; i < reading->known_count; i++)
		denials_put(reading->known[i]);
	denials_put(reading->denials);
	trust_put(reading->trust);
	free(reading->path);
	*reading = (struct reading){0};
}

// Takes references of what is known now.
static int reading_init(struct reading *reading, const struct denial_files *files, const char *path,
			struct trust *trust)
{
	const struct denial_entry *entry;
	*reading = (struct reading){.path = strdup(path), .trust = trust ? trust_get(trust) : NULL};
	while ((entry = denial_store_at(files->tools.store, reading->known_count)))
		reading->known[reading->known_count++] = denials_get(entry->denials);
	return reading->path ? 0 : -ENOMEM;
}

// On any thread. Returns as denials_file_read().
static int reading_run(struct reading *reading)
{
	_cleanup_(freep) char *text = NULL;
	struct error *error = &reading->error;
	size_t size;
	int r = file_read(reading->path, DENIALS_FILE_MAX, &text, &size);
	if (r < 0)
		return error_set(error, -r, "they cannot be read: %s", strerror(-r));
	r = denials_file_domain(text, size, reading->domain, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < reading->known_count; i++)
		if (strcmp(denials_domain(reading->known[i]), reading->domain) == 0)
			reading->old = reading->known[i];
	return denials_file_parse(text, size, reading->domain, reading->old, reading->trust,
				  &reading->denials, error);
}

static int reading_take(struct reading *reading, const struct denial_files *files)
{
	if (reading->result < 0)
		return reading->result;
	log_info("denials of %s: %llu are known, from %s", reading->domain,
		 (unsigned long long)denials_number(reading->denials), reading->path);
	int r = denial_store_put(files->tools.store, reading->denials, reading->path);
	return r < 0 ? error_set(&reading->error, -r, "they cannot be kept: %s", strerror(-r)) : 0;
}

// False: peers told of others meanwhile, which these were not judged by.
static bool conclude(struct denial_files *files)
{
	_cleanup_(reading_done) struct reading reading = files->reading;
	files->reading = (struct reading){0};
	if (reading.result == 0 &&
	    denial_store_find(files->tools.store, reading.domain) != reading.old)
		return false;
	int r = reading_take(&reading, files);
	// Before the first revocation there is no file. A copy may come later than what peers tell.
	if (r == -ERANGE)
		log_info("%s is not the newest: %s", reading.path, reading.error.what);
	if (r == 0 || r == -ESTALE || r == -ERANGE || r == -ENOENT)
		return true;
	say(files, reading.path, &reading.error);
	files->good = false;
	return true;
}

static void run_reading(struct job *job, void *data)
{
	struct reading *reading = &((struct denial_files *)data)->reading;
	(void)job;
	reading->result = reading_run(reading);
}

static void on_read(void *data);

static bool is_large(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && status.st_size >= LARGE;
}

// From `next` on, until one takes a thread of its own.
static void read_on(struct denial_files *files, bool wait)
{
	struct job_work work = {.run = run_reading, .done = on_read, .data = files};
	while (files->next < files->count) {
		const char *path = files->paths[files->next];
		if (reading_init(&files->reading, files, path,
				 files->tools.trust(files->tools.data)) < 0) {
			reading_done(&files->reading);
			return;
		}
		if (!wait && is_large(path) &&
		    job_new(files->tools.event, &work, &files->reader) == 0)
			return;
		run_reading(NULL, files);
		files->next += conclude(files);
	}
	if (files->good)
		files->problem.code = 0;
}

static void read_files(struct denial_files *files, bool wait)
{
	files->again_read = files->reader;
	if (files->reader)
		return;
	files->next = 0;
	files->good = true;
	read_on(files, wait);
}

static void on_read(void *data)
{
	struct denial_files *files = data;
	files->reader = job_free(files->reader);
	files->next += conclude(files);
	if (files->again_read)
		read_files(files, false);
	else
		read_on(files, false);
}

static void on_changed(void *data)
{
	read_files(data, false);
}

static void read_copy(struct denial_files *files, const char *name)
{
	_cleanup_(reading_done) struct reading reading = {0};
	_cleanup_(freep) char *path = NULL;
	char text[ERROR_TEXT_MAX];
	if (asprintf(&path, "%s/%s", files->state, name) < 0) {
		path = NULL;
		return;
	}
	// The CA certificate that signed it may have been replaced meanwhile: it was believed when it came.
	if (reading_init(&reading, files, path, NULL) < 0)
		return;
	reading.result = reading_run(&reading);
	if (reading_take(&reading, files) < 0)
		log_error("the denials kept in %s cannot be used: %s", path,
			  error_text(&reading.error, text, sizeof(text)));
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
	job_free(files->reader);
	reading_done(&files->reading);
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
		       bool wait, struct error *error)
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
	read_files(files, wait);
	return 0;
}

const struct error *denial_files_problem(const struct denial_files *files)
{
	return &files->problem;
}
