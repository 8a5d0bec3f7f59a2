// SPDX-License-Identifier: Apache-2.0
// What a listener does about those who come too often, too slowly, or all at once.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "unit/listener_fixture.h"
#include "unit/spent.h"

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
			CHANNEL_HANDSHAKE_MS + 8000);
	assert_int_equal(counters(plant).failed, 0);
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
	uint64_t cpu = spent_ms();
	poll(NULL, 0, 500);
	cpu = spent_ms() - cpu;
	uint64_t accepted = counters(plant).accepted;
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(accepted, 2);
	assert_true(cpu < 150);
	WAIT_FOR(counters(plant).accepted == 3);
	assert_true(answers(plant, &plant->endpoint));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		plant_test(test_half_open_cap),	     plant_test(test_per_source_cap),
		plant_test(test_rate_per_source),    plant_test(test_slow_handshake),
		plant_test(test_out_of_descriptors),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
