// SPDX-License-Identifier: Apache-2.0
// Two channels joined over memory, each with what it told.
#pragma once

#include <string.h>
#include <cmocka.h>

#include "tun/channel.h"
#include "unit/context_fixture.h"

#define EVENTS_MAX 64
#define ALL	   SIZE_MAX

// A channel and what it told.
struct side {
	struct channel *channel;
	unsigned count, opens, messages, packets, closes, failures;
	struct message last; // no routes
	uint8_t packet[FRAME_MAX];
	size_t packet_size;
	size_t taken; // bytes of output
};

static struct fixture *root, *foreign_root;
static struct tls_context *gateway, *alice, *mallory, *late;

static inline int set_up(void **state)
{
	struct fixture_options expired = {
		.uris = {FIXTURE_ALICE}, .not_before_s = -86400, .not_after_s = 3600};
	(void)state;
	root = fixture_root("root");
	foreign_root = fixture_root("foreign");
	struct fixture *gateway_leaf = fixture_leaf(root, FIXTURE_GATEWAY);
	struct fixture *alice_leaf = fixture_leaf(root, FIXTURE_ALICE);
	struct fixture *mallory_leaf = fixture_leaf(foreign_root, FIXTURE_ALICE);
	struct fixture *late_leaf = fixture_issue(root, &expired);
	gateway = fixture_context(TLS_SERVER, gateway_leaf, root);
	alice = fixture_context(TLS_CLIENT, alice_leaf, root);
	mallory = fixture_context(TLS_CLIENT, mallory_leaf, root);
	late = fixture_context(TLS_CLIENT, late_leaf, root);
	fixture_free(gateway_leaf);
	fixture_free(alice_leaf);
	fixture_free(mallory_leaf);
	fixture_free(late_leaf);
	return gateway && alice && mallory && late ? 0 : -1;
}

static inline int tear_down(void **state)
{
	(void)state;
	tls_context_put(gateway);
	tls_context_put(alice);
	tls_context_put(mallory);
	tls_context_put(late);
	fixture_free(root);
	fixture_free(foreign_root);
	return 0;
}

static inline void side_init(struct side *side, struct tls_context *context, enum tls_role role,
			     const char *expected)
{
	memset(side, 0, sizeof(*side));
	side->channel = channel_new(context, role, expected, 1000);
	assert_non_null(side->channel);
}

static inline void side_done(struct side *side)
{
	side->channel = channel_free(side->channel);
}

static inline void hear(struct side *side)
{
	struct channel_event event;
	for (channel_next(side->channel, &event); event.type != CHANNEL_NONE;
	     channel_next(side->channel, &event)) {
		assert_int_equal(side->closes + side->failures, 0); // those come last
		side->count++;
		side->opens += event.type == CHANNEL_OPEN;
		side->closes += event.type == CHANNEL_CLOSED;
		side->failures += event.type == CHANNEL_FAILED;
		if (event.type == CHANNEL_MESSAGE) {
			side->messages++;
			side->last = event.message;
			message_done(&event.message);
		} else if (event.type == CHANNEL_PACKET) {
			side->packets++;
			side->packet_size = event.packet_size;
			memcpy(side->packet, event.packet, event.packet_size);
		}
	}
}

// Carries up to `piece` bytes at a time. Returns how many in all.
static inline size_t carry(struct side *from, struct side *to, size_t piece)
{
	size_t total = 0, size;
	const uint8_t *data;
	while ((data = channel_output(from->channel, &size)) && size > 0) {
		size = size < piece ? size : piece;
		channel_feed(to->channel, data, size);
		channel_output_done(from->channel, size);
		total += size;
		hear(to);
	}
	from->taken += total;
	return total;
}

static inline void join(struct side *client, struct side *server, size_t piece)
{
	hear(client);
	hear(server);
	while (carry(client, server, piece) + carry(server, client, piece) > 0)
		;
}

static inline void join_new(struct side *client, struct side *server)
{
	side_init(client, alice, TLS_CLIENT, "spiffe://corp.example/gateway/*");
	side_init(server, gateway, TLS_SERVER, NULL);
	join(client, server, ALL);
	assert_int_equal(client->opens, 1);
	assert_int_equal(server->opens, 1);
}

static inline void part(struct side *client, struct side *server)
{
	side_done(client);
	side_done(server);
}

static const char *why(const struct side *side)
{
	return channel_error(side->channel)->what;
}

static inline void say_ping(struct side *side, uint64_t token)
{
	struct message ping = {.type = MESSAGE_PING, .ping = {.token = token}};
	assert_int_equal(channel_send(side->channel, &ping), 0);
}
