// SPDX-License-Identifier: Apache-2.0

#include "server/guest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "tun/connection.h"

#define HELLO_WITHIN_US 5000000u

struct guest {
	struct guests *guests;
	struct connection *connection; // NULL: handed on
	sd_event_source *timer;
	struct guest *next, **at;
};

static void guest_free(struct guest *guest)
{
	*guest->at = guest->next;
	if (guest->next)
		guest->next->at = guest->at;
	sd_event_source_disable_unref(guest->timer);
	connection_free(guest->connection);
	free(guest);
}

struct connection *guest_connection(const struct guest *guest)
{
	return guest->connection;
}

void guest_admit(struct guest *guest)
{
	guest->connection = NULL;
	guest_free(guest);
}

void guest_refuse(struct guest *guest, enum bye_code code, unsigned retry_after_s, const char *text)
{
	char peer[ENDPOINT_TEXT_MAX];
	struct endpoint endpoint = connection_peer(guest->connection);
	struct message_bye bye = {.code = code, .retry_after_s = retry_after_s};
	snprintf(bye.text, sizeof(bye.text), "%.255s", text);
	log_limited(LOG_LEVEL_WARNING, "%s refused: %s", endpoint_text(&endpoint, peer), text);
	connection_close(take(guest->connection), &bye);
	guest_free(guest);
}

// It does not want us.
static void guest_left(struct guest *guest, const struct message_bye *bye)
{
	char peer[ENDPOINT_TEXT_MAX];
	struct endpoint endpoint = connection_peer(guest->connection);
	log_limited(LOG_LEVEL_WARNING, "%s refuses this gateway: %s",
		    endpoint_text(&endpoint, peer), bye->text);
	guest_free(guest);
}

static void on_channel(struct connection *connection, const struct channel_event *event, void *data)
{
	struct guest *guest = data;
	(void)connection;
	switch (event->type) {
	case CHANNEL_NONE:
	case CHANNEL_OPEN:
		return;
	case CHANNEL_MESSAGE:
		if (event->message.type == MESSAGE_HELLO)
			guest->guests->hello(guest, &event->message.hello, guest->guests->data);
		else if (event->message.type == MESSAGE_BYE)
			guest_left(guest, &event->message.bye);
		else
			guest_refuse(guest, BYE_PROTOCOL, 0, "expected HELLO");
		return;
	case CHANNEL_PACKET:
	case CHANNEL_BYTES:
	case CHANNEL_ROOM:
		guest_refuse(guest, BYE_PROTOCOL, 0, "expected HELLO");
		return;
	case CHANNEL_CLOSED:
	case CHANNEL_FAILED:
		guest_free(guest);
		return;
	}
}

static int on_no_hello(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	guest_refuse(data, BYE_PROTOCOL, 0, "no HELLO came");
	return 0;
}

void guest_add(struct guests *guests, struct connection *connection)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	if (!guest) {
		connection_free(connection);
		return;
	}
	guest->guests = guests;
	guest->connection = connection;
	guest->next = guests->first;
	guest->at = &guests->first;
	if (guest->next)
		guest->next->at = &guest->next;
	guests->first = guest;
	int r = sd_event_add_time_relative(guests->event, &guest->timer, CLOCK_MONOTONIC,
					   HELLO_WITHIN_US, 0, on_no_hello, guest);
	if (r >= 0)
		r = connection_attach(connection, guests->event, on_channel, guest);
	if (r < 0)
		guest_free(guest);
}

void guests_done(struct guests *guests)
{
	while (guests->first)
		guest_free(guests->first);
}
