// SPDX-License-Identifier: Apache-2.0
// A TCP connection that carries a channel on an event loop. It can move to another thread's loop between two events:
// handshakes run on the handshake threads, everything after CHANNEL_OPEN on the control thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "tun/channel.h"

struct connection;

// One event of the channel, or CHANNEL_FAILED for a fault of the TCP connection itself (connection_error() tells both
// apart no more). The handler may call connection_free() and connection_detach() on this connection. CHANNEL_CLOSED and
// CHANNEL_FAILED come at most once, and last. Messages are released by the connection after the handler returned.
typedef void (*connection_handler)(struct connection *connection, const struct channel_event *event,
				   void *data);

// Dials `endpoint` without blocking; `mark` (0: none) is set on the socket (SO_MARK). Sets TCP_NODELAY, keepalive and
// TCP_USER_TIMEOUT. Returns a new connection that is attached to `event`. 0 or -errno of socket calls that fail at once.
int connection_dial(sd_event *event, const struct endpoint *endpoint, uint32_t mark,
		    struct tls_context *context, const char *expected, connection_handler handler,
		    void *data, struct connection **ret);
// Takes an accepted descriptor (closed on failure too). Attached to `event`.
int connection_accept(sd_event *event, int fd, struct tls_context *context,
		      connection_handler handler, void *data, struct connection **ret);
// Closes at once what is not closed. After CHANNEL_FAILED the descriptor stays as with connection_close(), so that the peer
// can read why. Takes NULL, returns NULL.
struct connection *connection_free(struct connection *connection);
DEFINE_CLEANUP(struct connection *, connection_free);

// Leaves its loop; no event comes until it is attached again, on the thread of the other loop.
void connection_detach(struct connection *connection);
int connection_attach(struct connection *connection, sd_event *event, connection_handler handler,
		      void *data);

// As channel_send(); output is written at once or when the socket takes it.
int connection_send(struct connection *connection, const struct message *message);
int connection_send_packet(struct connection *connection, const void *packet, size_t size);
int connection_send_packets(struct connection *connection, const void *packets, size_t size,
			    size_t segment);
// Whether nothing waits for the socket. If not, or where there is no loop, CHANNEL_ROOM comes once it is so.
bool connection_has_room(struct connection *connection);
int connection_send_bytes(struct connection *connection, const void *data, size_t size);
// Sends BYE (`bye` may be NULL), stops delivering events, and frees the connection once the bytes are out and the peer has
// closed, or after CONNECTION_LINGER_MS, or with its loop. Takes the connection. One that is detached, or still connecting,
// sends what the socket takes and is closed at once.
#define CONNECTION_LINGER_MS 3000u
void connection_close(struct connection *connection, const struct message_bye *bye);

struct channel *connection_channel(const struct connection *connection); // borrowed
const struct error *
connection_error(const struct connection *connection); // after CHANNEL_FAILED; borrowed
struct endpoint connection_peer(const struct connection *connection); // remote address
struct endpoint
connection_local(const struct connection *connection); // own address; AF_UNSPEC while unknown
