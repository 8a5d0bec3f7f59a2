// SPDX-License-Identifier: Apache-2.0
// A handshake belongs to one thread at a time, which is the list it stands in: `incoming` of a thread (under the lock), `live`
// and then `done` of the same thread (its own), `opened` (under the lock), and after that the control thread. Its ticket goes
// back only there, so that authenticated connections which wait for a busy control thread are bounded, too.
//
// At CHANNEL_OPEN the connection leaves the loop at once, but goes to the control thread from a loop round of its own (`hand`):
// the event comes from within the connection, which must be out of its own functions before another thread gets it.

#include "server/handshake.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <urcu/list.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "tun/connection.h"

#define NICENESS     5	// packets first
#define HAND_OVER    32 // connections that the control thread takes in one go
#define FAREWELLS    64 // failed connections that may hear why and close in order, per thread ...
#define FAREWELLS_MS 3000u // ... and this time; others are closed at once

struct handshake {
	struct cds_list_head list;
	struct thread *thread;
	struct connection *connection;
	int fd; // before there is a connection
	struct gate_ticket ticket;
	struct endpoint peer;
};

struct thread {
	pthread_t id;
	bool running;
	struct handshakes *all;
	sd_event *event;
	int wake_fd;
	sd_event_source *wake, *hand;
	struct cds_list_head incoming;
	struct cds_list_head live, done;
	uint64_t farewells_ms; // since when they are counted
	unsigned farewells;
};

struct handshakes {
	struct gate *gate;
	listener_opened opened_handler;
	void *data;
	struct handshake_counters counters;
	sd_event_source *deliver;
	int deliver_fd;

	pthread_mutex_t lock; // what stands below, and `incoming` of the threads
	struct tls_context *context;
	struct cds_list_head opened;
	unsigned next; // thread that gets the next one
	bool stop;

	unsigned thread_count;
	struct thread threads[];
};

static void wake(int fd)
{
	(void)!eventfd_write(fd, 1);
}

static void woken(int fd)
{
	eventfd_t value;

	(void)!eventfd_read(fd, &value);
}

static void handshake_end(struct handshake *handshake, bool proven)
{
	gate_leave(handshake->thread->all->gate, handshake->ticket, proven, clock_ms());
	free(handshake);
}

static void handshake_drop(struct handshake *handshake)
{
	cds_list_del(&handshake->list);
	if (handshake->fd >= 0)
		close(handshake->fd);
	connection_free(handshake->connection);
	handshake_end(handshake, false);
}

static void drop_all(struct cds_list_head *list)
{
	struct handshake *handshake, *next;

	cds_list_for_each_entry_safe (handshake, next, list, list)
		handshake_drop(handshake);
}

// Whether a failed connection may stay for the moment that it takes to tell the peer. Bounded: those do not count as half
// open any more.
static bool farewell(struct thread *thread)
{
	uint64_t now = clock_ms();

	if (now - thread->farewells_ms >= FAREWELLS_MS) {
		thread->farewells_ms = now;
		thread->farewells = 0;
	}
	return thread->farewells++ < FAREWELLS;
}

static void handshake_failed(struct handshake *handshake, const struct error *error)
{
	struct thread *thread = handshake->thread;
	struct handshake_counters *counters = &thread->all->counters;
	bool late = error && error->code == ETIMEDOUT;
	char peer[ENDPOINT_TEXT_MAX], text[ERROR_TEXT_MAX] = "the peer closed the connection";

	if (error)
		error_text(error, text, sizeof(text));
	log_limited(LOG_LEVEL_INFO, "handshake from %s failed: %s",
		    endpoint_text(&handshake->peer, peer), text);
	// It has not proved who it is, and never will in this handshake: only a place where a real client was counts.
	if (error && error->code == EKEYREJECTED &&
	    gate_knows(thread->all->gate, handshake->ticket, clock_ms()))
		atomic_fetch_add(&counters->refused_us, 1);
	atomic_fetch_add(late ? &counters->timed_out : &counters->failed, 1);
	if (late || !farewell(thread))
		connection_detach(handshake->connection);
	handshake_drop(handshake);
}

static void on_event(struct connection *connection, const struct channel_event *event, void *data)
{
	struct handshake *handshake = data;
	struct thread *thread = handshake->thread;

	switch (event->type) {
	case CHANNEL_OPEN:
		connection_detach(connection);
		cds_list_move(&handshake->list, &thread->done);
		sd_event_source_set_enabled(thread->hand, SD_EVENT_ONESHOT);
		return;
	case CHANNEL_FAILED:
		handshake_failed(handshake, connection_error(connection));
		return;
	case CHANNEL_CLOSED:
		handshake_failed(handshake, NULL);
		return;
	case CHANNEL_NONE:
	case CHANNEL_MESSAGE:
	case CHANNEL_PACKET:
	case CHANNEL_BYTES:
	case CHANNEL_ROOM:
		return; // not before CHANNEL_OPEN
	}
}

// What is open goes to the control thread.
static int on_hand(sd_event_source *source, void *data)
{
	struct thread *thread = data;
	struct handshakes *all = thread->all;

	(void)source;
	pthread_mutex_lock(&all->lock);
	while (!cds_list_empty(&thread->done)) {
		struct cds_list_head *first = thread->done.next;
		cds_list_del(first);
		cds_list_add_tail(first, &all->opened);
	}
	pthread_mutex_unlock(&all->lock);
	wake(all->deliver_fd);
	return 0;
}

static void handshake_begin(struct thread *thread, struct handshake *handshake,
			    struct tls_context *context)
{
	int fd = take_fd(&handshake->fd);
	int r = connection_accept(thread->event, fd, context, on_event, handshake,
				  &handshake->connection);

	cds_list_add(&handshake->list, &thread->live);
	if (r >= 0)
		return;
	if (r != -ENOTCONN) // the peer is gone already
		log_limited(LOG_LEVEL_WARNING, "a connection is lost: %s", strerror(-r));
	atomic_fetch_add(&thread->all->counters.failed, 1);
	handshake_drop(handshake);
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct thread *thread = data;
	struct handshakes *all = thread->all;
	struct handshake *handshake, *next;
	CDS_LIST_HEAD(batch);

	(void)source;
	(void)events;
	woken(fd);
	pthread_mutex_lock(&all->lock);
	bool stop = all->stop;
	struct tls_context *context = tls_context_get(all->context);
	cds_list_splice(&thread->incoming, &batch);
	CDS_INIT_LIST_HEAD(&thread->incoming);
	pthread_mutex_unlock(&all->lock);
	cds_list_for_each_entry_safe (handshake, next, &batch, list) {
		cds_list_del(&handshake->list);
		handshake_begin(thread, handshake, context);
	}
	tls_context_put(context);
	return stop ? sd_event_exit(thread->event, 0) : 0;
}

static void *thread_run(void *data)
{
	struct thread *thread = data;

	setpriority(PRIO_PROCESS, 0, NICENESS); // of this thread alone, on Linux
	int r = sd_event_loop(thread->event);
	if (r < 0)
		log_error("a handshake thread ends: %s", strerror(-r));
	drop_all(&thread->live);
	return NULL;
}

// The next one that is open, NULL when there is none.
static struct handshake *opened_next(struct handshakes *all)
{
	struct handshake *handshake = NULL;

	pthread_mutex_lock(&all->lock);
	if (!cds_list_empty(&all->opened)) {
		handshake = cds_list_entry(all->opened.next, struct handshake, list);
		cds_list_del(&handshake->list);
	}
	pthread_mutex_unlock(&all->lock);
	return handshake;
}

static int on_deliver(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct handshakes *all = data;

	(void)source;
	(void)events;
	woken(fd);
	for (unsigned i = 0; i < HAND_OVER; i++) {
		struct handshake *handshake = opened_next(all);
		if (!handshake)
			return 0;
		struct connection *connection = handshake->connection;
		struct verdict *verdict = channel_verdict(connection_channel(connection));
		// Who speaks HTTP may have proved nothing yet.
		handshake_end(
			handshake,
			verdict && gate_excuses(all->gate, verdict_identity(verdict), clock_ms()));
		atomic_fetch_add(&all->counters.opened, 1);
		all->opened_handler(connection, all->data);
	}
	wake(fd); // the rest after others had their turn
	return 0;
}

static int thread_start(struct thread *thread, struct handshakes *all)
{
	sigset_t every, before;

	thread->all = all;
	CDS_INIT_LIST_HEAD(&thread->incoming);
	CDS_INIT_LIST_HEAD(&thread->live);
	CDS_INIT_LIST_HEAD(&thread->done);
	thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (thread->wake_fd < 0)
		return -errno;
	int r = sd_event_new(&thread->event);
	if (r >= 0)
		r = sd_event_add_io(thread->event, &thread->wake, thread->wake_fd, EPOLLIN, on_wake,
				    thread);
	if (r >= 0)
		r = sd_event_add_defer(thread->event, &thread->hand, on_hand, thread);
	if (r >= 0)
		r = sd_event_source_set_enabled(thread->hand, SD_EVENT_OFF);
	if (r < 0)
		return r;
	// Signals are the control thread's.
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	r = -pthread_create(&thread->id, NULL, thread_run, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	thread->running = r == 0;
	return r;
}

int handshakes_new(const struct handshake_options *options, struct handshakes **ret)
{
	struct handshakes *all = calloc(1, sizeof(*all) + options->threads * sizeof(struct thread));

	if (!all)
		return -ENOMEM;
	pthread_mutex_init(&all->lock, NULL);
	CDS_INIT_LIST_HEAD(&all->opened);
	all->gate = options->gate;
	all->context = tls_context_get(options->context);
	all->opened_handler = options->opened;
	all->data = options->data;
	int r = all->deliver_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_add_io(options->event, &all->deliver, all->deliver_fd, EPOLLIN,
				    on_deliver, all);
	while (r >= 0 && all->thread_count < options->threads)
		r = thread_start(&all->threads[all->thread_count++], all);
	if (r < 0) {
		handshakes_free(all);
		return r;
	}
	*ret = all;
	return 0;
}

static void thread_stop(struct thread *thread)
{
	if (thread->running)
		pthread_join(thread->id, NULL);
	drop_all(&thread->incoming);
	drop_all(&thread->done);
	sd_event_source_disable_unref(thread->wake);
	sd_event_source_disable_unref(thread->hand);
	sd_event_unref(thread->event);
	if (thread->wake_fd >= 0)
		close(thread->wake_fd);
}

struct handshakes *handshakes_free(struct handshakes *all)
{
	if (!all)
		return NULL;
	pthread_mutex_lock(&all->lock);
	all->stop = true;
	pthread_mutex_unlock(&all->lock);
	for (unsigned i = 0; i < all->thread_count; i++)
		wake(all->threads[i].wake_fd);
	for (unsigned i = 0; i < all->thread_count; i++)
		thread_stop(&all->threads[i]);
	drop_all(&all->opened);
	sd_event_source_disable_unref(all->deliver);
	if (all->deliver_fd >= 0)
		close(all->deliver_fd);
	tls_context_put(all->context);
	pthread_mutex_destroy(&all->lock);
	free(all);
	return NULL;
}

void handshakes_add(struct handshakes *all, int fd, struct gate_ticket ticket,
		    const struct endpoint *peer)
{
	struct handshake *handshake = calloc(1, sizeof(*handshake));

	if (!handshake) {
		gate_leave(all->gate, ticket, false, clock_ms());
		close(fd);
		return;
	}
	handshake->fd = fd;
	handshake->ticket = ticket;
	handshake->peer = *peer;
	pthread_mutex_lock(&all->lock);
	struct thread *thread = &all->threads[all->next++ % all->thread_count];
	handshake->thread = thread;
	cds_list_add_tail(&handshake->list, &thread->incoming);
	pthread_mutex_unlock(&all->lock);
	wake(thread->wake_fd);
}

void handshakes_set_context(struct handshakes *all, struct tls_context *context)
{
	pthread_mutex_lock(&all->lock);
	struct tls_context *before = all->context;
	all->context = tls_context_get(context);
	pthread_mutex_unlock(&all->lock);
	tls_context_put(before);
}

const struct handshake_counters *handshakes_counters(const struct handshakes *all)
{
	return &all->counters;
}
