// SPDX-License-Identifier: Apache-2.0
// Who frees what, and when. The handler may free, close or detach the connection whose event it got; a detached one may at
// that moment already run on another thread. So whoever calls the handler keeps a flag on its own stack (`left`), which those
// three set, and does not touch the connection again once it is set. A closing connection has no owner: its source is
// floating, so that it dies with the loop at the latest, and frees the connection as it goes.

#include "tun/connection.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "tun/stream.h"

#define RECEIVE_SIZE 16384u // below CHANNEL_UNREAD_MAX
#define ACCURACY_US  10000u // of the timer

struct connection {
	int fd;
	struct channel *channel;
	connection_handler handler;
	void *data;
	bool *left; // of the running call of the handler; NULL outside of one
	// The loop and three sources on it, while it is attached.
	sd_event *event;
	sd_event_source *io, *timer, *later;
	bool connecting;
	bool wants_room; // CHANNEL_ROOM is to be told
	bool over;	 // CHANNEL_CLOSED or CHANNEL_FAILED was told
	bool last_words; // ... and the peer was told why
	bool closing;	 // connection_close() took it
	bool finished;	 // of a closing one: our end is shut
	bool ended;	 // of a closing one: the peer's end is
	// errno of send(): nothing is written any more, but what the peer said before is still read.
	int write_fault;
	bool faulty; // `error` holds, not the channel's
	struct error error;
	struct endpoint peer;
};

// Drops the output where it can never leave. Does not fail: the reading side finds the fault and tells.
static void flush(struct connection *connection)
{
	size_t size;
	const uint8_t *data;
	while ((data = channel_output(connection->channel, &size)) && size > 0) {
		ssize_t n = (ssize_t)size;
		if (!connection->write_fault)
			n = send(connection->fd, data, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			connection->write_fault = errno;
		channel_output_done(connection->channel, n < 0 ? size : (size_t)n);
	}
}

static bool has_output(struct connection *connection)
{
	size_t size;
	channel_output(connection->channel, &size);
	return size > 0;
}

static void release_sources(struct connection *connection)
{
	connection->io = sd_event_source_disable_unref(connection->io);
	connection->timer = sd_event_source_disable_unref(connection->timer);
	connection->later = sd_event_source_disable_unref(connection->later);
	connection->event = NULL;
}

// Frees the connection, whose sources are gone.
static void destroy(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	channel_free(connection->channel);
	free(connection);
}

// Tells the running call of the handler, where there is one, to leave the connection alone.
static void leave(struct connection *connection)
{
	if (connection->left)
		*connection->left = true;
	connection->left = NULL;
}

// Edge-triggered, and asked for anew after each step, which has the kernel look again. Level-triggered, the loop would be given
// every socket that is ready before each single event that it delivers: with thousands at once it did nothing else.
static int watch_io(struct connection *connection, uint32_t events)
{
	return sd_event_source_set_io_events(connection->io, events ? events | EPOLLET : 0);
}

// Asks for the events that matter now. Nothing where it is detached.
static void rearm(struct connection *connection)
{
	uint32_t events = EPOLLIN;
	if (!connection->event)
		return;
	if (connection->connecting)
		events = EPOLLOUT;
	else if (has_output(connection))
		events |= EPOLLOUT;
	if (connection->over)
		events = 0;
	watch_io(connection, events);
	sd_event_source_set_enabled(connection->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
	// The time itself is never set again: that would take back what is pending, and so a peer that always has a byte ready
	// would keep its deadline from ever being seen.
	bool timed = channel_deadline(connection->channel) != CLOCK_NEVER && !connection->over;
	sd_event_source_set_enabled(connection->timer, timed ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (connection->write_fault && !connection->over)
		sd_event_source_set_enabled(connection->later, SD_EVENT_ONESHOT);
}

// Whether the channel that failed left an alert or BYE for the peer to read.
static bool says_why(const struct connection *connection)
{
	int code = channel_error(connection->channel)->code;
	return !connection->faulty && code != ETIMEDOUT && code != ECONNRESET;
}

// Hands an event to the handler. False: leave the connection alone.
static bool deliver(struct connection *connection, struct channel_event *event)
{
	bool left = false;
	if (event->type == CHANNEL_FAILED || event->type == CHANNEL_CLOSED) {
		flush(connection); // the alert or close_notify that says why
		connection->over = true;
		connection->last_words = event->type == CHANNEL_FAILED && says_why(connection);
	}
	connection->left = &left;
	connection->handler(connection, event, connection->data);
	if (event->type == CHANNEL_MESSAGE)
		message_done(&event->message);
	if (!left)
		connection->left = NULL;
	return !left;
}

// Everything that the channel has to say. False: leave the connection alone.
static bool pump(struct connection *connection)
{
	struct channel_event event;
	if (connection->connecting || connection->over)
		return true;
	for (channel_next(connection->channel, &event); event.type != CHANNEL_NONE;
	     channel_next(connection->channel, &event))
		if (!deliver(connection, &event))
			return false;
	flush(connection);
	return true;
}

// A fault of the socket, `code` an errno. False: leave the connection alone.
static bool fail(struct connection *connection, int code, const char *what)
{
	struct channel_event event = {.type = CHANNEL_FAILED};
	char peer[ENDPOINT_TEXT_MAX];
	connection->faulty = true;
	errno = code;
	error_set(&connection->error, code, "%s: %m", what);
	error_where(&connection->error, "%s", endpoint_text(&connection->peer, peer));
	return deliver(connection, &event);
}

// Reads once, and a closing connection throws away what it reads. False: leave the connection alone.
static bool receive(struct connection *connection)
{
	uint8_t data[RECEIVE_SIZE];
	ssize_t n = recv(connection->fd, data, sizeof(data), 0);
	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !connection->write_fault)))
		return true;
	int code = n < 0 ? errno : 0;
	if (connection->write_fault && n <= 0)
		code = connection->write_fault;
	if (code)
		return fail(connection, code, "the connection broke");
	channel_feed(connection->channel, data, (size_t)n);
	return pump(connection);
}

bool connection_has_room(struct connection *connection)
{
	bool room = connection->event && !connection->connecting && !connection->over &&
		    !has_output(connection);
	connection->wants_room = !room;
	return room;
}

// False: leave the connection alone.
static bool tell_room(struct connection *connection)
{
	struct channel_event event = {.type = CHANNEL_ROOM};
	if (!connection->wants_room || connection->over || has_output(connection))
		return true;
	connection->wants_room = false;
	return deliver(connection, &event);
}

static bool finish_connect(struct connection *connection)
{
	int code = 0;
	socklen_t size = sizeof(code);
	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
		code = errno;
	if (code)
		return fail(connection, code, "connecting failed");
	connection->connecting = false;
	return pump(connection);
}

// Ends a closing connection: its source goes, and on_gone() frees it.
static void finish(struct connection *connection)
{
	sd_event_source_set_floating(connection->timer, false);
	sd_event_source_set_floating(connection->io, false);
}

static void on_gone(void *data)
{
	struct connection *connection = data;
	sd_event_source_unref(connection->timer);
	destroy(connection);
}

// One step of a closing connection: write the rest, shut our end, read until the peer has done the same. To close earlier
// would answer what the peer still sends with a reset, and a reset may overtake what we said last.
static void linger(struct connection *connection)
{
	uint8_t waste[RECEIVE_SIZE];
	flush(connection);
	if (!connection->finished && !has_output(connection)) {
		shutdown(connection->fd, SHUT_WR);
		connection->finished = true;
	}
	ssize_t n = connection->ended ? 0 : recv(connection->fd, waste, sizeof(waste), 0);
	bool broken = n < 0 && errno != EAGAIN && errno != EINTR;
	connection->ended = n == 0;
	if (broken || connection->write_fault || (connection->ended && connection->finished)) {
		finish(connection);
		return;
	}
	uint32_t events = connection->ended ? 0 : EPOLLIN;
	if (!connection->finished)
		events |= EPOLLOUT;
	watch_io(connection, events);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct connection *connection = data;
	(void)source;
	(void)fd;
	if (connection->closing) {
		linger(connection);
		return 0;
	}
	bool stays = true;
	if (connection->connecting)
		stays = finish_connect(connection);
	else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		stays = receive(connection);
	else
		flush(connection);
	if (stays)
		stays = tell_room(connection);
	if (stays)
		rearm(connection);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t time, void *data)
{
	struct connection *connection = data;
	(void)source;
	(void)time;
	if (connection->closing) {
		finish(connection);
		return 0;
	}
	bool stays = true;
	channel_expire(connection->channel, clock_ms());
	if (connection->connecting && channel_deadline(connection->channel) == CLOCK_NEVER)
		stays = fail(connection, ETIMEDOUT, "connecting failed");
	else
		stays = pump(connection);
	if (stays)
		rearm(connection);
	return 0;
}

// After connection_attach(), and after a fault in connection_send(), which must not call the handler itself.
static int on_later(sd_event_source *source, void *data)
{
	struct connection *connection = data;
	(void)source;
	bool stays = pump(connection);
	if (stays && connection->write_fault && !connection->over)
		stays = receive(connection);
	if (stays)
		rearm(connection);
	return 0;
}

int connection_attach(struct connection *connection, sd_event *event, connection_handler handler,
		      void *data)
{
	uint64_t deadline = channel_deadline(connection->channel);
	uint64_t deadline_us = deadline == CLOCK_NEVER ? UINT64_MAX : deadline * 1000;
	int r = sd_event_add_io(event, &connection->io, connection->fd, 0, on_io, connection);
	if (r >= 0)
		r = sd_event_add_time(event, &connection->timer, CLOCK_BOOTTIME, deadline_us,
				      ACCURACY_US, on_timer, connection);
	if (r >= 0)
		r = sd_event_add_defer(event, &connection->later, on_later, connection);
	if (r < 0) {
		release_sources(connection);
		return r;
	}
	connection->event = event;
	connection->handler = handler;
	connection->data = data;
	rearm(connection);
	return 0;
}

void connection_detach(struct connection *connection)
{
	leave(connection);
	release_sources(connection);
}

// Takes `fd`, also on failure.
static int connection_new(sd_event *event, int fd, bool connecting, const struct endpoint *peer,
			  struct channel *channel, connection_handler handler, void *data,
			  struct connection **ret)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	if (!connection || !channel) {
		close(fd);
		channel_free(channel);
		free(connection);
		return -ENOMEM;
	}
	connection->fd = fd;
	connection->connecting = connecting;
	connection->peer = *peer;
	connection->channel = channel;
	int r = connection_attach(connection, event, handler, data);
	if (r < 0) {
		destroy(connection);
		return r;
	}
	*ret = connection;
	return 0;
}

int connection_dial(sd_event *event, const struct endpoint *endpoint, uint32_t mark,
		    struct tls_context *context, const char *expected, connection_handler handler,
		    void *data, struct connection **ret)
{
	int fd = stream_dial(endpoint, mark);
	if (fd < 0)
		return fd;
	return connection_new(event, fd, true, endpoint,
			      channel_new(context, TLS_CLIENT, expected, clock_ms()), handler, data,
			      ret);
}

int connection_accept(sd_event *event, int fd, struct tls_context *context,
		      connection_handler handler, void *data, struct connection **ret)
{
	struct endpoint peer;
	int r = stream_take(fd, &peer);
	if (r < 0) {
		close(fd);
		return r;
	}
	return connection_new(event, fd, false, &peer,
			      channel_new(context, TLS_SERVER, NULL, clock_ms()), handler, data,
			      ret);
}

// Gives an attached connection to its loop. False where that cannot be: nothing has changed.
static bool begin_linger(struct connection *connection)
{
	uint64_t deadline = clock_ms() + CONNECTION_LINGER_MS;
	if (sd_event_source_set_time(connection->timer, deadline * 1000) < 0 ||
	    sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT) < 0 ||
	    watch_io(connection, EPOLLIN | EPOLLOUT) < 0 ||
	    sd_event_source_set_enabled(connection->io, SD_EVENT_ON) < 0 ||
	    sd_event_source_set_destroy_callback(connection->io, on_gone) < 0)
		return false;
	sd_event_source_set_floating(connection->io, true);
	sd_event_source_set_floating(connection->timer, true);
	connection->closing = true;
	connection->event = NULL;
	connection->later = sd_event_source_disable_unref(connection->later);
	// From here on the loop alone holds `io`, and with it the connection.
	sd_event_source_unref(connection->io);
	return true;
}

void connection_close(struct connection *connection, const struct message_bye *bye)
{
	leave(connection);
	channel_close(connection->channel, bye);
	if (!connection->connecting)
		flush(connection);
	if (connection->event && !connection->connecting && !connection->write_fault &&
	    begin_linger(connection))
		return;
	release_sources(connection);
	destroy(connection);
}

struct connection *connection_free(struct connection *connection)
{
	if (!connection)
		return NULL;
	if (connection->last_words) {
		connection_close(connection, NULL);
		return NULL;
	}
	leave(connection);
	release_sources(connection);
	destroy(connection);
	return NULL;
}

// What was queued leaves now or when the socket takes it.
static int sent(struct connection *connection, int r)
{
	flush(connection);
	if (connection->write_fault || has_output(connection))
		rearm(connection);
	// The channel failed: the handler hears of it from the loop.
	if (r == -ENOTCONN && connection->event && !connection->over)
		sd_event_source_set_enabled(connection->later, SD_EVENT_ONESHOT);
	return r;
}

int connection_send(struct connection *connection, const struct message *message)
{
	return sent(connection, channel_send(connection->channel, message));
}

int connection_send_packet(struct connection *connection, const void *packet, size_t size)
{
	return sent(connection, channel_send_packet(connection->channel, packet, size));
}

int connection_send_packets(struct connection *connection, const void *packets, size_t size,
			    size_t segment)
{
	return sent(connection, channel_send_packets(connection->channel, packets, size, segment));
}

int connection_send_bytes(struct connection *connection, const void *data, size_t size)
{
	return sent(connection, channel_send_bytes(connection->channel, data, size));
}

struct channel *connection_channel(const struct connection *connection)
{
	return connection->channel;
}

const struct error *connection_error(const struct connection *connection)
{
	return connection->faulty ? &connection->error : channel_error(connection->channel);
}

struct endpoint connection_peer(const struct connection *connection)
{
	return connection->peer;
}

struct endpoint connection_local(const struct connection *connection)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	struct endpoint local = {0};
	if (getsockname(connection->fd, (struct sockaddr *)&address, &size) == 0)
		endpoint_from_sockaddr(&address, &local);
	return local;
}
