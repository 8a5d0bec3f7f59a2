// SPDX-License-Identifier: Apache-2.0
// An authenticated connection that has not said HELLO yet.
#pragma once

#include <systemd/sd-event.h>

#include "tun/message.h"

struct connection;
struct guest;

// All that wait. Zero is none.
struct guests {
	struct guest *first;
	sd_event *event;
	// HELLO came: guest_admit() or guest_refuse().
	void (*hello)(struct guest *guest, const struct message_hello *hello, void *data);
	void *data;
};

// Takes the connection, which is closed where no HELLO comes within 5 s.
void guest_add(struct guests *guests, struct connection *connection);
void guests_done(struct guests *guests);

struct connection *guest_connection(const struct guest *guest); // borrowed
// The connection is somebody else's now; frees the guest.
void guest_admit(struct guest *guest);
// Says why and closes; frees the guest.
void guest_refuse(struct guest *guest, enum bye_code code, unsigned retry_after_s,
		  const char *text);
