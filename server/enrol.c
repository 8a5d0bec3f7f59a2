// SPDX-License-Identifier: Apache-2.0

#include "server/enrol.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <urcu/list.h>

#include "base/error.h"
#include "base/log.h"
#include "pki/credential.h"
#include "pki/verify.h"
#include "server/admit.h"
#include "server/est_server.h"
#include "tun/connection.h"

// Those who have shown no certificate cannot take the place of those who have, nor one of either that of all others.
#define STRANGERS_MAX 64u
#define KNOWN_MAX     128u
#define SAME_MAX      8u // strangers of one source; connections of one identity
#define CALL_US	      30000000u
#define RECEIVED_MAX  131072u // bytes of all requests on one connection

// One connection, and the socket on whose other end the EST service is.
struct call {
	struct cds_list_head list;
	struct enrol *enrol;
	struct connection *connection;
	int fd;
	sd_event_source *io, *timer;
	struct endpoint peer;
	bool known; // has shown a certificate
	bool deaf;  // the service reads no more; what it says still goes out
	size_t received;
};

struct enrol {
	sd_event *event;
	char *directory, *passphrase_path;
	const struct admit_options *admit;
	struct est_server *server;
	struct cds_list_head calls;
};

static void call_free(struct call *call)
{
	cds_list_del(&call->list);
	sd_event_source_disable_unref(call->io);
	sd_event_source_disable_unref(call->timer);
	if (call->fd >= 0)
		close(call->fd);
	if (call->connection)
		connection_close(call->connection, NULL);
	free(call);
}

static void forward(struct call *call, const uint8_t *data, size_t size)
{
	call->received += size;
	if (call->received > RECEIVED_MAX) {
		call_free(call);
		return;
	}
	if (call->deaf)
		return;
	ssize_t n = send(call->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == (ssize_t)size)
		return;
	// It has answered before it had heard all, and closed. Else it is far behind.
	call->deaf = n < 0 && errno == EPIPE;
	if (!call->deaf)
		call_free(call);
}

static void on_channel(struct connection *connection, const struct channel_event *event, void *data)
{
	struct call *call = data;

	switch (event->type) {
	case CHANNEL_BYTES:
		forward(call, event->packet, event->packet_size);
		return;
	case CHANNEL_CLOSED:
	case CHANNEL_FAILED:
		connection_free(connection);
		call->connection = NULL;
		call_free(call);
		return;
	case CHANNEL_NONE:
	case CHANNEL_OPEN:
	case CHANNEL_MESSAGE:
	case CHANNEL_PACKET:
	case CHANNEL_ROOM:
		return; // not where HTTP is spoken
	}
}

static int on_answer(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct call *call = data;
	uint8_t bytes[16384];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)source;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || connection_send_bytes(call->connection, bytes, (size_t)n) < 0)
		call_free(call);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	call_free(data);
	return 0;
}

// Where gates and penalties count, too: an IPv4 address or an IPv6 /64.
static bool same_source(const struct addr *a, const struct addr *b)
{
	struct prefix near = {.addr = *a, .length = a->family == AF_INET ? 32 : 64};

	return prefix_contains(&near, b);
}

static struct verdict *verdict_of(const struct connection *connection)
{
	return channel_verdict(connection_channel(connection));
}

static bool same_caller(const struct call *call, const struct endpoint *peer,
			const struct verdict *verdict)
{
	return verdict ? strcmp(verdict_identity(verdict_of(call->connection)),
				verdict_identity(verdict)) == 0
		       : same_source(&call->peer.addr, &peer->addr);
}

// `verdict` NULL: a stranger.
static bool may_enter(const struct enrol *enrol, const struct endpoint *peer,
		      const struct verdict *verdict)
{
	bool known = verdict;
	const struct call *call;
	unsigned count = 0, same = 0;

	cds_list_for_each_entry (call, &enrol->calls, list) {
		if (call->known != known)
			continue;
		count++;
		same += same_caller(call, peer, verdict);
	}
	return count < (known ? KNOWN_MAX : STRANGERS_MAX) && same < SAME_MAX;
}

// The gateway itself renews here, too, whomever it admits.
static bool is_welcome(const struct enrol *enrol, const struct channel *channel)
{
	const struct verdict *verdict = channel_verdict(channel);

	return verdict &&
	       (admit_allows(enrol->admit, verdict_identity(verdict)) ||
		strcmp(verdict_identity(verdict),
		       credential_identity(tls_context_credential(channel_context(channel)))) == 0);
}

static int call_start(struct enrol *enrol, struct call *call)
{
	const struct channel *channel = connection_channel(call->connection);
	struct est_caller caller = {.peer = call->peer,
				    .verdict = channel_verdict(channel),
				    .admitted = is_welcome(enrol, channel)};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	call->fd = pair[0];
	int r = est_server_add(enrol->server, pair[1], &caller);
	if (r == 0)
		r = sd_event_add_io(enrol->event, &call->io, call->fd, EPOLLIN, on_answer, call);
	if (r >= 0)
		r = sd_event_add_time_relative(enrol->event, &call->timer, CLOCK_MONOTONIC, CALL_US,
					       0, on_late, call);
	if (r >= 0)
		r = connection_attach(call->connection, enrol->event, on_channel, call);
	return r;
}

// Takes the connection where it succeeds. NULL: there is no room.
static struct call *call_new(struct enrol *enrol, struct connection *connection)
{
	struct endpoint peer = connection_peer(connection);
	const struct verdict *verdict = verdict_of(connection);
	struct call *call = may_enter(enrol, &peer, verdict) ? calloc(1, sizeof(*call)) : NULL;

	if (!call)
		return NULL;
	call->enrol = enrol;
	call->connection = connection;
	call->peer = peer;
	call->known = verdict;
	call->fd = -1;
	cds_list_add(&call->list, &enrol->calls);
	return call;
}

void enrol_take(struct enrol *enrol, struct connection *connection)
{
	struct endpoint peer = connection_peer(connection);
	struct call *call = call_new(enrol, connection);
	int r = call ? call_start(enrol, call) : -EUSERS;
	char text[ENDPOINT_TEXT_MAX];

	if (r >= 0)
		return;
	if (call)
		call_free(call);
	else
		connection_free(connection);
	log_limited(LOG_LEVEL_INFO, "the request of %s is not served: %s",
		    endpoint_text(&peer, text),
		    r == -EUSERS ? "too many are under way" : strerror(-r));
}

int enrol_new(sd_event *event, const char *directory, const char *passphrase_path,
	      const struct admit_options *admit, struct enrol **ret, struct error *error)
{
	struct enrol *plain = calloc(1, sizeof(*plain));

	if (!plain)
		return error_set(error, ENOMEM, "out of memory");
	CDS_INIT_LIST_HEAD(&plain->calls);
	_cleanup_(enrol_freep) struct enrol *enrol = plain;
	enrol->event = event;
	enrol->admit = admit;
	enrol->directory = strdup(directory);
	enrol->passphrase_path = passphrase_path ? strdup(passphrase_path) : NULL;
	if (!enrol->directory || (passphrase_path && !enrol->passphrase_path))
		return error_set(error, ENOMEM, "out of memory");
	int r = est_server_new(directory, passphrase_path, &enrol->server, error);
	if (r < 0)
		return r;
	*ret = take(enrol);
	return 0;
}

struct enrol *enrol_free(struct enrol *enrol)
{
	struct call *call, *next;

	if (!enrol)
		return NULL;
	cds_list_for_each_entry_safe (call, next, &enrol->calls, list)
		call_free(call);
	est_server_free(enrol->server);
	free(enrol->directory);
	free(enrol->passphrase_path);
	free(enrol);
	return NULL;
}

static bool same_path(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool enrol_serves(const struct enrol *enrol, const char *directory, const char *passphrase_path)
{
	return enrol && same_path(enrol->directory, directory) &&
	       same_path(enrol->passphrase_path, passphrase_path);
}
