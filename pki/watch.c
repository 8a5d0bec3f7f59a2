// SPDX-License-Identifier: Apache-2.0
// Files are watched through the directories in which their names are looked up, because a watch on a file dies with the
// file (pki/spot.h says which). Events only say "look": whether anything changed is decided by the content, 100 ms after the
// last of them, and once a minute without any (network file systems, hard links).

#include "pki/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/evp.h>

#include "base/buffer.h"
#include "base/log.h"
#include "pki/spot.h"
#include "pki/tls.h"

#define DEBOUNCE_US	     100000u
#define DEBOUNCE_ACCURACY_US 1000u
#define POLL_US		     60000000u
#define POLL_ACCURACY_US     1000000u
#define FILE_MAX	     (4u << 20)
#define ARM_TRIES	     4
#define DIGEST_SIZE	     32
#define EVENT_BUFFER_SIZE    4096 // many events; one of the longest name fits

struct content {
	int problem; // positive errno of reading, or 0
	uint8_t digest[DIGEST_SIZE];
};

struct watch {
	sd_event *event;
	watch_changed changed;
	void *data;
	char **paths; // absolute
	struct content *contents;
	size_t count;
	int fd;
	struct spots spots;
	sd_event_source *io, *debounce, *poll, *again;
};

static int arm_once(struct watch *watch, bool *ret_changed)
{
	_cleanup_(spots_done) struct spots spots = {0};
	int r = 0;
	// Without memory or watches left: what there is of them still counts.
	for (size_t i = 0; i < watch->count && r == 0; i++)
		r = spots_add_path(&spots, watch->fd, watch->paths[i]);
	*ret_changed = !spots_equal(&spots, &watch->spots);
	for (size_t i = 0; i < watch->spots.count; i++)
		if (!spots_have(&spots, watch->spots.list[i].wd, NULL))
			inotify_rm_watch(watch->fd, watch->spots.list[i].wd);
	struct spots old = watch->spots;
	watch->spots = spots;
	spots = old;
	return r;
}

// What moves between the look and the watch is seen by the second walk: it finds everything as the first left it, or
// starts again.
static int arm(struct watch *watch)
{
	bool changed = true;

	for (unsigned tries = 0; changed && tries < ARM_TRIES; tries++) {
		int r = arm_once(watch, &changed);
		if (r < 0)
			return r;
	}
	return 0;
}

static void rearm(struct watch *watch)
{
	int r = arm(watch);

	if (r < 0)
		log_limited(LOG_LEVEL_WARNING,
			    "changes to files are noticed once a minute only: inotify: %s%s",
			    strerror(-r),
			    r == -ENOSPC ? "; raise fs.inotify.max_user_watches" : "");
}

// Of a large file: what changes with its content, instead of all of it.
static void content_stamp(const char *path, struct content *ret)
{
	struct content content = {0};
	struct stat info = {0};

	if (stat(path, &info) < 0)
		content.problem = errno;
	memcpy(content.digest, &info.st_ino, sizeof(info.st_ino));
	memcpy(content.digest + 8, &info.st_size, sizeof(info.st_size));
	memcpy(content.digest + 16, &info.st_mtim, sizeof(info.st_mtim));
	static_assert(sizeof(info.st_mtim) <= DIGEST_SIZE - 16 && sizeof(info.st_ino) <= 8 &&
			      sizeof(info.st_size) <= 8,
		      "they fit");
	*ret = content;
}

// -EAGAIN: it grew while it was read.
static int content_read(const char *path, struct content *ret)
{
	struct content content = {0};
	char *text = NULL;
	size_t size = 0;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r == -EAGAIN)
		return r;
	if (r == -EFBIG) {
		content_stamp(path, ret);
		return 0;
	}
	if (r == 0 &&
	    EVP_Q_digest(tls_library(), "SHA256", NULL, text, size, content.digest, NULL) != 1)
		r = -EIO;
	if (text)
		OPENSSL_cleanse(text, size); // one of them is a private key
	free(text);
	content.problem = -r;
	*ret = content;
	return 0;
}

static void later(sd_event_source *source, uint64_t us)
{
	sd_event_source_set_time_relative(source, us);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

// Reads all files. Whether one has another content than before.
static bool look(struct watch *watch)
{
	bool changed = false;

	rearm(watch);
	for (size_t i = 0; i < watch->count; i++) {
		struct content content;
		if (content_read(watch->paths[i], &content) < 0) {
			later(watch->debounce, DEBOUNCE_US);
			continue;
		}
		if (content.problem != watch->contents[i].problem ||
		    memcmp(content.digest, watch->contents[i].digest, DIGEST_SIZE) != 0)
			changed = true;
		watch->contents[i] = content;
	}
	return changed;
}

// Last in every handler: the callback may free the watch.
static void fire(struct watch *watch)
{
	sd_event_source_set_enabled(watch->again, SD_EVENT_OFF);
	watch->changed(watch->data);
}

static int on_debounce(sd_event_source *source, uint64_t now, void *data)
{
	struct watch *watch = data;

	(void)source;
	(void)now;
	if (look(watch))
		fire(watch);
	return 0;
}

static int on_poll(sd_event_source *source, uint64_t now, void *data)
{
	struct watch *watch = data;

	(void)now;
	later(source, POLL_US);
	if (look(watch))
		fire(watch);
	return 0;
}

static int on_again(sd_event_source *source, uint64_t now, void *data)
{
	struct watch *watch = data;

	(void)source;
	(void)now;
	look(watch);
	fire(watch);
	return 0;
}

static bool event_concerns(const struct watch *watch, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		return true;
	return spots_have(&watch->spots, event->wd, event->len ? event->name : NULL);
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	alignas(struct inotify_event) char buffer[EVENT_BUFFER_SIZE];
	struct watch *watch = data;
	bool concerns = false;
	ssize_t size;

	(void)source;
	(void)revents;
	while ((size = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct inotify_event *event = (const void *)(buffer + at);
			concerns = concerns || event_concerns(watch, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	if (concerns) {
		rearm(watch);
		later(watch->debounce, DEBOUNCE_US);
	}
	return 0;
}

static int add_timer(struct watch *watch, sd_event_source **ret, uint64_t accuracy,
		     sd_event_time_handler_t handler)
{
	int r = sd_event_add_time_relative(watch->event, ret, CLOCK_BOOTTIME, POLL_US, accuracy,
					   handler, watch);
	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_sources(struct watch *watch)
{
	int r;

	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0)
		return -errno;
	if ((r = sd_event_add_io(watch->event, &watch->io, watch->fd, EPOLLIN, on_inotify, watch)) <
		    0 ||
	    (r = add_timer(watch, &watch->debounce, DEBOUNCE_ACCURACY_US, on_debounce)) < 0 ||
	    (r = add_timer(watch, &watch->again, DEBOUNCE_ACCURACY_US, on_again)) < 0 ||
	    (r = add_timer(watch, &watch->poll, POLL_ACCURACY_US, on_poll)) < 0)
		return r;
	return sd_event_source_set_enabled(watch->poll, SD_EVENT_ONESHOT);
}

// The process may change its directory later.
static char *absolute(const char *path)
{
	_cleanup_(freep) char *here = *path == '/' ? NULL : get_current_dir_name();
	char *whole;

	if (*path == '/')
		return strdup(path);
	return here && asprintf(&whole, "%s/%s", here, path) > 0 ? whole : NULL;
}

static int copy_paths(struct watch *watch, const char *const *paths, size_t count)
{
	watch->paths = calloc(count ? count : 1, sizeof(*watch->paths));
	watch->contents = calloc(count ? count : 1, sizeof(*watch->contents));
	if (!watch->paths || !watch->contents)
		return -ENOMEM;
	for (; watch->count < count; watch->count++) {
		watch->paths[watch->count] = absolute(paths[watch->count]);
		if (!watch->paths[watch->count])
			return -ENOMEM;
	}
	return 0;
}

int watch_new(sd_event *event, const char *const *paths, size_t count, watch_changed changed,
	      void *data, struct watch **ret)
{
	_cleanup_(watch_freep) struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch || !tls_library())
		return -ENOMEM;
	watch->fd = -1;
	watch->event = sd_event_ref(event);
	watch->changed = changed;
	watch->data = data;
	int r = copy_paths(watch, paths, count);
	if (r == 0)
		r = add_sources(watch);
	if (r < 0)
		return r;
	look(watch);
	*ret = take(watch);
	return 0;
}

struct watch *watch_free(struct watch *watch)
{
	if (!watch)
		return NULL;
	sd_event_source_disable_unref(watch->io);
	sd_event_source_disable_unref(watch->debounce);
	sd_event_source_disable_unref(watch->again);
	sd_event_source_disable_unref(watch->poll);
	sd_event_unref(watch->event);
	if (watch->fd >= 0)
		close(watch->fd);
	spots_done(&watch->spots);
	for (size_t i = 0; i < watch->count; i++)
		free(watch->paths[i]);
	free(watch->paths);
	free(watch->contents);
	free(watch);
	return NULL;
}

void watch_again(struct watch *watch, unsigned ms)
{
	later(watch->again, (uint64_t)ms * 1000);
}
