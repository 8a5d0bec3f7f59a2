// SPDX-License-Identifier: Apache-2.0
// Real TCP on loopback, real TLS, real threads.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "unit/listener_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		plant_test(test_join),
		plant_test(test_early_message_is_kept),
		plant_test(test_many_joins),
		plant_test(test_stranger),
		plant_test(test_context_swap),
		plant_test(test_refused_by_whom),
		plant_test(test_endpoints),
		plant_test(test_wildcard),
		plant_test(test_free_in_the_middle),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
