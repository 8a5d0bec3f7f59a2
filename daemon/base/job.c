// SPDX-License-Identifier: Apache-2.0

#include "base/job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 15

struct job {
	struct job_work work;
	pthread_t thread;
	bool running;
	atomic_bool cancelled;
	int fd;
	sd_event_source *source;
};

bool job_cancelled(const struct job *job)
{
	return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

static void *thread_run(void *data)
{
	struct job *job = data;

	// Of this thread alone, as Linux has it. Packets and the loop come first on a machine with few cores.
	if (!job->work.urgent)
		(void)setpriority(PRIO_PROCESS, 0, NICE);
	job->work.run(job, job->work.data);
	(void)!eventfd_write(job->fd, 1);
	return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct job *job = data;

	(void)fd;
	(void)events;
	pthread_join(job->thread, NULL);
	job->running = false;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	job->work.done(job->work.data);
	return 0;
}

int job_new(sd_event *event, const struct job_work *work, struct job **ret)
{
	_cleanup_(job_freep) struct job *job = calloc(1, sizeof(*job));
	sigset_t every, before;

	if (!job)
		return -ENOMEM;
	job->work = *work;
	job->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (job->fd < 0)
		return -errno;
	int r = sd_event_add_io(event, &job->source, job->fd, EPOLLIN, on_done, job);
	if (r < 0)
		return r;
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	r = -pthread_create(&job->thread, NULL, thread_run, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return r;
	job->running = true;
	*ret = take(job);
	return 0;
}

struct job *job_free(struct job *job)
{
	if (!job)
		return NULL;
	atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
	if (job->running)
		pthread_join(job->thread, NULL);
	sd_event_source_disable_unref(job->source);
	if (job->fd >= 0)
		close(job->fd);
	free(job);
	return NULL;
}
