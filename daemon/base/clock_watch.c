// SPDX-License-Identifier: Apache-2.0

#include "base/clock_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

struct clock_watch {
	clock_stepped stepped;
	void *data;
	int64_t offset_ms; // of the wall clock from the monotonic one
	int fd;
	sd_event_source *source;
};

static int64_t offset(void)
{
	return clock_wall_ms() - (int64_t)clock_ms();
}

// A timer that never comes; it is there to be cancelled.
static int arm(struct clock_watch *watch)
{
	struct itimerspec never = {.it_value.tv_sec = INT64_MAX / 1000000000};

	return timerfd_settime(watch->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
			       NULL) < 0
		       ? -errno
		       : 0;
}

static int on_set(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct clock_watch *watch = data;
	uint64_t count;

	(void)source;
	(void)events;
	(void)!read(fd, &count, sizeof(count)); // ECANCELED is the news
	arm(watch);
	clock_watch_look(watch);
	return 0;
}

int clock_watch_new(sd_event *event, clock_stepped stepped, void *data, struct clock_watch **ret)
{
	_cleanup_(clock_watch_freep) struct clock_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->stepped = stepped;
	watch->data = data;
	watch->offset_ms = offset();
	watch->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (watch->fd < 0)
		return -errno;
	int r = arm(watch);
	if (r == 0)
		r = sd_event_add_io(event, &watch->source, watch->fd, EPOLLIN, on_set, watch);
	if (r < 0)
		return r;
	*ret = take(watch);
	return 0;
}

struct clock_watch *clock_watch_free(struct clock_watch *watch)
{
	if (!watch)
		return NULL;
	sd_event_source_disable_unref(watch->source);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch);
	return NULL;
}

void clock_watch_look(struct clock_watch *watch)
{
	int64_t now = offset(), step_ms = now - watch->offset_ms;

	// What creeps adds up until it is a step.
	if (step_ms > -CLOCK_STEP_MIN_MS && step_ms < CLOCK_STEP_MIN_MS)
		return;
	watch->offset_ms = now;
	watch->stepped((step_ms + (step_ms < 0 ? -500 : 500)) / 1000, watch->data);
}
