// SPDX-License-Identifier: Apache-2.0
// A listener on loopback, and peers that dial it.
#pragma once

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "server/listener.h"
#include "tun/connection.h"
#include "unit/pki_fixture.h"

#define GATEWAY	 "spiffe://corp.example/gateway/one"
#define RENEWED	 "spiffe://corp.example/gateway/two"
#define CLIENT	 "spiffe://corp.example/laptop/alice"
#define PEERS	 200
#define CROWD	 10
#define PATIENCE 60000 // ms

struct plant {
	sd_event *event;
	struct tls_context *gateway, *renewed, *client, *stranger, *doubter;
	struct tls_context *crowd[CROWD]; // other clients
	struct endpoint endpoint;
	struct listener *listener;
	struct listener_limits limits;
	// What came out of the listener.
	struct connection *opened[PEERS];
	unsigned opened_count;
	unsigned messages;
};

struct peer { // one that dials
	struct connection *connection;
	unsigned open, ended;
	char identity[128]; // of the gateway
	bool talkative;	    // says something as soon as it can
};

static inline struct tls_context *context(enum tls_role role, const struct fixture *issuer,
					  const struct fixture *root, const char *identity)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(issuer, identity);
	struct credential *credential = fixture_credential(leaf);
	struct trust *trust = fixture_trust("corp.example", root);
	struct tls_context *made = NULL;
	struct error error = {0};

	if (tls_context_new(role, credential, trust, &made, &error) < 0)
		fail_msg("%s", error.what);
	credential_put(credential);
	trust_put(trust);
	return made;
}

static inline uint16_t free_port(int family)
{
	struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
	socklen_t size = sizeof(address);
	_cleanup_(closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	struct endpoint bound = {0};
	assert_int_equal(endpoint_from_sockaddr(&address, &bound), 0);
	return bound.port;
}

static inline struct endpoint endpoint(const char *address, uint16_t port)
{
	struct endpoint made = {.port = port};

	assert_int_equal(addr_parse(address, &made.addr), 0);
	return made;
}

static inline int plant_setup(void **state)
{
	struct plant *plant = calloc(1, sizeof(*plant));
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("root");
	_cleanup_(fixture_freep) struct fixture *issuing =
		fixture_intermediate(root, "issuing", "corp.example", 0);
	_cleanup_(fixture_freep) struct fixture *other = fixture_root("other");
	_cleanup_(fixture_freep) struct fixture *others =
		fixture_intermediate(other, "issuing", "corp.example", 0);

	plant->gateway = context(TLS_SERVER, issuing, root, GATEWAY);
	plant->renewed = context(TLS_SERVER, issuing, root, RENEWED);
	plant->client = context(TLS_CLIENT, issuing, root, CLIENT);
	plant->stranger = context(TLS_CLIENT, others, root, CLIENT);
	plant->doubter = context(TLS_CLIENT, issuing, other, CLIENT);
	for (unsigned i = 0; i < CROWD; i++) {
		char identity[sizeof(CLIENT) + 8];
		snprintf(identity, sizeof(identity), CLIENT "-%u", i);
		plant->crowd[i] = context(TLS_CLIENT, issuing, root, identity);
	}
	plant->endpoint = endpoint("127.0.0.1", free_port(AF_INET));
	plant->limits = (struct listener_limits){.threads = 3,
						 .half_open = 512,
						 .half_open_source = 512,
						 .starts_per_second = 1000,
						 .starts_burst = 1000};
	assert_int_equal(sd_event_new(&plant->event), 0);
	log_set_level(LOG_LEVEL_ERROR);
	*state = plant;
	return 0;
}

static inline int plant_teardown(void **state)
{
	struct plant *plant = *state;

	listener_free(plant->listener);
	for (unsigned i = 0; i < plant->opened_count; i++)
		connection_free(plant->opened[i]);
	tls_context_put(plant->gateway);
	tls_context_put(plant->renewed);
	tls_context_put(plant->client);
	tls_context_put(plant->stranger);
	tls_context_put(plant->doubter);
	for (unsigned i = 0; i < CROWD; i++)
		tls_context_put(plant->crowd[i]);
	sd_event_unref(plant->event);
	free(plant);
	return 0;
}

static inline void on_opened(struct connection *connection, void *data)
{
	struct plant *plant = data;

	assert_true(plant->opened_count < PEERS);
	plant->opened[plant->opened_count++] = connection;
}

static inline void plant_listen(struct plant *plant)
{
	struct error error = {0};

	if (listener_new(plant->event, &plant->endpoint, 1, 0, &plant->limits, plant->gateway,
			 on_opened, plant, &plant->listener, &error) < 0)
		fail_msg("%s", error.what);
}

static inline void on_peer_event(struct connection *connection, const struct channel_event *event,
				 void *data)
{
	struct peer *peer = data;
	struct message ping = {.type = MESSAGE_PING, .ping.token = 7};

	switch (event->type) {
	case CHANNEL_OPEN:
		peer->open++;
		snprintf(peer->identity, sizeof(peer->identity), "%s",
			 verdict_identity(channel_verdict(connection_channel(connection))));
		if (peer->talkative)
			assert_int_equal(connection_send(connection, &ping), 0);
		return;
	case CHANNEL_FAILED:
	case CHANNEL_CLOSED:
		peer->ended++;
		return;
	case CHANNEL_NONE:
	case CHANNEL_MESSAGE:
	case CHANNEL_PACKET:
	case CHANNEL_BYTES:
	case CHANNEL_ROOM:
		return;
	}
}

static inline void peer_dial(struct plant *plant, struct peer *peer, struct tls_context *with,
			     const struct endpoint *to)
{
	assert_int_equal(connection_dial(plant->event, to, 0, with, NULL, on_peer_event, peer,
					 &peer->connection),
			 0);
}

// Runs the control thread's loop until `*value` is `wanted`.
static inline void run_until(struct plant *plant, const unsigned *value, unsigned wanted)
{
	uint64_t end = clock_ms() + PATIENCE;

	while (*value < wanted) {
		assert_true(clock_ms() < end);
		assert_true(sd_event_run(plant->event, 100000) >= 0);
	}
}

static inline void run_for(struct plant *plant, uint64_t ms)
{
	uint64_t end = clock_ms() + ms;

	for (uint64_t now = clock_ms(); now < end; now = clock_ms())
		assert_true(sd_event_run(plant->event, (end - now) * 1000) >= 0);
}

// Waits for counters, which other threads move.
#define WAIT_FOR(condition)                             \
	do {                                            \
		uint64_t end_ = clock_ms() + PATIENCE;  \
		while (!(condition)) {                  \
			assert_true(clock_ms() < end_); \
			poll(NULL, 0, 5);               \
		}                                       \
	} while (0)

static inline struct listener_counters counters(struct plant *plant)
{
	return listener_counters(plant->listener);
}

// A bare TCP connection from `source`.
static inline int connect_from(struct plant *plant, const char *source)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct sockaddr_storage to;
	socklen_t size = endpoint_to_sockaddr(&plant->endpoint, AF_INET, &to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, source, &from.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, size), 0);
	return fd;
}

static inline bool is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static inline bool answers(struct plant *plant, const struct endpoint *to)
{
	struct peer peer = {0};
	uint64_t end = clock_ms() + PATIENCE;

	peer_dial(plant, &peer, plant->client, to);
	while (!peer.open && !peer.ended) {
		assert_true(clock_ms() < end);
		sd_event_run(plant->event, 100000);
	}
	connection_free(peer.connection);
	return peer.open;
}

#define plant_test(test) cmocka_unit_test_setup_teardown(test, plant_setup, plant_teardown)
