// SPDX-License-Identifier: Apache-2.0
// Accepts TCP connections and takes them through TLS on threads of its own, within limits that strangers cannot pass:
// half-open connections in all and per source, handshake starts per source and second. What comes out of here has been
// authenticated; nothing else reaches the control thread.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct connection;
struct error;
struct listener;
struct tls_context;

struct listener_limits {
	unsigned threads;	    // handshake threads, 1..16
	unsigned half_open;	    // connections before CHANNEL_OPEN, in all (512)
	unsigned half_open_source;  // per source: an IPv4 address or an IPv6 /64 (8)
	unsigned starts_per_second; // handshakes that a source may begin per second (5) ...
	unsigned starts_burst;	    // ... after a burst of so many (10)
};

// Counters since the start.
struct listener_counters {
	uint64_t accepted, opened, failed, timed_out, refused_half_open, refused_source;
	uint64_t
		refused_us; // of those that failed: the client, where one proved itself lately, refused our certificate
};

// Called on the thread of `event` with a connection whose channel is open; it is detached and belongs to the callee,
// which must not free the listener from here.
typedef void (*listener_opened)(struct connection *connection, void *data);

// Binds (dual-stack is off on IPv6 sockets) and starts the threads. Takes a reference of the context. The error names the
// address. `mark` as in connection_dial().
int listener_new(sd_event *event, const struct endpoint *endpoints, size_t count, uint32_t mark,
		 const struct listener_limits *limits, struct tls_context *context,
		 listener_opened opened, void *data, struct listener **ret, struct error *error);
// Stops the threads and closes everything half open. Takes NULL, returns NULL.
struct listener *listener_free(struct listener *listener);
DEFINE_CLEANUP(struct listener *, listener_free);

// From now on handshakes use this context (a new credential or trust). Takes a reference.
void listener_set_context(struct listener *listener, struct tls_context *context);
// Binds what is new before it closes what is gone; on failure nothing changed.
int listener_set_endpoints(struct listener *listener, const struct endpoint *endpoints,
			   size_t count, struct error *error);
struct listener_counters listener_counters(const struct listener *listener);
