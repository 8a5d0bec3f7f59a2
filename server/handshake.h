// SPDX-License-Identifier: Apache-2.0
// The threads that take accepted connections through TLS, so that a storm of joins never delays a packet or the control
// thread. A connection comes in from the accepting thread and leaves to the control thread, or not at all.
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "server/gate.h"
#include "server/listener.h"

struct handshakes;

struct handshake_counters {
	_Atomic uint64_t opened, failed, timed_out, refused_us;
};

struct handshake_options {
	unsigned threads;
	struct gate *gate;	     // borrowed
	struct tls_context *context; // a reference is taken
	sd_event *event;	     // of the control thread, where `opened` is called with `data`
	listener_opened opened;
	void *data;
};

// Starts the threads. 0 or -errno.
int handshakes_new(const struct handshake_options *options, struct handshakes **ret);
// Stops the threads and closes everything half open, and what the control thread has not taken yet. On the control thread,
// after the last handshakes_add(). Takes NULL, returns NULL.
struct handshakes *handshakes_free(struct handshakes *handshakes);
DEFINE_CLEANUP(struct handshakes *, handshakes_free);

// Takes a descriptor and its ticket, also on failure. Any thread.
void handshakes_add(struct handshakes *handshakes, int fd, struct gate_ticket ticket,
		    const struct endpoint *peer);
// Handshakes that begin from now on use this context; takes a reference. Any thread.
void handshakes_set_context(struct handshakes *handshakes, struct tls_context *context);
const struct handshake_counters *handshakes_counters(const struct handshakes *handshakes);
