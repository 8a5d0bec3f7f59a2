// SPDX-License-Identifier: Apache-2.0
// One thread accepts and lets in or turns away (gate); it does nothing that takes long, so that a flood meets a fast no. What
// is let in goes to the handshake threads in turn. The control thread opens sockets and marks those that are to go; the
// accepting thread takes them up and closes them.

#include "server/listener.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <urcu/list.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "server/bind.h"
#include "server/gate.h"
#include "server/handshake.h"

#define ACCEPT_BATCH 64
#define PAUSE_US     100000u // after an error that accept() would meet again at once
#define THREADS_MAX  16u

struct listening {
	struct cds_list_head list;
	struct listener *listener;
	struct endpoint endpoint;
	int fd;
	bool wanted;		 // under the lock
	sd_event_source *source; // of the accepting thread; NULL: it has not seen the socket yet
};

struct listener {
	uint32_t mark;
	struct gate *gate;
	struct handshakes *handshakes;
	_Atomic uint64_t accepted, refused_half_open, refused_source;

	pthread_t thread;
	bool running;
	sd_event *event; // of the accepting thread, as these sources
	sd_event_source *wake, *resume;
	int wake_fd;
	bool paused;

	pthread_mutex_t lock; // what stands below
	struct cds_list_head sockets;
	bool stop;
};

static struct listening *listening_free(struct listening *listening)
{
	if (!listening)
		return NULL;
	sd_event_source_disable_unref(listening->source);
	if (listening->fd >= 0)
		close(listening->fd);
	free(listening);
	return NULL;
}
DEFINE_CLEANUP(struct listening *, listening_free);

static int listening_new(struct listener *listener, const struct endpoint *endpoint, bool share,
			 struct listening **ret)
{
	_cleanup_(listening_freep) struct listening *listening = calloc(1, sizeof(*listening));

	if (!listening)
		return -ENOMEM;
	listening->listener = listener;
	listening->endpoint = *endpoint;
	listening->wanted = true;
	listening->fd = -1;
	int r = bind_tcp(endpoint, listener->mark, share, &listening->fd);
	if (r < 0)
		return r;
	*ret = take(listening);
	return 0;
}

static bool endpoint_among(const struct endpoint *endpoint, const struct endpoint *endpoints,
			   size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_equal(endpoint, &endpoints[i]))
			return true;
	return false;
}

static struct listening *listening_find(const struct cds_list_head *sockets,
					const struct endpoint *endpoint)
{
	struct listening *listening;

	cds_list_for_each_entry (listening, sockets, list)
		if (endpoint_equal(&listening->endpoint, endpoint))
			return listening;
	return NULL;
}

// Whether a socket that goes held the port: 0.0.0.0:443 is to become 192.0.2.1:443. It lets the new one in beside it.
static bool make_way(struct listener *listener, const struct endpoint *endpoint,
		     const struct endpoint *endpoints, size_t count)
{
	struct listening *listening;
	bool any = false;

	cds_list_for_each_entry (listening, &listener->sockets, list) {
		if (listening->endpoint.port != endpoint->port ||
		    endpoint_among(&listening->endpoint, endpoints, count))
			continue;
		any |= bind_share(listening->fd, true);
	}
	return any;
}

static void list_free(struct cds_list_head *sockets)
{
	while (!cds_list_empty(sockets)) {
		struct listening *listening = cds_list_entry(sockets->next, struct listening, list);
		cds_list_del(&listening->list);
		listening_free(listening);
	}
}

// Binds what is not there yet, into `fresh`.
static int sockets_bind(struct listener *listener, const struct endpoint *endpoints, size_t count,
			struct cds_list_head *fresh, struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		struct listening *listening = NULL;
		const struct endpoint *endpoint = &endpoints[i];
		if (listening_find(&listener->sockets, endpoint) || listening_find(fresh, endpoint))
			continue;
		int r = listening_new(listener, endpoint, false, &listening);
		if (r == -EADDRINUSE && make_way(listener, endpoint, endpoints, count))
			r = listening_new(listener, endpoint, true, &listening);
		if (r < 0)
			return bind_error(endpoint, -r, error);
		cds_list_add_tail(&listening->list, fresh);
	}
	return 0;
}

// Under the lock.
static int sockets_change(struct listener *listener, const struct endpoint *endpoints, size_t count,
			  struct error *error)
{
	struct listening *listening;
	CDS_LIST_HEAD(fresh);
	int r = sockets_bind(listener, endpoints, count, &fresh, error);

	if (r < 0) {
		list_free(&fresh);
	} else {
		cds_list_for_each_entry (listening, &listener->sockets, list)
			listening->wanted = endpoint_among(&listening->endpoint, endpoints, count);
		cds_list_splice(&fresh, &listener->sockets);
	}
	// No longer than for this: a second daemon would get a share of the connections instead of an error.
	cds_list_for_each_entry (listening, &listener->sockets, list)
		bind_share(listening->fd, false);
	return r;
}

int listener_set_endpoints(struct listener *listener, const struct endpoint *endpoints,
			   size_t count, struct error *error)
{
	pthread_mutex_lock(&listener->lock);
	int r = sockets_change(listener, endpoints, count, error);
	pthread_mutex_unlock(&listener->lock);
	if (r >= 0)
		(void)!eventfd_write(listener->wake_fd, 1);
	return r;
}

// With a reset: nothing of it stays behind here.
static void refuse(struct listener *listener, int fd, const struct endpoint *peer,
		   enum gate_verdict verdict)
{
	static const char *const reasons[] = {
		[GATE_FULL] = "too many handshakes are under way",
		[GATE_SOURCE] = "too many handshakes of this source are under way",
		[GATE_RATE] = "this source begins handshakes too often",
	};
	struct linger none = {.l_onoff = 1, .l_linger = 0};
	char text[ENDPOINT_TEXT_MAX];

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
	atomic_fetch_add(
		verdict == GATE_FULL ? &listener->refused_half_open : &listener->refused_source, 1);
	log_limited(LOG_LEVEL_INFO, "connection from %s refused: %s", endpoint_text(peer, text),
		    reasons[verdict]);
}

static void let_in(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
	struct endpoint peer = {0};
	struct gate_ticket ticket;

	if (endpoint_from_sockaddr(address, &peer) < 0) {
		close(fd);
		return;
	}
	enum gate_verdict verdict = gate_enter(listener->gate, &peer.addr, clock_ms(), &ticket);
	if (verdict == GATE_PASS)
		handshakes_add(listener->handshakes, fd, ticket, &peer);
	else
		refuse(listener, fd, &peer, verdict);
}

static void sources_enable(struct listener *listener, bool enable)
{
	struct listening *listening;

	pthread_mutex_lock(&listener->lock);
	cds_list_for_each_entry (listening, &listener->sockets, list)
		if (listening->source)
			sd_event_source_set_enabled(listening->source,
						    enable ? SD_EVENT_ON : SD_EVENT_OFF);
	pthread_mutex_unlock(&listener->lock);
	listener->paused = !enable;
}

static int on_resume(sd_event_source *source, uint64_t time, void *data)
{
	(void)source;
	(void)time;
	sources_enable(data, true);
	return 0;
}

// The connection stays in the queue, and would be announced again and again.
static void accepting_pause(struct listener *listener, int code)
{
	log_limited(LOG_LEVEL_ERROR, "connections cannot be accepted: %s", strerror(code));
	sources_enable(listener, false);
	sd_event_source_set_time_relative(listener->resume, PAUSE_US);
	sd_event_source_set_enabled(listener->resume, SD_EVENT_ONESHOT);
}

static void accept_batch(struct listener *listener, int fd)
{
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage address;
		socklen_t size = sizeof(address);
		int accepted = accept4(fd, (struct sockaddr *)&address, &size,
				       SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted >= 0) {
			let_in(listener, accepted, &address);
			atomic_fetch_add(&listener->accepted,
					 1); // those refused are counted by now
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accepting_pause(listener, errno);
			return;
		}
		// Anything else is a fault of that one connection (accept(2), "Error handling").
	}
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct listening *listening = data;

	(void)source;
	(void)events;
	accept_batch(listening->listener, fd);
	return 0;
}

static int listening_attach(struct listening *listening)
{
	struct listener *listener = listening->listener;
	int r = sd_event_add_io(listener->event, &listening->source, listening->fd, EPOLLIN,
				on_connection, listening);

	if (r >= 0 && listener->paused)
		sd_event_source_set_enabled(listening->source, SD_EVENT_OFF);
	return r;
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct listener *listener = data;
	struct listening *listening, *next;
	eventfd_t value;
	int r = 0;
	CDS_LIST_HEAD(gone);

	(void)source;
	(void)events;
	(void)!eventfd_read(fd, &value);
	pthread_mutex_lock(&listener->lock);
	cds_list_for_each_entry_safe (listening, next, &listener->sockets, list) {
		if (!listening->wanted) {
			cds_list_move(&listening->list, &gone);
		} else if (!listening->source && r >= 0) {
			r = listening_attach(listening);
		}
	}
	bool stop = listener->stop;
	pthread_mutex_unlock(&listener->lock);
	// Who connected before it goes would get a reset.
	cds_list_for_each_entry (listening, &gone, list)
		accept_batch(listener, listening->fd);
	list_free(&gone);
	if (r < 0)
		log_error("a listening socket cannot be watched: %s", strerror(-r));
	return stop ? sd_event_exit(listener->event, 0) : 0;
}

static void *accept_run(void *data)
{
	struct listener *listener = data;
	int r = sd_event_loop(listener->event);

	if (r < 0)
		log_error("connections are not accepted any more: %s", strerror(-r));
	return NULL;
}

// The loop of the accepting thread, and the thread.
static int accepting_start(struct listener *listener)
{
	sigset_t every, before;

	int r = sd_event_new(&listener->event);
	if (r >= 0)
		r = sd_event_add_io(listener->event, &listener->wake, listener->wake_fd, EPOLLIN,
				    on_wake, listener);
	if (r >= 0)
		r = sd_event_add_time(listener->event, &listener->resume, CLOCK_BOOTTIME, 0, 0,
				      on_resume, listener);
	if (r >= 0)
		r = sd_event_source_set_enabled(listener->resume, SD_EVENT_OFF);
	if (r < 0)
		return r;
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	r = -pthread_create(&listener->thread, NULL, accept_run, listener);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	listener->running = r == 0;
	return r;
}

static int listener_start(struct listener *listener, sd_event *event,
			  const struct listener_limits *limits, struct tls_context *context,
			  listener_opened opened, void *data)
{
	const struct gate_limits gate_limits = {.half_open = limits->half_open,
						.half_open_source = limits->half_open_source,
						.starts_per_second = limits->starts_per_second,
						.starts_burst = limits->starts_burst};
	struct handshake_options options = {.threads = limits->threads,
					    .context = context,
					    .event = event,
					    .opened = opened,
					    .data = data};

	if (options.threads < 1)
		options.threads = 1;
	if (options.threads > THREADS_MAX)
		options.threads = THREADS_MAX;
	listener->wake_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (listener->wake_fd < 0)
		return -errno;
	options.gate = listener->gate = gate_new(&gate_limits);
	if (!listener->gate)
		return -ENOMEM;
	int r = handshakes_new(&options, &listener->handshakes);
	return r < 0 ? r : accepting_start(listener);
}

int listener_new(sd_event *event, const struct endpoint *endpoints, size_t count, uint32_t mark,
		 const struct listener_limits *limits, struct tls_context *context,
		 listener_opened opened, void *data, struct listener **ret, struct error *error)
{
	struct listener *plain = calloc(1, sizeof(*plain));

	if (!plain)
		return error_set(error, ENOMEM, "out of memory");
	plain->mark = mark;
	plain->wake_fd = -1;
	pthread_mutex_init(&plain->lock, NULL);
	CDS_INIT_LIST_HEAD(&plain->sockets);
	_cleanup_(listener_freep) struct listener *listener = plain;
	int r = sockets_change(listener, endpoints, count, error);
	if (r < 0)
		return r;
	r = listener_start(listener, event, limits, context, opened, data);
	if (r < 0)
		return error_set(error, -r, "cannot start to listen: %s", strerror(-r));
	*ret = take(listener);
	return 0;
}

struct listener *listener_free(struct listener *listener)
{
	if (!listener)
		return NULL;
	pthread_mutex_lock(&listener->lock);
	listener->stop = true;
	pthread_mutex_unlock(&listener->lock);
	if (listener->running) {
		(void)!eventfd_write(listener->wake_fd, 1);
		pthread_join(listener->thread, NULL);
	}
	list_free(&listener->sockets);
	handshakes_free(listener->handshakes);
	gate_free(listener->gate);
	sd_event_source_disable_unref(listener->wake);
	sd_event_source_disable_unref(listener->resume);
	sd_event_unref(listener->event);
	if (listener->wake_fd >= 0)
		close(listener->wake_fd);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
	return NULL;
}

void listener_set_context(struct listener *listener, struct tls_context *context)
{
	handshakes_set_context(listener->handshakes, context);
}

struct listener_counters listener_counters(const struct listener *listener)
{
	const struct handshake_counters *counters = handshakes_counters(listener->handshakes);

	return (struct listener_counters){
		.accepted = listener->accepted,
		.opened = counters->opened,
		.failed = counters->failed,
		.timed_out = counters->timed_out,
		.refused_half_open = listener->refused_half_open,
		.refused_source = listener->refused_source,
		.refused_us = counters->refused_us,
	};
}
