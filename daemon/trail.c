// SPDX-License-Identifier: Apache-2.0
// Theory of operation: trail_put() adds to `waiting` under the lock. The thread takes all of it at once and writes it without the lock.
// Where that fails it keeps what is left and tries again every second.

#include "daemon/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"

#define AGAIN_S 1

struct trail {
	pthread_mutex_t lock;
	pthread_cond_t change;
	pthread_t thread;

	// Under the lock.
	struct buffer waiting;
	char *path;
	uint64_t size;
	unsigned keep;
	bool reopen, stop;
	uint64_t untold; // lost lines of which the file does not know yet
	struct trail_status status;

	// The thread's own.
	struct buffer taken;
	int fd; // -1: to be opened
	uint64_t length;
};

static void count_lost(struct trail *trail, uint64_t lines)
{
	trail->status.lost += lines;
	trail->untold += lines;
}

// --- the thread; under the lock only where it says so

static int open_file(struct trail *trail, const char *path)
{
	struct stat info;
	_cleanup_(closep) int fd = open(
		path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &info) < 0 || fchmod(fd, 0600) < 0)
		return -errno;
	if (!S_ISREG(info.st_mode))
		return -EBADF;
	trail->length = (uint64_t)info.st_size;
	trail->fd = take_fd(&fd);
	return 0;
}

static void close_file(struct trail *trail)
{
	closep(&trail->fd);
	trail->fd = -1;
}

// PATH.N becomes PATH.N+1, from the oldest on; what is beyond `keep` is overwritten.
static int rotate(struct trail *trail, const char *path, unsigned keep)
{
	char from[PATH_MAX], to[PATH_MAX];
	fdatasync(trail->fd);
	close_file(trail);
	if (keep == 0)
		return unlink(path) < 0 ? -errno : 0;
	for (unsigned i = keep; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%u", path, i);
		snprintf(from, sizeof(from), i > 1 ? "%s.%u" : "%s", path, i - 1);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

// All or nothing: half a line would spoil the next one, too.
static int write_all(struct trail *trail, const void *data, size_t size)
{
	ssize_t n = write(trail->fd, data, size);
	if (n == (ssize_t)size) {
		trail->length += size;
		return 0;
	}
	int r = n < 0 ? -errno : -ENOSPC;
	if (n > 0 && ftruncate(trail->fd, (off_t)trail->length) < 0)
		close_file(trail);
	return r == -EINTR ? -EAGAIN : r;
}

// How many bytes of whole lines, at least one, fit the file.
static size_t fitting(const struct trail *trail, uint64_t most, const char *text, size_t size)
{
	uint64_t room = most > trail->length ? most - trail->length : 0;
	const char *end = room >= size ? text + size - 1 : NULL;
	if (!end && room > 0)
		end = memrchr(text, '\n', room);
	if (!end && trail->length == 0)
		end = memchr(text, '\n', size);
	return end ? (size_t)(end - text) + 1 : 0;
}

static unsigned lines_in(const char *text, size_t size)
{
	unsigned lines = 0;
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	return lines;
}

struct plan { // what trail_set() said last
	char path[PATH_MAX - 16];
	uint64_t size;
	unsigned keep;
};

static int write_some(struct trail *trail, const struct plan *plan)
{
	const char *text = (const char *)buffer_head(&trail->taken);
	if (!text)
		return -ENODATA;
	int r = trail->fd < 0 ? open_file(trail, plan->path) : 0;
	if (r < 0)
		return r;
	size_t size = fitting(trail, plan->size, text, trail->taken.size);
	if (size == 0) {
		r = rotate(trail, plan->path, plan->keep);
		pthread_mutex_lock(&trail->lock);
		trail->status.rotated += r == 0;
		pthread_mutex_unlock(&trail->lock);
		return r;
	}
	r = write_all(trail, text, size);
	if (r < 0)
		return r;
	pthread_mutex_lock(&trail->lock);
	trail->status.written += lines_in(text, size);
	pthread_mutex_unlock(&trail->lock);
	buffer_consume(&trail->taken, size);
	return 0;
}

static int write_taken(struct trail *trail, const struct plan *plan)
{
	int r = 0;
	while (r == 0 && trail->taken.size > 0)
		r = write_some(trail, plan);
	return r;
}

static void say(const struct plan *plan, int code, struct error *problem)
{
	char text[ERROR_TEXT_MAX];
	if (code == 0 && problem->code) {
		log_warning("%s is written again", plan->path);
		problem->code = 0;
	}
	if (code == 0 || problem->code == -code)
		return;
	error_set(problem, -code, "cannot write %.256s: %s", plan->path,
		  code == -EBADF ? "it is not a regular file" : strerror(-code));
	error_remedy(problem,
		     "see that its directory is there and the disk has room; %u MiB wait "
		     "until then, the rest is lost",
		     TRAIL_WAITING_MAX >> 20);
	log_error("%s", error_text(problem, text, sizeof(text)));
}

// Under the lock. Waits until there is something to do; after a failure at most AGAIN_S.
static void wait_for_work(struct trail *trail)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += AGAIN_S;
	while (!trail->stop && !trail->reopen) {
		if (trail->taken.size == 0 && trail->waiting.size == 0)
			pthread_cond_wait(&trail->change, &trail->lock);
		else if (trail->taken.size == 0 ||
			 pthread_cond_timedwait(&trail->change, &trail->lock, &until))
			return;
	}
}

// Under the lock. What was lost is told before what comes after it.
static void tell_lost(struct trail *trail)
{
	char line[64];
	if (trail->untold == 0)
		return;
	int size = snprintf(line, sizeof(line), "{\"event\":\"lost\",\"count\":%" PRIu64 "}\n",
			    trail->untold);
	if (buffer_put(&trail->taken, line, (size_t)size) == 0)
		trail->untold = 0;
}

// Under the lock. What is left of an earlier try stays first.
static void take_work(struct trail *trail, struct plan *ret)
{
	if (trail->taken.size == 0) {
		struct buffer empty = trail->taken;
		trail->taken = trail->waiting;
		trail->waiting = empty;
		tell_lost(trail);
	}
	if (trail->reopen)
		close_file(trail);
	trail->reopen = false;
	snprintf(ret->path, sizeof(ret->path), "%s", trail->path);
	ret->size = trail->size;
	ret->keep = trail->keep;
}

static void *run(void *data)
{
	struct trail *trail = data;
	struct plan plan;
	bool stop = false;
	while (!stop) {
		pthread_mutex_lock(&trail->lock);
		wait_for_work(trail);
		stop = trail->stop;
		take_work(trail, &plan);
		struct error problem = trail->status.problem;
		pthread_mutex_unlock(&trail->lock);
		int r = write_taken(trail, &plan);
		say(&plan, r, &problem);
		pthread_mutex_lock(&trail->lock);
		trail->status.problem = problem;
		// Another turn for what came meanwhile.
		stop = stop && (r < 0 || trail->waiting.size == 0);
		pthread_mutex_unlock(&trail->lock);
	}
	if (trail->fd >= 0)
		fdatasync(trail->fd);
	return NULL;
}

// --- the control thread

static int start(struct trail *trail)
{
	sigset_t every, before;
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	int r = -pthread_create(&trail->thread, NULL, run, trail);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_setname_np(trail->thread, "trail");
	return r;
}

static void release(struct trail *trail)
{
	close_file(trail);
	buffer_done(&trail->waiting);
	buffer_done(&trail->taken);
	pthread_cond_destroy(&trail->change);
	pthread_mutex_destroy(&trail->lock);
	free(trail->path);
	free(trail);
}

int trail_new(const struct trail_options *options, struct trail **ret)
{
	struct trail *trail = calloc(1, sizeof(*trail));
	pthread_condattr_t attributes;
	if (!trail)
		return -ENOMEM;
	trail->fd = -1;
	// A line more than what may wait: of what was lost.
	buffer_init(&trail->waiting, TRAIL_WAITING_MAX + 64, false);
	buffer_init(&trail->taken, TRAIL_WAITING_MAX + 64, false);
	pthread_mutex_init(&trail->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&trail->change, &attributes);
	pthread_condattr_destroy(&attributes);
	int r = trail_set(trail, options);
	if (r == 0)
		r = start(trail);
	if (r < 0) {
		release(trail);
		return r;
	}
	*ret = trail;
	return 0;
}

struct trail *trail_free(struct trail *trail)
{
	if (!trail)
		return NULL;
	pthread_mutex_lock(&trail->lock);
	trail->stop = true;
	pthread_cond_signal(&trail->change);
	pthread_mutex_unlock(&trail->lock);
	pthread_join(trail->thread, NULL);
	release(trail);
	return NULL;
}

int trail_set(struct trail *trail, const struct trail_options *options)
{
	if (strlen(options->path) >= sizeof(((struct plan *)0)->path))
		return -ENAMETOOLONG;
	char *path = strdup(options->path);
	if (!path)
		return -ENOMEM;
	pthread_mutex_lock(&trail->lock);
	free(trail->path);
	trail->path = path;
	trail->size = options->size;
	trail->keep = options->keep;
	trail->reopen = true;
	pthread_cond_signal(&trail->change);
	pthread_mutex_unlock(&trail->lock);
	return 0;
}

void trail_put(struct trail *trail, const char *line, size_t size)
{
	pthread_mutex_lock(&trail->lock);
	bool room = trail->waiting.size + size + 1 <= TRAIL_WAITING_MAX;
	uint8_t *place = room ? buffer_reserve(&trail->waiting, size + 1) : NULL;
	if (place) {
		memcpy(place, line, size);
		place[size] = '\n';
		buffer_commit(&trail->waiting, size + 1);
		pthread_cond_signal(&trail->change);
	} else {
		count_lost(trail, 1);
	}
	pthread_mutex_unlock(&trail->lock);
}

void trail_status(struct trail *trail, struct trail_status *ret)
{
	pthread_mutex_lock(&trail->lock);
	*ret = trail->status;
	ret->waiting = trail->waiting.size;
	pthread_mutex_unlock(&trail->lock);
}
