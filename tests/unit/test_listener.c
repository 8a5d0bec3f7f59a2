// SPDX-License-Identifier: Apache-2.0
// Real TCP on loopback, real TLS, real threads.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/resource.h>
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
#define PATIENCE 20000 // ms

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

static struct tls_context *context(enum tls_role role, const struct fixture *issuer,
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

static uint16_t free_port(int family)
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

static struct endpoint endpoint(const char *address, uint16_t port)
{
	struct endpoint made = {.port = port};

	assert_int_equal(addr_parse(address, &made.addr), 0);
	return made;
}

static int plant_setup(void **state)
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

static int plant_teardown(void **state)
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

static void on_opened(struct connection *connection, void *data)
{
	struct plant *plant = data;

	assert_true(plant->opened_count < PEERS);
	plant->opened[plant->opened_count++] = connection;
}

static void plant_listen(struct plant *plant)
{
	struct error error = {0};

	if (listener_new(plant->event, &plant->endpoint, 1, 0, &plant->limits, plant->gateway,
			 on_opened, plant, &plant->listener, &error) < 0)
		fail_msg("%s", error.what);
}

static void on_peer_event(struct connection *connection, const struct channel_event *event,
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
		return;
	}
}

static void peer_dial(struct plant *plant, struct peer *peer, struct tls_context *with,
		      const struct endpoint *to)
{
	assert_int_equal(connection_dial(plant->event, to, 0, with, NULL, on_peer_event, peer,
					 &peer->connection),
			 0);
}

// Runs the control thread's loop until `*value` is `wanted`.
static void run_until(struct plant *plant, const unsigned *value, unsigned wanted)
{
	uint64_t end = clock_ms() + PATIENCE;

	while (*value < wanted) {
		assert_true(clock_ms() < end);
		assert_true(sd_event_run(plant->event, 100000) >= 0);
	}
}

static void run_for(struct plant *plant, uint64_t ms)
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

static struct listener_counters counters(struct plant *plant)
{
	return listener_counters(plant->listener);
}

// A bare TCP connection from `source`.
static int connect_from(struct plant *plant, const char *source)
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

static bool is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static void test_join(void **state)
{
	struct plant *plant = *state;
	struct peer peer = {0};

	plant_listen(plant);
	peer_dial(plant, &peer, plant->client, &plant->endpoint);
	run_until(plant, &plant->opened_count, 1);
	run_until(plant, &peer.open, 1);
	assert_string_equal(peer.identity, GATEWAY);
	struct channel *channel = connection_channel(plant->opened[0]);
	assert_string_equal(verdict_identity(channel_verdict(channel)), CLIENT);
	assert_int_equal(counters(plant).accepted, 1);
	assert_int_equal(counters(plant).opened, 1);
	connection_free(peer.connection);
}

static void on_gateway_event(struct connection *connection, const struct channel_event *event,
			     void *data)
{
	struct plant *plant = data;

	(void)connection;
	if (event->type != CHANNEL_MESSAGE)
		return;
	assert_int_equal(event->message.ping.token, 7);
	plant->messages++;
}

// What the peer said right after its handshake is there, however late the control thread comes.
static void test_early_message_is_kept(void **state)
{
	struct plant *plant = *state;
	struct peer peers[20] = {0};

	plant_listen(plant);
	for (unsigned i = 0; i < 20; i++) {
		peers[i].talkative = true;
		peer_dial(plant, &peers[i], plant->client, &plant->endpoint);
	}
	run_until(plant, &plant->opened_count, 20);
	run_for(plant, 100);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(
			connection_attach(plant->opened[i], plant->event, on_gateway_event, plant),
			0);
	run_until(plant, &plant->messages, 20);
	for (unsigned i = 0; i < 20; i++)
		connection_free(peers[i].connection);
}

static void test_many_joins(void **state)
{
	struct plant *plant = *state;
	_cleanup_(freep) struct peer *peers = calloc(PEERS, sizeof(*peers));

	plant_listen(plant);
	for (unsigned i = 0; i < PEERS; i++)
		peer_dial(plant, &peers[i], plant->client, &plant->endpoint);
	run_until(plant, &plant->opened_count, PEERS);
	assert_int_equal(counters(plant).opened, PEERS);
	assert_int_equal(counters(plant).failed, 0);
	for (unsigned i = 0; i < PEERS; i++)
		connection_free(peers[i].connection);
}

static void test_stranger(void **state)
{
	struct plant *plant = *state;
	struct peer peer = {0};

	plant_listen(plant);
	peer_dial(plant, &peer, plant->stranger, &plant->endpoint);
	run_until(plant, &peer.ended, 1);
	WAIT_FOR(counters(plant).failed == 1);
	assert_int_equal(plant->opened_count, 0);
	connection_free(peer.connection);

	_cleanup_(closep) int fd = connect_from(plant, "127.0.0.1");
	assert_int_equal(send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
	WAIT_FOR(counters(plant).failed == 2);
	close(connect_from(plant, "127.0.0.1"));
	WAIT_FOR(counters(plant).failed == 3);
	assert_int_equal(counters(plant).timed_out, 0);
}

static void test_context_swap(void **state)
{
	struct plant *plant = *state;
	struct peer before = {0}, after = {0};

	plant_listen(plant);
	peer_dial(plant, &before, plant->client, &plant->endpoint);
	run_until(plant, &before.open, 1);
	listener_set_context(plant->listener, plant->renewed);
	peer_dial(plant, &after, plant->client, &plant->endpoint);
	run_until(plant, &after.open, 1);
	assert_string_equal(before.identity, GATEWAY);
	assert_string_equal(after.identity, RENEWED);
	// Swaps while handshakes run.
	for (unsigned i = 0; i < 50; i++) {
		struct peer peer = {0};
		peer_dial(plant, &peer, plant->client, &plant->endpoint);
		for (unsigned n = 0; n < 5; n++) {
			listener_set_context(plant->listener,
					     n % 2 ? plant->gateway : plant->renewed);
			sd_event_run(plant->event, 1000);
		}
		run_until(plant, &peer.open, 1);
		connection_free(peer.connection);
	}
	connection_free(before.connection);
	connection_free(after.connection);
}

static void test_half_open_cap(void **state)
{
	struct plant *plant = *state;
	int fds[60];
	unsigned refused = 0;

	plant->limits.half_open = 16;
	plant_listen(plant);
	for (unsigned i = 0; i < 60; i++)
		fds[i] = connect_from(plant, "127.0.0.1");
	WAIT_FOR(counters(plant).accepted == 60);
	uint64_t half_open = 60 - counters(plant).refused_half_open;
	assert_in_range(half_open, 8, 16);
	for (unsigned i = 0; i < 60; i++) {
		poll(&(struct pollfd){.fd = fds[i], .events = POLLIN}, 1, 20);
		refused += is_reset(fds[i]);
	}
	assert_int_equal(refused, counters(plant).refused_half_open);
	for (unsigned i = 0; i < 60; i++)
		close(fds[i]);
	WAIT_FOR(counters(plant).failed == half_open);
	// All is as before.
	struct peer peer = {0};
	peer_dial(plant, &peer, plant->client, &plant->endpoint);
	run_until(plant, &plant->opened_count, 1);
	connection_free(peer.connection);
}

static void test_per_source_cap(void **state)
{
	struct plant *plant = *state;
	int fds[8];

	plant->limits.half_open_source = 4;
	plant_listen(plant);
	for (unsigned i = 0; i < 6; i++)
		fds[i] = connect_from(plant, "127.0.0.2");
	fds[6] = connect_from(plant, "127.0.0.3");
	WAIT_FOR(counters(plant).accepted == 7);
	WAIT_FOR(counters(plant).refused_source == 2);
	assert_false(is_reset(fds[6]));
	struct peer peer = {0};
	peer_dial(plant, &peer, plant->client, &plant->endpoint);
	run_until(plant, &plant->opened_count, 1);
	connection_free(peer.connection);
	for (unsigned i = 0; i < 7; i++)
		close(fds[i]);
}

static void test_rate_per_source(void **state)
{
	struct plant *plant = *state;

	plant->limits.starts_per_second = 1;
	plant->limits.starts_burst = 3;
	plant_listen(plant);
	for (unsigned i = 0; i < 6; i++)
		close(connect_from(plant, "127.0.0.2"));
	WAIT_FOR(counters(plant).accepted == 6);
	WAIT_FOR(counters(plant).refused_source == 3);
	// Good peers behind one address are not slowed down.
	for (unsigned i = 0; i < CROWD; i++) {
		struct peer peer = {0};
		peer_dial(plant, &peer, plant->crowd[i], &plant->endpoint);
		run_until(plant, &plant->opened_count, i + 1);
		connection_free(peer.connection);
	}
	assert_int_equal(counters(plant).refused_source, 3);
	// One alone that begins again and again is.
	while (counters(plant).refused_source == 3) {
		struct peer peer = {0};
		peer_dial(plant, &peer, plant->client, &plant->endpoint);
		while (!peer.open && !peer.ended)
			assert_true(sd_event_run(plant->event, 100000) >= 0);
		connection_free(peer.connection);
	}
}

// That our certificate is refused counts only from where somebody proved his own.
static void test_refused_by_whom(void **state)
{
	struct plant *plant = *state;
	struct peer peers[4] = {0};

	plant_listen(plant);
	for (unsigned i = 0; i < 4; i++) {
		bool real = i == 2;
		peer_dial(plant, &peers[i], real ? plant->client : plant->doubter,
			  &plant->endpoint);
		run_until(plant, real ? &plant->opened_count : &peers[i].ended, 1);
		WAIT_FOR(counters(plant).failed == i + !real - (i > 2));
		assert_int_equal(counters(plant).refused_us, i > 2);
		connection_free(peers[i].connection);
	}
}

// A byte now and then does not move the deadline.
static void test_slow_handshake(void **state)
{
	struct plant *plant = *state;
	uint64_t start = clock_ms();

	plant_listen(plant);
	_cleanup_(closep) int silent = connect_from(plant, "127.0.0.1");
	assert_true(silent >= 0);
	_cleanup_(closep) int slow = connect_from(plant, "127.0.0.1");
	static const char hello[] = {0x16,	 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01,
				     (char)0xfc, 0x03, 0x03, 0,	   0,	 0,    0,    0};
	for (unsigned i = 0; i < sizeof(hello) && !counters(plant).timed_out; i++) {
		send(slow, hello + i, 1, MSG_NOSIGNAL);
		poll(NULL, 0, 1000);
	}
	WAIT_FOR(counters(plant).timed_out == 2);
	assert_in_range(clock_ms() - start, CHANNEL_HANDSHAKE_MS - 500,
			CHANNEL_HANDSHAKE_MS + 3000);
	assert_int_equal(counters(plant).failed, 0);
}

static bool answers(struct plant *plant, const struct endpoint *to)
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

static void wait_until_silent(struct plant *plant, const struct endpoint *to)
{
	WAIT_FOR(!answers(plant, to));
}

static void wait_until_answered(struct plant *plant, const struct endpoint *to)
{
	WAIT_FOR(answers(plant, to));
}

static void test_endpoints(void **state)
{
	struct plant *plant = *state;
	struct endpoint two = endpoint("127.0.0.1", free_port(AF_INET));
	struct endpoint six = endpoint("::1", free_port(AF_INET6));
	struct error error = {0};

	plant_listen(plant);
	assert_true(answers(plant, &plant->endpoint));
	assert_false(answers(plant, &two));
	struct endpoint all[] = {plant->endpoint, two, six, two};
	assert_int_equal(listener_set_endpoints(plant->listener, all, 4, &error), 0);
	assert_true(answers(plant, &plant->endpoint));
	assert_true(answers(plant, &two));
	assert_true(answers(plant, &six));

	// One that cannot be bound: nothing changes.
	struct endpoint foreign = endpoint("192.0.2.1", 443);
	assert_int_equal(listener_set_endpoints(plant->listener, &foreign, 1, &error),
			 -EADDRNOTAVAIL);
	assert_non_null(strstr(error.what, "192.0.2.1:443"));
	assert_true(answers(plant, &two));
	struct listener *second = NULL;
	assert_int_equal(listener_new(plant->event, &two, 1, 0, &plant->limits, plant->gateway,
				      on_opened, plant, &second, &error),
			 -EADDRINUSE);
	assert_null(second);
	assert_true(error.remedy[0] != 0);

	// One goes, and comes back before it is gone.
	assert_int_equal(listener_set_endpoints(plant->listener, &two, 1, &error), 0);
	assert_int_equal(listener_set_endpoints(plant->listener, all, 2, &error), 0);
	assert_true(answers(plant, &plant->endpoint));
	assert_int_equal(listener_set_endpoints(plant->listener, &two, 1, &error), 0);
	wait_until_silent(plant, &plant->endpoint);
	assert_true(answers(plant, &two));
}

// From one address to all of the host, and back: the new socket is bound before the old one is closed.
static void test_wildcard(void **state)
{
	struct plant *plant = *state;
	struct endpoint all = endpoint("0.0.0.0", plant->endpoint.port);
	struct endpoint other = endpoint("127.0.0.9", plant->endpoint.port);
	struct error error = {0};

	plant_listen(plant);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(listener_set_endpoints(plant->listener, &all, 1, &error), 0);
		assert_true(answers(plant, &other));
		// The old socket may be closed just now, with a connection that it has not announced.
		wait_until_answered(plant, &plant->endpoint);
		assert_int_equal(
			listener_set_endpoints(plant->listener, &plant->endpoint, 1, &error), 0);
		wait_until_silent(plant, &other);
		assert_true(answers(plant, &plant->endpoint));
	}
	// Nobody else gets in beside it.
	struct listener *second = NULL;
	assert_int_equal(listener_new(plant->event, &plant->endpoint, 1, 0, &plant->limits,
				      plant->gateway, on_opened, plant, &second, NULL),
			 -EADDRINUSE);
}

static uint64_t cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static void test_out_of_descriptors(void **state)
{
	struct plant *plant = *state;
	struct rlimit before, none;

	plant_listen(plant);
	assert_true(answers(plant, &plant->endpoint));
	getrlimit(RLIMIT_NOFILE, &before);
	int fd = connect_from(plant, "127.0.0.1"); // the number that the next one gets here
	WAIT_FOR(counters(plant).accepted == 2);
	close(fd);
	WAIT_FOR(counters(plant).failed == 1);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	none = before;
	none.rlim_cur = (rlim_t)fd + 1;
	struct sockaddr_storage to;
	socklen_t size = endpoint_to_sockaddr(&plant->endpoint, AF_INET, &to);
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, size), 0);
	uint64_t cpu = cpu_ms();
	poll(NULL, 0, 500);
	cpu = cpu_ms() - cpu;
	uint64_t accepted = counters(plant).accepted;
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(accepted, 2);
	assert_true(cpu < 150);
	WAIT_FOR(counters(plant).accepted == 3);
	assert_true(answers(plant, &plant->endpoint));
	close(fd);
}

// Ends with handshakes in every state.
static void test_free_in_the_middle(void **state)
{
	struct plant *plant = *state;
	struct peer peers[40] = {0};
	int bare[10];

	plant_listen(plant);
	for (unsigned i = 0; i < 10; i++)
		bare[i] = connect_from(plant, "127.0.0.1");
	for (unsigned i = 0; i < 40; i++)
		peer_dial(plant, &peers[i], plant->client, &plant->endpoint);
	run_until(plant, &peers[10].open, 1);
	plant->listener = listener_free(plant->listener);
	for (unsigned i = 0; i < 10; i++)
		close(bare[i]);
	for (unsigned i = 0; i < 40; i++)
		connection_free(peers[i].connection);
}

#define plant_test(test) cmocka_unit_test_setup_teardown(test, plant_setup, plant_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		plant_test(test_join),
		plant_test(test_early_message_is_kept),
		plant_test(test_many_joins),
		plant_test(test_stranger),
		plant_test(test_context_swap),
		plant_test(test_half_open_cap),
		plant_test(test_per_source_cap),
		plant_test(test_rate_per_source),
		plant_test(test_refused_by_whom),
		plant_test(test_slow_handshake),
		plant_test(test_endpoints),
		plant_test(test_wildcard),
		plant_test(test_out_of_descriptors),
		plant_test(test_free_in_the_middle),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
